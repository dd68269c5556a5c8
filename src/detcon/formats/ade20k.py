"""ADE20K: the full data set, and SceneParsing, the part that benchmarks use.

    ADE_train_00000001.jpg      ADE_train_00000001_seg.png                          the whole
    images/{training,validation}/ADE_train_00000001.jpg                             SceneParsing
    annotations/{training,validation}/ADE_train_00000001.png        class ids; 0 is other things

The whole has a PNG of codes next to each photo: a pixel's class is R // 10 * 256 + G, and B tells
the objects of a photo apart; 0 is none (utils_ade20k.py, github.com/CSAILVision/ADE20K). It has no
list of its classes, so it gives segments alone. SceneParsing (ADEChallengeData2016.zip) has 150
classes and no objects: it gives label maps. Zhou et al., "Scene parsing through ADE20K", CVPR 2017.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from detcon.formats.errors import AnnotationError, check_folders
from detcon.formats.format import VOID, Format, segments_of_labels
from detcon.formats.reading.ids import read_rgb
from detcon.formats.reading.label_files import LabelFiles, pngs_of
from detcon.formats.segments import SegmentFiles, SegmentOptions, Segments, SegmentSets
from detcon.photos import open_photos

SUFFIX = "_seg.png"
_PARTS = {"train": "training", "val": "validation"}
_NUM_CLASSES = 150
_FROM = "SceneParsing comes from sceneparsing.csail.mit.edu (ADEChallengeData2016.zip)"


class Ade20kMaps(NamedTuple):
    """The class of each pixel, and its object within the photo, from 1; 0 where there is none."""

    classes: Int32[np.ndarray, "y x"]
    instances: Int32[np.ndarray, "y x"]


def read_ade20k(path: Path, photo: str = "") -> Ade20kMaps:
    """Reads the PNG of codes of a photo. Raises what `read_rgb` does."""
    red, green, blue = read_rgb(
        path, photo,
        missing=f"; ADE20K's lie next to the photos, and their names end in {SUFFIX}",
        wrong="the codes of ADE20K are RGB; maps of one channel, as SceneParsing has them, take "
        "format=png",
    )  # fmt: skip
    return Ade20kMaps(red // 10 * 256 + green, blue)


def open_scene_parsing(data: str | Path, split: str) -> LabelFiles:
    """Opens SceneParsing for semantic segmentation: 150 classes; 0 is void.

    The classes' names are in `objectInfo150.txt` of the folder.
    """
    root, part = Path(data), _PARTS.get(split, split)
    images, maps = root / "images" / part, root / "annotations" / part
    check_folders(images, maps, hint=_FROM)
    photos = open_photos(images)
    return LabelFiles(
        photos=photos,
        files=pngs_of(photos, maps, hint=f"; {_FROM}"),
        names=_read_names(root / "objectInfo150.txt"),
        classes=np.array([VOID, *range(_NUM_CLASSES)], np.int16),
        wrong_id="class {id}, but SceneParsing's classes go from 1 to 150 (0 is void); copy it "
        "again",
    )


def open_segments(data: Path, options: SegmentOptions) -> SegmentSets:
    """Opens the objects or classes of the whole ADE20K, or the classes of SceneParsing."""
    if (data / "annotations").is_dir() and (data / "images").is_dir():
        return segments_of_labels(open_scene_parsing(data, options.split), data, options.split)
    if options.split != SegmentOptions.split:
        raise AnnotationError(
            f"split={options.split} is for SceneParsing, but {data} isn't laid out like it; give "
            f"the folder of one split of the whole ADE20K"
        )
    return SegmentFiles(data, SUFFIX, partial(_load, merged=options.regions == "classes"))


def _load(path: Path, photo: str, merged: bool) -> list[Segments]:
    classes, instances = read_ade20k(path, photo)
    ids = classes if merged else classes * 256 + instances
    return [Segments(np.where(classes == 0, -1, ids), str(path))]


def _read_names(path: Path) -> tuple[str, ...]:
    """The last column of the official list, or numbers where it is missing."""
    numbered = tuple(f"class {number}" for number in range(1, _NUM_CLASSES + 1))
    if not path.is_file():
        return numbered
    rows = [line.split("\t") for line in path.read_text(errors="replace").splitlines()[1:]]
    names = tuple(row[-1].partition(",")[0].strip() for row in rows)
    return names if len(set(names)) == _NUM_CLASSES else numbered


FORMAT = Format(label_maps=open_scene_parsing, segments=open_segments, options=("split", "regions"))
