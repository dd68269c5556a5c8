"""A folder of scenes on disk: its files, written whole or not at all, and its index.

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

import cv2
import numpy as np
import yaml
from jaxtyping import Float32, UInt8, UInt16

from detcon.files import write_whole
from detcon.scenes.annotate import describe_objects

IGNORE = 255
_RECIPE = "recipe.yaml"
_JPEG_QUALITY, _PNG_EFFORT = 92, 3
_ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9"}  # of files that are whole


class ScenesError(ValueError):
    """A folder that scenes can't be written to."""


@dataclass(frozen=True)
class Picture:
    """A picture of either kind, as it is written; composites have no depth."""

    rgb: UInt8[np.ndarray, "y x 3"]
    instances: UInt16[np.ndarray, "y x"]
    labels: UInt8[np.ndarray, "y x"]
    depth: Float32[np.ndarray, "y x"] | None


def begin_folder(folder: Path, values: dict[str, Any], names: tuple[str, ...]) -> None:
    """Makes the folder, or checks that what is there was begun in the same way.

    Args:
        folder: Where.
        values: Everything that decides about the pictures.
        names: Of the classes, by class id.

    Raises:
        ScenesError: If the folder holds other things, or scenes made in another way.
    """
    path = folder / _RECIPE
    if path.is_file():
        _check_same(folder, _read_recipe(path), values)
    elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ScenesError(
            f"cannot write scenes to {folder}: it holds something else; choose another out="
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, yaml.safe_dump(values, sort_keys=False, width=100).encode())
    write_json(folder / "classes.json", {"names": list(names), "ignore": IGNORE})


def save_picture(folder: Path, number: int, picture: Picture) -> dict[str, Any]:
    """Writes the files of a picture; the photo comes last.

    Returns:
        The picture's record for the index.
    """
    files = _files(folder, number, has_depth=picture.depth is not None)
    maps = {"labels": picture.labels, "instances": picture.instances}
    if picture.depth is not None:
        millimetres = np.round(picture.depth.astype(np.float64) * 1000)
        maps["depth"] = np.clip(millimetres, 0, 65535).astype(np.uint16)
    maps["images"] = picture.rgb[..., ::-1]
    for name, pixels in maps.items():
        write_whole(files[name], _encode(files[name].suffix, pixels), durable=False)
    return _record(folder, files["images"], picture.instances, picture.labels)


def find_picture(folder: Path, number: int, *, has_depth: bool) -> dict[str, Any] | None:
    """The record of a picture that is there, whole, from an earlier run; else None."""
    files = _files(folder, number, has_depth=has_depth)
    maps = {name: _decode(path) for name, path in files.items()}
    if any(pixels is None for pixels in maps.values()):
        return None
    return _record(folder, files["images"], maps["instances"], maps["labels"])


def write_json(path: Path, values: dict[str, Any]) -> None:
    """One entry of a long list a line, so that people can read it and compare two."""
    lines = []
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner = ",\n".join("  " + json.dumps(one) for one in value)
            lines.append(f" {json.dumps(name)}: [\n{inner}\n ]")
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(value)}")
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def _files(folder: Path, number: int, *, has_depth: bool) -> dict[str, Path]:
    names = ["labels", "instances", *(["depth"] if has_depth else [])]
    files = {name: folder / name / f"{number:06d}.png" for name in names}
    return files | {"images": folder / "images" / f"{number:06d}{'.png' if has_depth else '.jpg'}"}


def _encode(suffix: str, pixels: np.ndarray) -> bytes:
    options = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, _PNG_EFFORT],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
    }
    return cv2.imencode(suffix, np.ascontiguousarray(pixels), options[suffix])[1].tobytes()


def _decode(path: Path) -> Any:
    """The pixels of a file, or None where it is missing, cut off or damaged."""
    data = path.read_bytes() if path.is_file() else b""
    if not data.endswith(_ENDS[path.suffix]):
        return None
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def _record(folder: Path, image: Path, instances: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return {
        "file": image.relative_to(folder).as_posix(),
        "size": list(instances.shape),
        "objects": describe_objects(instances, labels),
    }


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise ScenesError(
            f"cannot go on with the scenes in {path.parent}: {path} is damaged; "
            f"choose another out=, or remove the folder"
        )
    return values


def _check_same(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in {**now, **before}:
        if before.get(name) != now.get(name):
            raise ScenesError(
                f"the folder {folder} holds scenes made with {name}={before.get(name)}, but "
                f"{name}={now.get(name)} was asked for; choose another out=, or remove the folder"
            )
