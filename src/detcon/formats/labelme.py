"""LabelMe: a JSON file for each photo, with what people drew on it.

    DIR/a.jpg  DIR/a.json        DIR/{train,val}/b.jpg  DIR/{train,val}/b.json

Polygons, turned rectangles, circles and masks have an outline; other rectangles are boxes alone.
Shapes of one label and one `group_id` are one object. Points and lines are left out.
github.com/wkentaro/labelme, `docs/`.
"""

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.beside import PhotoFinder, files_below, not_annotated, read_json
from detcon.formats.reading.drawing import Drawing, Drawings, LeftOut
from detcon.formats.reading.drawn import drawn_format
from detcon.formats.reading.holdout import by_folder
from detcon.formats.reading.shapes import Shape, box_of, ellipse_of, outline_of, outlined

_NO_REGIONS = ("point", "points", "line", "linestrip")


def read_labelme(data: Path) -> Drawings:
    """Reads all JSON files of a folder that hold `shapes`. Raises `AnnotationError`."""
    files = files_below(data, ".json")
    finder, left, shapes_left = PhotoFinder(data), LeftOut(), LeftOut()
    drawings = []
    for path in files:
        values = read_json(path)
        if not isinstance(values, dict) or "shapes" not in values:
            left.add("they hold no 'shapes', as LabelMe's do", str(path))
            continue
        drawings.append(_drawing(path, values, finder, shapes_left))
    if not drawings:
        raise AnnotationError(
            f"none of the {len(files)} JSON files in {data} holds 'shapes', as LabelMe's do"
        )
    notes = (
        *left.sentences("JSON files"),
        *shapes_left.sentences("shapes"),
        *not_annotated(finder, [one.key for one in drawings], "JSON"),
    )
    parts = by_folder(drawings, str(data))
    return Drawings(data, str(data), parts, notes=notes)


def _drawing(path: Path, values: Mapping[str, Any], finder: PhotoFinder, left: LeftOut) -> Drawing:
    entries = values["shapes"]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise AnnotationError(f"'shapes' of {path} is no list of shapes; save it again in LabelMe")
    drawn = []
    for number, entry in enumerate(entries, start=1):
        place = f"shape {number} of {path}"
        if entry.get("shape_type") in _NO_REGIONS:
            left.add("points or lines", place)
            continue
        try:
            drawn.append((entry.get("group_id"), _shape(entry, place)))
        except ValueError as error:
            raise AnnotationError(f"{place} {error}; correct or remove it") from error
    key = finder.find(path, values.get("imagePath"))
    return Drawing(key, str(path), _joined(drawn), _size(path, values))


def _shape(entry: Mapping[str, Any], place: str) -> Shape:
    """One shape. Raises `ValueError`, as the end of a sentence."""
    label, points = entry.get("label"), entry.get("points")
    label = label.strip() if isinstance(label, str) else label
    kind = entry.get("shape_type", "polygon")
    if not isinstance(label, str) or not label:
        raise ValueError("has no 'label'")
    if not isinstance(points, list) or not all(isinstance(point, list) for point in points):
        raise ValueError("has no list of 'points'")
    if kind in ("polygon", "oriented_rectangle"):
        return outlined(label, [outline_of(points)], place)
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"is of the type {kind!r}, which isn't known here")
    if len(points) != 2 or any(len(point) != 2 for point in points):
        raise ValueError(f"is a {kind} of {len(points)} points; it takes two, each x and y")
    corners = box_of([*points[0], *points[1]]).reshape(2, 2)
    if kind == "circle":
        radius = float(np.hypot(*(corners[1] - corners[0])))
        centre = float(corners[0, 0]), float(corners[0, 1])
        return outlined(label, [ellipse_of(centre, (radius, radius))], place)
    box = np.concatenate([corners.min(0), corners.max(0)])
    if kind == "rectangle":
        return Shape(label, box, place)
    mask = _picture(entry.get("mask"))
    left, top = np.round(box[:2]).astype(int).tolist()
    box = np.array([left, top, left + mask.shape[1], top + mask.shape[0]], float)
    return Shape(label, box, place, mask=mask, corner=(left, top))


def _picture(text: Any) -> np.ndarray:
    """A mask [y x], from a PNG in base64."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as png:
            mask = np.array(png.convert("L")) > 0
    except (binascii.Error, TypeError, ValueError, OSError, SyntaxError) as error:
        raise ValueError("has no PNG that can be read as 'mask'") from error
    return mask


def _joined(drawn: Sequence[tuple[Any, Shape]]) -> list[Shape]:
    """Joins polygons of one label and one group, which are parts of one object."""
    joined: dict[Any, list[Shape]] = {}
    for number, (group, shape) in enumerate(drawn):
        alone = group is None or not shape.polygons
        joined.setdefault((number,) if alone else (shape.label, str(group)), []).append(shape)
    return [
        parts[0] if len(parts) == 1
        else outlined(parts[0].label, [one.polygons[0] for one in parts], parts[0].place)
        for parts in joined.values()
    ]  # fmt: skip


def _size(path: Path, values: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = values.get("imageHeight"), values.get("imageWidth")
    if height is None or width is None:
        return None
    if not all(isinstance(side, int) and side > 0 for side in (height, width)):
        raise AnnotationError(
            f"{path} has {height!r} and {width!r} as 'imageHeight' and 'imageWidth'; correct them"
        )
    return height, width


FORMAT = drawn_format(read_labelme)
