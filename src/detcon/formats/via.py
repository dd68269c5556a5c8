"""VIA (VGG Image Annotator 1 and 2): a JSON file of all photos, next to them.

    DIR/via_region_data.json  DIR/a.jpg          DIR/{train,val}/via_region_data.json

Reads exported annotations and whole projects. A region's class is its attribute `class`, `label`,
`name`, `type` or `category`, or the only attribute that there is; regions without attributes are
all of the class "object". Polygons, circles and ellipses have an outline; rectangles are boxes
alone; points and lines are left out. robots.ox.ac.uk/~vgg/software/via.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.beside import PhotoFinder, files_below, not_annotated, read_json
from detcon.formats.reading.drawing import Drawing, Drawings, LeftOut
from detcon.formats.reading.drawn import drawn_format
from detcon.formats.reading.holdout import by_folder
from detcon.formats.reading.shapes import Shape, box_of, ellipse_of, numbers, outline_of, outlined

_NO_REGIONS = ("point", "polyline")
_NOT_TICKED = (False, None, "", "0", "false", "False")
_CLASS = ("class", "label", "name", "type", "category")


def read_via(data: Path) -> Drawings:
    """Reads a JSON file, or all of a folder that are VIA's. Raises `AnnotationError`."""
    root = data if data.is_dir() else data.parent
    files = [data] if data.is_file() else files_below(data, ".json")
    finder, left, passed = PhotoFinder(root), LeftOut(), LeftOut()
    found = {}
    for path in files:
        entries = _entries(read_json(path))
        if entries is None:
            passed.add("they have no 'filename' and 'regions', as VIA's do", str(path))
        else:
            found[path] = entries
    if not found:
        raise AnnotationError(
            f"no JSON file in {data} has entries with 'filename' and 'regions', as VIA's do"
        )
    attribute = _class_attribute(found, data)
    drawings = [
        _drawing(path, entry, attribute, finder, left)
        for path, entries in found.items()
        for entry in entries
    ]
    notes = (
        *passed.sentences("JSON files"),
        *left.sentences("regions"),
        *not_annotated(finder, [one.key for one in drawings], "entry in the JSON"),
    )
    parts = by_folder(drawings, str(data))
    return Drawings(root, str(data), parts, notes=notes)


def _entries(values: Any) -> list[Mapping[str, Any]] | None:
    """The entries of a file, one a photo; None if it isn't VIA's."""
    if isinstance(values, dict) and "_via_img_metadata" in values:
        values = values["_via_img_metadata"]
    if not isinstance(values, dict) or not values:
        return None
    entries = list(values.values())
    is_via = all(
        isinstance(one, dict) and "filename" in one and "regions" in one for one in entries
    )
    return entries if is_via else None


def _regions(entry: Mapping[str, Any], place: str) -> list[Mapping[str, Any]]:
    """The regions of a photo: a list in VIA 2, by number in VIA 1."""
    regions = entry["regions"]
    regions = list(regions.values()) if isinstance(regions, dict) else regions
    if not isinstance(regions, list) or not all(
        isinstance(one, dict) and isinstance(one.get("shape_attributes"), dict) for one in regions
    ):
        raise AnnotationError(f"{place} has 'regions' without 'shape_attributes'; export it again")
    return regions


def _class_attribute(found: Mapping[Path, list[Mapping[str, Any]]], data: Path) -> str | None:
    """The attribute that is the class; None if there are no attributes.

    Raises:
        AnnotationError: There are several, and none has the name of a class.
    """
    names: set[str] = set()
    for path, entries in found.items():
        for entry in entries:
            for region in _regions(entry, f"{entry['filename']} in {path}"):
                names |= set(_attributes(region))
    known = [name for name in _CLASS if name in names] or sorted(names)
    if len(known) > 1 and known[0] not in _CLASS:
        raise AnnotationError(
            f"the regions of {data} have the attributes {', '.join(known)}; name the one that is "
            f"the class 'class'"
        )
    return known[0] if known else None


def _attributes(region: Mapping[str, Any]) -> Mapping[str, Any]:
    attributes = region.get("region_attributes")
    return attributes if isinstance(attributes, dict) else {}


def _drawing(
    path: Path, entry: Mapping[str, Any], attribute: str | None, finder: PhotoFinder, left: LeftOut
) -> Drawing:
    name = entry["filename"]
    if not isinstance(name, str) or not name:
        raise AnnotationError(f"{path} has an entry with {name!r} as 'filename'; it takes a name")
    where, shapes = f"{name} in {path}", []
    for number, region in enumerate(_regions(entry, where), start=1):
        place = f"region {number} of {where}"
        if region["shape_attributes"].get("name") in _NO_REGIONS:
            left.add("points or lines", place)
            continue
        try:
            label = _label(region, attribute)
            shapes.append(_shape(region["shape_attributes"], label, place))
        except ValueError as error:
            raise AnnotationError(f"{place} {error}; correct or remove it") from error
    return Drawing(finder.named(path, name), where, shapes)


def _label(region: Mapping[str, Any], attribute: str | None) -> str:
    if attribute is None:
        return "object"
    value = _attributes(region).get(attribute)
    if isinstance(value, dict):  # a checkbox: the options that are ticked
        ticked = [name for name, is_on in value.items() if is_on not in _NOT_TICKED]
        value = ticked[0] if len(ticked) == 1 else None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"has no one class in its attribute '{attribute}'")
    return value.strip()


def _shape(values: Mapping[str, Any], label: str, place: str) -> Shape:
    """One region. Raises `ValueError`, as the end of a sentence."""
    kind = values.get("name")
    if kind == "polygon":
        xs, ys = values.get("all_points_x"), values.get("all_points_y")
        if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
            raise ValueError("has no 'all_points_x' and 'all_points_y' of the same length")
        return outlined(label, [outline_of(zip(xs, ys, strict=True))], place)
    if kind == "rect":
        left, top, width, height = _numbers(values, "x", "y", "width", "height")
        return Shape(label, box_of([left, top, left + width, top + height]), place)
    if kind == "circle":
        x, y, radius = _numbers(values, "cx", "cy", "r")
        return outlined(label, [ellipse_of((x, y), (radius, radius))], place)
    if kind == "ellipse":
        x, y, rx, ry = _numbers(values, "cx", "cy", "rx", "ry")
        [theta] = _numbers({"theta": 0} | dict(values), "theta")
        degrees = math.degrees(theta)
        return outlined(label, [ellipse_of((x, y), (rx, ry), degrees)], place)
    raise ValueError(f"has a shape {kind!r}, which isn't known here")


def _numbers(values: Mapping[str, Any], *names: str) -> Iterator[float]:
    return iter(numbers([values.get(name) for name in names], ", ".join(names)).tolist())


FORMAT = drawn_format(read_via)
