"""The data-set formats by name; opens a data set by the name of its format.

A new format is a module with a `FORMAT`, and one line in `FORMATS`. A format outside this package
needs no line: its name is its place, as in `format=my_module:FORMAT`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from detcon.config import find_named, is_recorded, nearest
from detcon.formats.errors import AnnotationError
from detcon.formats.format import (
    ClassifiedPhotos,
    DepthMaps,
    Format,
    LabelMaps,
    ObjectSets,
    segments_of_labels,
    segments_of_objects,
)
from detcon.formats.reading.holdout import Holdout
from detcon.formats.recognising import AUTO, recognise
from detcon.formats.segments import SegmentOptions, SegmentSets
from detcon.formats.writing.scenes import Layout, ScenesPlan
from detcon.notes import note

FORMATS = {
    "png": "detcon.formats.png:FORMAT",
    "folder": "detcon.formats.folder:FORMAT",
    "coco": "detcon.formats.coco:FORMAT",
    "coco_panoptic": "detcon.formats.coco:PANOPTIC",
    "voc": "detcon.formats.voc:FORMAT",
    "cityscapes": "detcon.formats.cityscapes:FORMAT",
    "ade20k": "detcon.formats.ade20k:FORMAT",
    "nyu": "detcon.formats.nyu:FORMAT",
    "camvid": "detcon.formats.camvid:FORMAT",
    "bsds": "detcon.formats.bsds:FORMAT",
    "imagenet": "detcon.formats.imagenet:FORMAT",
    "tfrecord": "detcon.formats.tfrecord:FORMAT",
    "yolo": "detcon.formats.yolo:FORMAT",
    "voc_xml": "detcon.formats.voc_xml:FORMAT",
    "labelme": "detcon.formats.labelme:FORMAT",
    "cvat": "detcon.formats.cvat:FORMAT",
    "via": "detcon.formats.via:FORMAT",
    "hugging_face": "detcon.formats.hugging_face:FORMAT",
}
"""Where each format is: loaded when asked for."""


def find_format(name: str) -> Format:
    """The format of a name, or of a place such as `my_module:FORMAT`.

    Raises:
        ValueError: There is none; the message lists all names and the nearest.
    """
    if name not in FORMATS and ":" not in name:
        raise ValueError(
            f"there is no format '{name}'{nearest(name, FORMATS)}; all are {', '.join(FORMATS)}, "
            f"or one of your own as my_module:FORMAT"
        )
    found = find_named(FORMATS.get(name, name), "format")
    if not isinstance(found, Format):
        raise ValueError(f"'{name}' is no detcon.formats.format.Format, but {found!r}")
    return found


def formats_with(has: Callable[[Format], Any]) -> str:
    """The names of the formats that have something, for messages."""
    return ", ".join(name for name in FORMATS if has(find_format(name)))


def check_name(name: str, info: Any) -> str:
    """The name itself, if it is "auto" or a format's. Raises what `find_format` does.

    What a file of ours names, such as a model's settings, isn't imported: it may be code.
    """
    if name not in FORMATS and name != AUTO and not is_recorded(info):
        find_format(name)
    return name


FormatName = Annotated[str, AfterValidator(check_name)]
"""The name of a format, in settings."""


def resolved(data: str | Path, format: str) -> str:
    """The format's name; for "auto" the recognised one, noted. Raises `AnnotationError`."""
    if format != AUTO:
        return format
    found, sign = recognise(data)
    note(f"{data}: format={found}, recognised by {sign}")
    return found


def open_label_maps(data: str | Path, format: str, split: str, **options: Any) -> LabelMaps:
    """Opens photos with a class for each pixel.

    Args:
        data: The data set, as the module of its format describes it.
        format: The name of the format; "auto" recognises it.
        split: train or val.
        options: `holdout`: how val is drawn where the data set has none. Further arguments of the
            format's own function.

    Raises:
        AnnotationError: The format has no label maps, or the data set can't be used.
        PhotosError: There are no photos.
    """
    return _open("label_maps", "label maps", data, format, split, options)


