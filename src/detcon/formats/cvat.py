"""CVAT's own XML, "CVAT for images 1.1": one file for all photos.

    DIR/annotations.xml      DIR/images/a.jpg      or the photos next to the file
    DIR/{train,val}/annotations.xml                or a file for each split

The split of a photo is its `subset`, if it is train or val, or the folder of its file. Polygons,
ellipses and masks have an outline; boxes are boxes alone, of which turned ones (`rotation`) have
their four corners as outline. Points, lines, cuboids, skeletons and tags are left out.
docs.cvat.ai/docs/manual/advanced/xml_format.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

import numpy as np
from jaxtyping import Bool

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.beside import PhotoFinder, files_below, not_annotated, read_xml
from detcon.formats.reading.drawing import Drawing, Drawings, LeftOut
from detcon.formats.reading.drawn import drawn_format
from detcon.formats.reading.holdout import SPLITS, by_folder, split_of
from detcon.formats.reading.shapes import Shape, ellipse_of, numbers, outline_of, outlined, turned

_SHAPES = ("box", "polygon", "ellipse", "mask")
_NO_REGIONS = ("points", "polyline", "cuboid", "skeleton", "tag")


def read_cvat(data: Path) -> Drawings:
    """Reads `annotations.xml`, or all XML files of a folder. Raises `AnnotationError`."""
    root = data if data.is_dir() else data.parent
    files = [data] if data.is_file() else files_below(data, ".xml")
    finder, left, passed = PhotoFinder(root), LeftOut(), LeftOut()
    drawings, splits, names = [], {}, []
    for path in files:
        content = read_xml(path)
        if content.tag != "annotations":
            passed.add("they begin with no <annotations>, as CVAT's do", str(path))
            continue
        if content.find("track") is not None:
            raise AnnotationError(
                f"{path} is of CVAT for video; export the task as 'CVAT for images 1.1'"
            )
        listed = [name.text or "" for name in content.iterfind("meta//labels/label/name")]
        names += [name for name in listed if name not in names]
        for entry in content.iterfind("image"):
            drawing = _drawing(path, entry, finder, listed, left)
            splits[drawing.key] = SPLITS.get(entry.get("subset", "").lower(), "")
            drawings.append(drawing)
    if not drawings:
        raise AnnotationError(f"there is no <image> of CVAT in the XML files of {data}")
    notes = (
        *passed.sentences("XML files"),
        *left.sentences("shapes"),
        *not_annotated(finder, [one.key for one in drawings], "<image> in the XML"),
    )
    told = any(splits.values())
    parts = _parts(drawings, splits, str(data)) if told else by_folder(drawings, str(data))
    return Drawings(root, str(data), parts, tuple(names), notes)


def _parts(
    drawings: Sequence[Drawing], splits: Mapping[str, str], source: str
) -> dict[str, list[Drawing]]:
    """By the split that a photo's `subset` names, or else its folder. Raises `AnnotationError`."""
    parts: dict[str, list[Drawing]] = {}
    for one in drawings:
        split = splits[one.key] or split_of(PurePosixPath(one.key).parent)
        parts.setdefault(split, []).append(one)
    if alone := parts.get(""):
        raise AnnotationError(
            f"{source} has images with a subset for {' and '.join(sorted({*parts} - {''}))}, but "
            f"{len(alone)} of {len(drawings)} without, the first is {alone[0].place}; give each "
            f"image the subset Train or Validation in CVAT"
        )
    return parts


def _drawing(
    path: Path, entry: Element, finder: PhotoFinder, names: list[str], left: LeftOut
) -> Drawing:
    name = entry.get("name")
    if not name:
        raise AnnotationError(
            f"{path} has an <image> without a name (id {entry.get('id')!r}); write the photo's "
            f"file name into it, or export the task again"
        )
    shapes = []
    for number, shape in enumerate(entry, start=1):
        place = f"<{shape.tag}> {number} of the image {name} in {path}"
        if shape.tag in _NO_REGIONS:
            left.add("points, lines, cuboids or tags", place)
            continue
        label = shape.get("label", "")
        if not label or (names and label not in names):
            raise AnnotationError(
                f"{place} has the label {label!r}, which <labels> doesn't name; correct it, or "
                f"name it there"
            )
        try:
            shapes.append(_shape(shape, label, place))
        except ValueError as error:
            raise AnnotationError(f"{place} {error}; correct or remove it") from error
    try:
        height, width = (int(entry.get(side, "")) for side in ("height", "width"))
    except ValueError as error:
        raise AnnotationError(
            f"the image {name} in {path} has no whole width and height; give both, in pixels"
        ) from error
    return Drawing(_key(path, name, finder), f"the image {name} in {path}", shapes, (height, width))


def _shape(entry: Element, label: str, place: str) -> Shape:
    """One shape. Raises `ValueError`, as the end of a sentence."""
    if entry.tag == "polygon":
        points = [pair.split(",") for pair in (entry.get("points") or "").split(";")]
        return outlined(label, [outline_of(points)], place)
    if entry.tag == "ellipse":
        x, y, rx, ry, degrees = _numbers(entry, "cx", "cy", "rx", "ry", "rotation")
        return outlined(label, [ellipse_of((x, y), (rx, ry), degrees)], place)
    if entry.tag == "mask":
        left, top, width, height = map(int, _numbers(entry, "left", "top", "width", "height"))
        mask = _runs(entry.get("rle") or "", height, width)
        box = np.array([left, top, left + width, top + height], float)
        return Shape(label, box, place, mask=mask, corner=(left, top))
    if entry.tag != "box":
        raise ValueError(f"is none of {', '.join(_SHAPES)}")
    left, top, right, bottom, degrees = _numbers(entry, "xtl", "ytl", "xbr", "ybr", "rotation")
    if not degrees:
        return Shape(label, np.array([left, top, right, bottom]), place)
    centre = np.array([left + right, top + bottom]) / 2
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return outlined(label, [turned(corners - centre, degrees) + centre], place)


def _numbers(entry: Element, *names: str) -> Iterator[float]:
    texts = [entry.get(name, "0" if name == "rotation" else "") for name in names]
    return iter(numbers(texts, ", ".join(names)).tolist())


def _runs(text: str, height: int, width: int) -> Bool[np.ndarray, "y x"]:
    """A mask from the lengths of its runs, row by row, the first of them empty."""
    try:
        runs = np.array([int(run) for run in text.split(",")])
        if runs.min() < 0 or runs.sum() != height * width:
            raise ValueError
    except ValueError as error:
        raise ValueError(f"has an 'rle' whose runs don't fill {height} x {width}") from error
    return (np.repeat(np.arange(len(runs)) % 2, runs) > 0).reshape(height, width)


def _key(path: Path, name: str, finder: PhotoFinder) -> str:
    """The photo below the file's folder, in `images` or not; or the only one of that name."""
    for folder in (path.parent / "images", path.parent):
        if (folder / name).is_file():
            return (folder / name).relative_to(finder.root).as_posix()
    return finder.named(path, name)


FORMAT = drawn_format(read_cvat)
