"""PASCAL VOC's XML: a file of boxes for each photo, in any folder.

    DIR/Annotations/a.xml    DIR/JPEGImages/a.jpg    DIR/ImageSets/Main/{train,val}.txt
    DIR/{train,val}/a.xml    DIR/{train,val}/a.jpg              as Roboflow exports it

Pixels count from 1 and a box includes its last ones, as in VOC; where a box of the data set begins
at 0, they count from 0. Objects marked `difficult` are neither learnt nor counted. An XML file
belongs to the photo of its own name, or else to that of its `filename`. Everingham et al., "The
PASCAL Visual Object Classes Challenge", IJCV 2010; the development kit, section 6.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

import numpy as np

from detcon.files import read_text
from detcon.formats.errors import AnnotationError
from detcon.formats.reading.beside import PhotoFinder, files_below, not_annotated, read_xml
from detcon.formats.reading.drawing import Drawing, Drawings, LeftOut
from detcon.formats.reading.drawn import drawn_format
from detcon.formats.reading.holdout import by_folder
from detcon.formats.reading.shapes import Shape, box_of

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_MAIN = ("ImageSets/Main", "ImageSets/Layout", "ImageSets/Segmentation")


def read_voc_xml(data: Path) -> Drawings:
    """Reads all XML files of a folder. Raises `AnnotationError`."""
    files = files_below(data, ".xml")
    finder, drawings = PhotoFinder(data), []
    left, outlines = LeftOut(), LeftOut()
    for path in files:
        root = read_xml(path)
        if root.tag != "annotation":
            left.add("they begin with no <annotation>, as VOC's do", str(path))
            continue
        drawings.append(_drawing(path, root, finder, outlines))
    if not drawings:
        raise AnnotationError(
            f"none of the {len(files)} XML files in {data} begins with <annotation>, as VOC's do"
        )
    shapes = [shape for one in drawings for shape in one.shapes]
    first = next((shape.place for shape in shapes if min(shape.box[:2]) <= 0), "")
    shift = 0 if first else 1
    drawings = [
        replace(one, shapes=[_from_zero(shape, shift) for shape in one.shapes]) for one in drawings
    ]
    notes = (
        *([f"pixels of {data} count from 0, not from 1, as those of {first} do"] if first else []),
        *left.sentences("XML files"),
        *outlines.sentences("outlines"),
        *not_annotated(finder, [one.key for one in drawings], "XML"),
    )
    parts, more = _parts(data, drawings)
    return Drawings(data, str(data), parts, notes=(*notes, *more))


def _drawing(path: Path, root: Element, finder: PhotoFinder, outlines: LeftOut) -> Drawing:
    shapes = []
    for number, entry in enumerate(root.findall("object"), start=1):
        place = f"object {number} of {path}"
        name = (entry.findtext("name") or "").strip()
        if not name:
            raise AnnotationError(f"{place} has no <name>; give it its class")
        box = entry.find("bndbox")
        edges = [None if box is None else box.findtext(edge) for edge in _EDGES]
        if None in edges:
            raise AnnotationError(f"{place} has no <bndbox> with {', '.join(_EDGES)}")
        try:
            corners = box_of(edges)
        except ValueError as error:
            raise AnnotationError(f"{place} {error}; correct it") from error
        difficult = (entry.findtext("difficult") or "0").strip()
        if difficult not in ("0", "1"):
            raise AnnotationError(f"{place} has {difficult!r} as <difficult>; it takes 0 or 1")
        if entry.find("polygon") is not None:
            outlines.add("boxes alone are read", place)
        shapes.append(Shape(name, corners, place, crowd=difficult == "1"))
    key = finder.find(path, root.findtext("filename"))
    return Drawing(key, str(path), shapes, _size(path, root))


def _size(path: Path, root: Element) -> tuple[int, int] | None:
    """Height and width; None where they are missing or 0, which some programs write."""
    texts = [root.findtext(f"size/{side}") for side in ("height", "width")]
    if None in texts:
        return None
    try:
        height, width = (int(float(str(text))) for text in texts)
    except (ValueError, OverflowError) as error:
        raise AnnotationError(
            f"{path} has no whole numbers as <size>, but {', '.join(map(str, texts))}; correct "
            f"them, or remove <size>"
        ) from error
    return (height, width) if height and width else None


def _from_zero(shape: Shape, shift: int) -> Shape:
    """A box whose pixels count from 0, and whose right and bottom edge are exclusive."""
    empty = np.array_equal(shape.box[:2], shape.box[2:])  # marked by a click, not by a drag
    return replace(shape, box=shape.box - np.array([shift, shift, shift * empty, shift * empty]))


def _parts(
    data: Path, drawings: Sequence[Drawing]
) -> tuple[dict[str, list[Drawing]], tuple[str, ...]]:
    """By the lists of `ImageSets`, or else by folders; and a sentence on photos in no list."""
    folder = next((data / part for part in _MAIN if (data / part / "train.txt").is_file()), None)
    if folder is None:
        return by_folder(drawings, str(data)), ()
    by_stem: dict[str, Drawing] = {}
    for one in drawings:
        if (other := by_stem.setdefault(PurePosixPath(one.key).stem, one)) is not one:
            if other.key == one.key:
                raise AnnotationError(
                    f"{other.place} and {one.place} are both of the photo {one.key}; remove one"
                )
            raise AnnotationError(
                f"the lists of {folder} can't tell {other.key} from {one.key}; rename one of "
                f"them, and its XML"
            )
    parts, listed = {}, set()
    for split in ("train", "val", "test"):
        path = folder / f"{split}.txt"
        if path.is_file():
            stems = _stems(path, by_stem)
            missing = [stem for stem in stems if stem not in by_stem]
            if missing:
                raise AnnotationError(
                    f"{len(missing)} of the {len(stems)} photos that {path} lists have no XML, the "
                    f"first is {missing[0]}; add it, or remove the line"
                )
            parts[split] = [by_stem[stem] for stem in stems]
            listed |= set(stems)
    rest = sorted(set(by_stem) - listed)
    if not rest:
        return parts, ()
    return parts, (
        f"photos left out: {len(rest)} of {len(by_stem)} (in no list of {folder}), the first is "
        f"{by_stem[rest[0]].key}",
    )


def _stems(path: Path, known: Collection[str]) -> list[str]:
    """The photos of a list by their stems; some lists have whole names, or paths."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise AnnotationError(f"cannot read the list {path}: {error}") from error
    words = [PurePosixPath(line.split()[0]) for line in lines if line.strip()]
    stems = [one.name if one.name in known else one.stem for one in words]
    if stems and (most := Counter(stems).most_common(1)[0])[1] > 1:
        raise AnnotationError(f"the list {path} has {most[0]} twice; remove one of the lines")
    return stems


FORMAT = drawn_format(read_voc_xml)