def open_objects(data: str | Path, format: str, split: str, **options: Any) -> ObjectSets:
    """Opens photos with objects: boxes, classes and masks. Otherwise as `open_label_maps`."""
    return _open("objects", "objects", data, format, split, options)


def open_depth(data: str | Path, format: str, split: str, **options: Any) -> DepthMaps:
    """Opens photos with the depth of each pixel. Otherwise as `open_label_maps`."""
    return _open("depth", "depth", data, format, split, options)


def open_classes(data: str | Path, format: str, split: str, **options: Any) -> ClassifiedPhotos:
    """Opens photos with a class each. Otherwise as `open_label_maps`."""
    return _open("classes", "classes of whole photos", data, format, split, options)


def open_segments(data: str | Path, format: str, options: SegmentOptions) -> SegmentSets:
    """Opens the annotated regions of photos, for masks and for scoring.

    A format without segments of its own gives its objects, or the classes of its label maps.
    Raises `AnnotationError`.
    """
    path = Path(data)
    if not path.exists():
        raise AnnotationError(f"there are no annotations {path}; check generator.folder")
    format = resolved(path, format)
    found = find_format(format)
    if found.segments is not None:
        with _another_format(path, format, "segments"):
            return found.segments(path, options)
    if found.objects is not None and (options.regions == "instances" or not found.label_maps):
        return segments_of_objects(found.objects(path, options.split), path, options.split)
    maps = _opener(format, "label_maps", "masks")(path, options.split)
    return segments_of_labels(maps, path, options.split)


def open_layout(root: Path, format: str, plan: ScenesPlan) -> Layout:
    """What writes scenes in a format, into the folder `root`.

    Raises:
        AnnotationError: Scenes can't be written in this format.
        FormatError: The format has no room for all the classes.
    """
    return _opener(format, "layout", "layout for scenes")(root, plan)


def _open(
    what: str, words: str, data: str | Path, format: str, split: str, options: dict[str, Any]
) -> Any:
    """Opens a split; leaves `holdout` out where it is None."""
    format = resolved(data, format)
    opener = _opener(format, what, words)
    holdout: Holdout | None = options.pop("holdout", None)
    if holdout is None:
        with _another_format(data, format, what):
            return opener(data, split, **options)
    if not find_format(format).draws_split:
        if other := _looks_like(data, format, what):
            raise AnnotationError(f"{other}; give that, or leave val= out")
        raise AnnotationError(
            f"val= draws a split, but data in the format '{format}' has its own; leave it out "
            f"(it is for {formats_with(lambda one: one.draws_split)})"
        )
    with _another_format(data, format, what):
        return opener(data, split, holdout=holdout, **options)


@contextmanager
def _another_format(data: str | Path, format: str, what: str) -> Iterator[None]:
    """Adds to an error that the data look like another format, if they do.

    Not where the other one would read them by the same function.
    """
    try:
        yield
    except AnnotationError as error:
        if other := _looks_like(data, format, what):
            raise type(error)(f"{error}; {other}") from error
        raise


def _looks_like(data: str | Path, format: str, what: str) -> str:
    """The sentence that the data look like another format; "" if they don't."""
    found, sign = format, ""
    with suppress(AnnotationError):
        found, sign = recognise(data)
    if found in (format, "png") or format not in FORMATS:
        return ""
    if getattr(find_format(found), what) is getattr(find_format(format), what):
        return ""
    return f"{data} looks like format={found}, by {sign}"


def _opener(format: str, what: str, words: str) -> Callable[..., Any]:
    opener = getattr(find_format(format), what)
    if opener is None:
        raise AnnotationError(
            f"data in the format '{format}' has no {words}; formats that have: "
            f"{formats_with(lambda one: getattr(one, what))}"
        )
    return opener
