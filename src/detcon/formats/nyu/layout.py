"""Writes scenes in the layout of NYU-Depth v2's labelled part: one file with all photos and depths.

DIR/nyu_depth_v2_labeled.mat     images [n 3 x y] of 8 bits, depths [n x y] in metres; HDF5
DIR/splits.mat                   trainNdxs, testNdxs, from 1

Pictures gather in a hidden folder until all are there.
"""

import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from detcon.files import replacing, write_whole
from detcon.formats.nyu.reader import LABELED, PARTS, SPLITS
from detcon.formats.reading.mat_file import write_mat
from detcon.formats.writing.scenes import ScenePicture, ScenesPlan

_GATHERED = ".frames"
_USER_BLOCK = 512  # bytes in front of HDF5, by which MATLAB knows the file
_HEADER = b"MATLAB 7.3 MAT-file, scenes of detcon".ljust(124) + b"\x00\x02IM"


@dataclass(frozen=True)
class NyuLayout:
    """Writes scenes as the labelled part of NYU-Depth v2: all pictures in one file."""

    root: Path
    plan: ScenesPlan

    def find(self, split: str, number: int) -> dict[str, Any] | None:
        """An empty record of a picture that an earlier run wrote, if it is whole; else None."""
        return {} if self._mat.is_file() or _read(self._file(split, number)) else None

    def save(self, split: str, number: int, picture: ScenePicture) -> dict[str, Any]:
        """Keeps a picture in the hidden folder."""
        assert picture.depth is not None
        with replacing(self._file(split, number), durable=False) as file:
            np.savez(file, rgb=picture.rgb, depth=picture.depth)
        return {}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Joins all pictures into one file after val, the last split."""
        if split == "train":
            return
        files = [self._file("train", number) for number in range(self.plan.num_train)]
        files += [self._file("val", number) for number in range(len(records))]
        if not self._mat.is_file():
            _join(files, self._mat)
        numbers = np.arange(1, len(files) + 1, dtype=np.float64)[:, None]
        parts = {"train": numbers[: self.plan.num_train], "val": numbers[self.plan.num_train :]}
        lists = write_mat({PARTS[name]: part for name, part in parts.items()})
        write_whole(self.root / SPLITS, lists)
        shutil.rmtree(self.root / _GATHERED, ignore_errors=True)

    @property
    def _mat(self) -> Path:
        return self.root / LABELED

    def _file(self, split: str, number: int) -> Path:
        return self.root / _GATHERED / split / f"{number:06d}.npz"


def _read(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Photo and depth, or None where they are missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file) as values:
            return values["rgb"], values["depth"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _join(files: list[Path], path: Path) -> None:
    """Writes all pictures into one file, one by one, with their axes in MATLAB's order."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with h5py.File(partial, "w", userblock_size=_USER_BLOCK) as mat:
            images = depths = None
            for place, file in enumerate(files):
                rgb, depth = _read(file) or (np.zeros(0), np.zeros(0))
                rgb, depth = rgb.transpose(2, 1, 0), depth.T
                if images is None or depths is None:
                    images = _create(mat, "images", len(files), rgb, b"uint8")
                    depths = _create(mat, "depths", len(files), depth, b"single")
                images[place], depths[place] = rgb, depth
        with partial.open("r+b") as mat:
            mat.write(_HEADER)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _create(mat: h5py.File, name: str, num: int, first: np.ndarray, kind: bytes) -> h5py.Dataset:
    data = mat.create_dataset(
        name, (num, *first.shape), first.dtype, chunks=(1, *first.shape), compression=3
    )
    data.attrs["MATLAB_class"] = np.bytes_(kind)
    return data
