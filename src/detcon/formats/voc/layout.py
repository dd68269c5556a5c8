"""Writes scenes in the layout of PASCAL VOC 2012, with SBD next to it.

DIR/VOCdevkit/VOC2012/JPEGImages/2007_000001.jpg         SegmentationClass/, SegmentationObject/
DIR/VOCdevkit/VOC2012/ImageSets/Segmentation/{train,val,trainval}.txt
DIR/benchmark_RELEASE/dataset/{cls,inst}/2007_000002.mat         {train,val}.txt

The first class of objects goes under the name of VOC's first, aeroplane, and so on; all else is
background. A quarter of the training pictures are VOC's own, the others are SBD's. As in the
originals, VOC's maps have void edges around objects, and SBD's have none.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from detcon.files import write_whole
from detcon.formats.errors import AnnotationError, FormatError
from detcon.formats.reading.ids import read_sbd
from detcon.formats.reading.mat_file import write_mat
from detcon.formats.voc.reader import NAMES
from detcon.formats.writing.scenes import ScenePicture, ScenesPlan, read_pixels, write_pixels

_VOID = 255
_YEARS = {"train": 2007, "val": 2008}
_EDGE = 100  # void on either side of an edge: this fraction of the picture's side
_PER_OWN = 4  # one in four training pictures is VOC's own


@dataclass(frozen=True)
class VocLayout:
    """Writes scenes as VOC 2012, with SBD next to it; stuff is background."""

    root: Path
    plan: ScenesPlan

    def __post_init__(self) -> None:
        if self.plan.num_things >= len(NAMES):
            raise FormatError(
                f"format=voc has room for {len(NAMES) - 1} classes of objects, but the cut-outs "
                f"have {self.plan.num_things}; give fewer, or another format"
            )

    def find(self, split: str, number: int) -> dict[str, Any] | None:
        """The record of a picture that an earlier run wrote, if it is whole; else None."""
        photo, *maps = self._files(split, number)
        if read_pixels(photo) is None or not all(_is_whole(path) for path in maps):
            return None
        return {"stem": photo.stem, "own": self._is_own(split, number)}

    def save(self, split: str, number: int, picture: ScenePicture) -> dict[str, Any]:
        """Writes the maps and the photo. Returns the picture's record."""
        photo, *maps = self._files(split, number)
        classes = np.where(
            picture.instances > 0, picture.labels.astype(int) - self.plan.num_stuff + 1, 0
        ).astype(np.uint8)
        instances = picture.instances.astype(np.uint8)
        own = self._is_own(split, number)
        if own:
            edges = _edges(instances)
            classes, instances = (np.where(edges, _VOID, ids) for ids in (classes, instances))
            instances = _without_gaps(instances.astype(np.uint8))
        for path, ids, name in zip(maps, (classes, instances), ("GTcls", "GTinst"), strict=True):
            data = (
                _palette_png(ids.astype(np.uint8))
                if own
                else write_mat({name: {"Segmentation": ids}}, compressed=True)
            )
            write_whole(path, data, durable=False)
        write_pixels(photo, picture.rgb)
        return {"stem": photo.stem, "own": own}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Writes the lists of a split: VOC's and, for train, SBD's."""
        lists = self.root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
        own = [record["stem"] for record in records if record["own"]]
        _write_list(lists / f"{split}.txt", own)
        if split == "val":
            train = (lists / "train.txt").read_text().split()
            _write_list(lists / "trainval.txt", [*train, *own])
        elif others := [record["stem"] for record in records if not record["own"]]:
            folder = self.root / "benchmark_RELEASE" / "dataset"
            _write_list(folder / "val.txt", others[:1])
            _write_list(folder / "train.txt", others[1:])

    def _is_own(self, split: str, number: int) -> bool:
        return split == "val" or self.plan.num_train < _PER_OWN or number % _PER_OWN == 0

    def _files(self, split: str, number: int) -> tuple[Path, Path, Path]:
        """The photo, the class map, the instance map."""
        voc, stem = self.root / "VOCdevkit" / "VOC2012", f"{_YEARS[split]}_{number + 1:06d}"
        maps = [voc / part / f"{stem}.png" for part in ("SegmentationClass", "SegmentationObject")]
        if not self._is_own(split, number):
            sbd = self.root / "benchmark_RELEASE" / "dataset"
            maps = [sbd / part / f"{stem}.mat" for part in ("cls", "inst")]
        return voc / "JPEGImages" / f"{stem}.jpg", maps[0], maps[1]


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """VOC's colours: an id's bits, three by three, from the highest bit of each colour down."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), int)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= (ids >> (3 * place + channel) & 1) << (7 - place)
    return colours.astype(np.uint8)


def _edges(instances: UInt8[np.ndarray, "y x"]) -> np.ndarray:
    """Pixels near the edge of an object: `[y x]`."""
    times = max(1, round(max(instances.shape) / _EDGE))
    kernel = np.ones((3, 3), np.uint8)
    most = cv2.dilate(instances, kernel, iterations=times)
    return most != cv2.erode(instances, kernel, iterations=times)


def _without_gaps(instances: UInt8[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y x"]:
    """Renumbers objects without gaps: some may have consisted of edges alone."""
    left = [number for number in np.unique(instances).tolist() if number not in (0, _VOID)]
    numbers = np.zeros(256, np.uint8)
    numbers[_VOID] = _VOID
    numbers[left] = np.arange(1, len(left) + 1)
    return numbers[instances]


def _palette_png(ids: UInt8[np.ndarray, "y x"]) -> bytes:
    picture, file = Image.fromarray(ids), io.BytesIO()
    picture.putpalette(voc_palette().tobytes())
    picture.save(file, "PNG")
    return file.getvalue()


def _is_whole(path: Path) -> bool:
    if path.suffix == ".png":
        return read_pixels(path) is not None
    try:
        return read_sbd(path).size > 0
    except AnnotationError:
        return False


def _write_list(path: Path, stems: list[str]) -> None:
    write_whole(path, "".join(f"{stem}\n" for stem in stems))
