"""Writes scenes as a labelled folder, with everything that is known of a picture.

DIR/recipe.yaml      how it was made                        DIR/classes.json   names, ignore
DIR/train, DIR/val   images/000000.png (composites: .jpg)   labels/000000.png  class ids
                     instances/000000.png  16 bit, 0 = none
                     depth/000000.png      16 bit, millimetres (rendered scenes only)
                     index.json            classes, and size and objects of every picture
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detcon.files import write_whole
from detcon.formats.writing.scenes import (
    ScenePicture,
    ScenesPlan,
    describe_objects,
    read_pixels,
    write_pixels,
)

IGNORE = 255


@dataclass(frozen=True)
class FolderLayout:
    """Writes scenes as a labelled folder; rendered ones, which have depth, as PNG files."""

    root: Path
    plan: ScenesPlan

    def find(self, split: str, number: int) -> dict[str, Any] | None:
        """The record of a picture that an earlier run wrote, if it is whole; else None."""
        files = self._files(split, number)
        maps = {name: read_pixels(path) for name, path in files.items()}
        if any(pixels is None for pixels in maps.values()):
            return None
        return self._record(split, files["images"], maps["instances"], maps["labels"])

    def save(self, split: str, number: int, picture: ScenePicture) -> dict[str, Any]:
        """Writes the files of a picture; the photo comes last. Returns its record."""
        files = self._files(split, number)
        maps = {"labels": picture.labels, "instances": picture.instances}
        if picture.depth is not None:
            millimetres = np.round(picture.depth.astype(np.float64) * 1000)
            maps["depth"] = np.clip(millimetres, 0, 65535).astype(np.uint16)
        maps["images"] = picture.rgb
        for name, pixels in maps.items():
            write_pixels(files[name], pixels)
        return self._record(split, files["images"], picture.instances, picture.labels)

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Writes the names of the classes, and the index of a split."""
        write_json(self.root / "classes.json", {"names": list(self.plan.names), "ignore": IGNORE})
        index = {"classes": list(self.plan.names), "ignore": IGNORE, "images": records}
        write_json(self.root / split / "index.json", index)

    def _files(self, split: str, number: int) -> dict[str, Path]:
        folder = self.root / split
        names = ["labels", "instances", *(["depth"] if self.plan.has_depth else [])]
        files = {name: folder / name / f"{number:06d}.png" for name in names}
        suffix = ".png" if self.plan.has_depth else ".jpg"
        return files | {"images": folder / "images" / f"{number:06d}{suffix}"}

    def _record(
        self, split: str, image: Path, instances: np.ndarray, labels: np.ndarray
    ) -> dict[str, Any]:
        return {
            "file": image.relative_to(self.root / split).as_posix(),
            "size": list(instances.shape),
            "objects": describe_objects(instances, labels),
        }


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes one line for each entry of a list, so that people can read and compare files."""
    lines = []
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner = ",\n".join("  " + json.dumps(one) for one in value)
            lines.append(f" {json.dumps(name)}: [\n{inner}\n ]")
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(value)}")
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
