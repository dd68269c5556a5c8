"""COCO's panoptic annotations: a PNG of segment ids for each photo, and their classes in JSON.

    DIR/annotations/panoptic_{train,val}2017.json       DIR/{train,val}2017/000000000139.jpg
    DIR/annotations/panoptic_{train,val}2017/000000000139.png        id = R + 256 G + 256^2 B

Kirillov et al., "Panoptic Segmentation", CVPR 2019; cocodataset.org/#format-data, part 4.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from detcon.formats.coco.json_file import (
    find_json,
    read_categories,
    read_coco_json,
    read_images,
    refuse_twice,
    whole_number,
)
from detcon.formats.coco.rows import read_crowd
from detcon.formats.errors import AnnotationError, check_folders
from detcon.formats.format import LabelMaps
from detcon.formats.reading.ids import read_rgb
from detcon.formats.reading.label_files import check_files, check_listed, of_photo
from detcon.formats.segments import VOID, ListedSegments, SegmentOptions, Segments
from detcon.photos import Photos


@dataclass(frozen=True, eq=False)
class CocoPanoptic(LabelMaps):
    """Photos with a panoptic map each, which also give label maps.

    Attributes:
        annotations: The JSON file.
        photos: The photos; keys are their `file_name`s.
        names: Of the classes, in the order of their category ids.
    """

    annotations: Path
    photos: Photos
    names: tuple[str, ...]
    files: dict[str, Path] = field(repr=False)
    _segments: dict[str, Int64[np.ndarray, "k 3"]] = field(repr=False)

    def segments(self, key: str) -> Segments:
        """Reads the segments of a photo. Raises `AnnotationError`."""
        path = of_photo(self.photos, self.files, key)
        red, green, blue = read_rgb(path, key, wrong="panoptic ids are RGB")
        ids, table = red + 256 * green + 65536 * blue, self._segments[key]
        unknown = np.setdiff1d(ids, [0, *table[:, 0]])
        if unknown.size:
            raise AnnotationError(
                f"{path} holds the segment {int(unknown[0])}, which isn't in {self.annotations}"
            )
        return Segments(
            np.where(ids == 0, -1, ids),
            f"of {key} in {self.annotations}",
            crowd=tuple(table[table[:, 2] > 0, 0].tolist()),
            classes=dict(table[:, :2].tolist()),
        )

    def labels(self, key: str) -> UInt8[np.ndarray, "y x"]:
        """The class of each pixel; 255 where there is no segment. Raises what `segments` does."""
        ids = self.segments(key).ids
        table = self._segments[key][np.argsort(self._segments[key][:, 0])]
        classes = np.append(table[:, 1], VOID)
        places = np.where(ids < 0, len(table), np.searchsorted(table[:, 0], ids))
        return classes[places].astype(np.uint8)

    def label_file(self, key: str) -> Path:
        """Where the map of a photo is."""
        return of_photo(self.photos, self.files, key)


def open_coco_panoptic(data: str | Path, split: str) -> CocoPanoptic:
    """Opens COCO 2017: `data` holds `annotations/`, `train2017/` and `val2017/`.

    panoptic_annotations_trainval2017.zip holds the PNG files in two more archives.
    """
    root, name = Path(data), f"{split}2017"
    maps = root / "annotations" / f"panoptic_{name}"
    found = read_coco_panoptic(maps.with_name(maps.name + ".json"), maps, root / name)
    check_listed(found.photos, lists_all=True)
    check_files(found.photos, found.files, "panoptic map")
    return found


def open_panoptic_segments(data: Path, options: SegmentOptions) -> ListedSegments[str]:
    """Opens the segments of a data set, or of a JSON file with its folder of PNG files next to it.

    No photos are needed.
    """
    file, folder = find_json(data, "panoptic", options.split)
    source = read_coco_panoptic(file, file.with_suffix(""), file.parent)

    def load(key: str, photo: str) -> list[Segments]:
        return [replace(source.segments(key), place=f"of {folder}{key} in {file}")]

    return ListedSegments({folder + key: key for key in source.keys}, str(file), load)


def read_coco_panoptic(
    annotations: str | Path, maps: str | Path, images: str | Path
) -> CocoPanoptic:
    """Opens any JSON file of COCO's panoptic format, with folders of PNG files and of photos.

    Raises:
        AnnotationError: A folder or the file is missing, or the file can't be used.
    """
    path, folder = Path(annotations), Path(maps)
    values = read_coco_json(path)
    check_folders(
        folder, Path(images),
        hint=f"it should hold what {path} lists; COCO's come from cocodataset.org/#download",
    )  # fmt: skip
    found = read_images(path, values["images"], Path(images))
    categories = read_categories(path, values["categories"])
    if len(categories.ids) >= VOID:
        raise AnnotationError(
            f"{path} has {len(categories.ids)} categories, but a label map holds at most 254"
        )
    classes, files, segments = categories.places(), {}, {}
    for entry in values["annotations"]:
        number = whole_number(path, entry, "image_id", "an annotation")
        if number not in found.place:
            raise AnnotationError(
                f"{path} has an annotation of the image {number}, which isn't in the file"
            )
        key, name = found.photos.keys[found.place[number]], entry.get("file_name")
        if not isinstance(name, str) or not name or "\0" in name:
            raise AnnotationError(
                f"the annotation of the image {number} of {path} has no 'file_name'; write "
                f"the PNG's"
            )
        if key in files:
            raise AnnotationError(f"{path} has two annotations of the image {number}; remove one")
        files[key] = folder / name
        segments[key] = _read_table(path, number, entry.get("segments_info"), classes)
    refuse_twice(path, files.values(), "annotations with the file")
    return CocoPanoptic(
        annotations=path,
        photos=replace(found.photos, keys=sorted(files)),
        names=categories.names,
        files=files,
        _segments=segments,
    )


def _read_table(
    path: Path, image: int, entries: Any, classes: dict[int, int]
) -> Int64[np.ndarray, "k 3"]:
    """Id, class and crowd of each segment of an image."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise AnnotationError(
            f"the annotation of the image {image} of {path} has no list 'segments_info'"
        )
    rows = []
    for entry in entries:
        number = whole_number(path, entry, "id", "a segment")
        category = whole_number(path, entry, "category_id", "a segment")
        if category not in classes:
            raise AnnotationError(
                f"the segment {number} of the image {image} of {path} belongs to the category "
                f"{category}, which isn't in the file"
            )
        if not 0 < number < 1 << 24 or any(number == row[0] for row in rows):
            raise AnnotationError(
                f"the image {image} of {path} has the segment id {number}, which is used twice "
                f"or isn't from 1 to 16777215"
            )
        rows.append((number, classes[category], read_crowd(path, entry)))
    return np.array(rows, np.int64).reshape(-1, 3)
