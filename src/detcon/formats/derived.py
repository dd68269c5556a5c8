"""Segments of formats that have none of their own: from their label maps, or their objects."""

from pathlib import Path

import numpy as np

from detcon.formats.format import LabelMaps, ObjectSets, PhotoFiles
from detcon.formats.segments import VOID, ListedSegments, Segments, overlapping, paths_in


def segments_of_labels(maps: LabelMaps, data: Path, split: str) -> ListedSegments[str]:
    """Each class of a photo's label map as a region.

    Args:
        maps: Photos with label maps.
        data: The folder of the data set.
        split: Which part of it, for messages.
    """

    def load(key: str, photo: str) -> list[Segments]:
        labels = maps.labels(key).astype(int)
        return [Segments(np.where(labels == VOID, -1, labels), str(maps.label_file(key)))]

    keys = {key: key for key in maps.photos.keys}
    return ListedSegments(paths_in(data, maps.photos.root, keys), f"{data} ({split})", load)


def segments_of_objects(objects: ObjectSets, data: Path, split: str) -> ListedSegments[str]:
    """Each object of a photo as a region. Arguments as of `segments_of_labels`."""
    source = f"{data} ({split})"
    root = objects.photos.root if isinstance(objects, PhotoFiles) else data
    keys = {key: key for key in objects.keys}
    return ListedSegments(
        paths_in(data, root, keys),
        source,
        lambda key, photo: [overlapping(objects.objects(key), key, source)],
    )
