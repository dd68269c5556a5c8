"""Masks from annotations that people made: data sets as they are downloaded, and what was exported.

Formats give segments (`detcon.formats.segments`) and know nothing of masks; `masks_of` makes masks
of them, once for all formats.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import methodcaller
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.format import check_size
from detcon.formats.registry import FormatName, find_format, formats_with, open_segments, resolved
from detcon.formats.segments import (
    AnySegments,
    OverlappingSegments,
    Regions,
    SegmentOptions,
    Segments,
    SegmentSets,
)
from detcon.masks.masks import LATER, Masks

_ALLOWED = "generator.missing=none or generator.missing=whole allows that"


@dataclass(frozen=True)
class FromAnnotations:
    """Looks the masks of a photo up in annotations, by the photo's key.

    | format | what `folder` is | a mask is |
    |---|---|---|
    | png | has `a/b.png`, or a folder `a/b` of PNGs, for `photos/a/b.jpg` | an id, or a PNG |
    | folder | `train` or `val` of a labelled folder | an object, or a class without objects |
    | coco | the data set, or a JSON file of objects in its format | an object |
    | coco_panoptic | the data set, or a JSON file next to a folder of its name | a segment |
    | voc | `VOC2012`, or what holds it; SBD counts where it is there | an object |
    | cityscapes | holds `leftImg8bit` and `gtFine` | an object, or a class without objects |
    | ade20k | the photos' own, with `b_seg.png` for `b.jpg` | an object |
    | ade20k | SceneParsing: holds `images` and `annotations` | a class |
    | camvid | holds `train`, `trainannot` and so on | a class |
    | bsds | has `a/b.mat` for `photos/a/b.jpg` | a region that a person marked |
    | tfrecord | has the official records, `*-00000-of-02048` | a segment |

    Objects of coco may overlap, and so may masks that have a PNG each.

    Any other format gives its objects or label maps as masks, one of your own too
    (`format=my_module:FORMAT`).

    Photos of coco, voc, cityscapes, camvid and tfrecord are found by the ends of their paths, so
    `images` may be the folder of the photos, one above it or one within it. A PNG may have 8 or 16
    bits, or a palette, whose indices are the ids; in png, and nowhere else, ids keep their values.
    A JSON file is parsed once in each process.

    Args:
        folder: Where the annotations lie; see the table.
        ignore: The id of ignored pixels; None if there is none. For png, folder, voc, tfrecord.
        background: Whether what no object covers (in a PNG, id 0) is a mask too. For png, voc and
            coco.
        format: The format of the annotations; see the table.
        split: train or val, of data sets that have both in one folder.
        regions: "classes" makes one mask of all objects of a class.
        crowd: Whether a crowd (many objects marked as one) is a mask, rather than no mask. For
            coco, coco_panoptic and cityscapes.
        missing: A photo without annotation is an "error", has "none" (no masks), or is "whole":
            one mask covers it. With "whole", so is a photo in which nothing is marked.
        which: Which annotation, from 0, of a photo that has several: in bsds, whose (None: of the
            person who marked the most regions); in tfrecord, at which setting (None: the first).
    """

    folder: str
    ignore: int | None = 255
    background: bool = False
    kind: Literal["annotations"] = "annotations"
    format: FormatName = field(default="png", metadata=LATER)
    split: str = field(default="train", metadata=LATER)
    regions: Regions = field(default="instances", metadata=LATER)
    crowd: bool = field(default=False, metadata=LATER)
    missing: Literal["error", "none", "whole"] = field(default="error", metadata=LATER)
    which: int | None = field(default=None, metadata=LATER)
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        object.__setattr__(self, "format", resolved(self.folder, self.format))
        check_options(self.format, self.options)

    @property
    def options(self) -> SegmentOptions:
        """How the annotations are read."""
        return SegmentOptions(
            **{one.name: getattr(self, one.name) for one in fields(SegmentOptions)}
        )

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Looks the photo's masks up."""
        size = image.shape[:2]
        try:
            people = open_annotations(self.folder, self.format, self.options).read(key)
        except NotAnnotated as error:
            if self.missing == "error":
                raise NotAnnotated(f"{error}; {_ALLOWED}") from error
            return Masks.from_labels(np.full(size, 0 if self.missing == "whole" else -1))
        marked = [masks_of(one, self.options) for one in people]
        found = max(marked, key=lambda one: one.masks.num_masks)
        check_size(f"the annotation {found.place}", found.masks.size, key, size)
        if self.missing == "whole" and found.masks.num_masks == 0:
            return Masks.from_labels(np.zeros(size, np.int16))
        return found.masks

    def not_annotated(self, keys: Sequence[str]) -> list[str]:
        """Those of the photos that have no annotation, found without reading any.

        Raises:
            NotAnnotated: There are some, and `missing` is "error".
            AnnotationError: Two photos would share an annotation.
        """
        opened = open_annotations(self.folder, self.format, self.options)
        annotated = set(find_annotated(opened, keys))
        without = [key for key in keys if key not in annotated]
        if without and self.missing == "error":
            try:
                opened.read(without[0])
            except NotAnnotated as error:
                raise NotAnnotated(
                    f"{error} ({len(without)} of {len(keys)} photos are not annotated; {_ALLOWED})"
                ) from error
        return without


def find_annotated(opened: SegmentSets, keys: Iterable[str]) -> list[str]:
    """Those of the photos that are annotated.

    Raises:
        AnnotationError: Two of them would share an annotation.
    """
    found: dict[str, str] = {}
    for key in keys:
        place = opened.place(key)
        if place is not None and found.setdefault(place, key) != key:
            raise AnnotationError(
                f"the photos {found[place]} and {key} would share the annotation {place}, which is "
                f"of one of them; rename one of them, or leave it out: images= takes a list, too"
            )
    return list(found.values())


@lru_cache(maxsize=4)
def open_annotations(folder: str, format: str, options: SegmentOptions) -> SegmentSets:
    """Opens annotations, once in each process, so that workers only get settings."""
    return open_segments(folder, format, options)


def check_options(format: str, options: SegmentOptions) -> None:
    """Refuses options that the format doesn't have, unless they are at their defaults."""
    known = find_format(format)
    for one in fields(SegmentOptions):
        value = getattr(options, one.name)
        if value != one.default and not known.takes(one.name):
            raise ValueError(
                f"{one.name}={value} means nothing in annotations of format={format}; it is for "
                f"{formats_with(methodcaller('takes', one.name))}"
            )
    if options.which is not None and options.which < 0:
        raise ValueError(f"which={options.which} must be 0 or more")


@dataclass(frozen=True)
class MarkedMasks:
    """The masks of a photo as one person marked them; none of them is empty.

    Void are pixels that are ignored, unlabelled, or a crowd that is no mask; None: there are none.
    """

    masks: Masks
    place: str  # the annotation's name in messages
    void: Bool[np.ndarray, "y x"] | None = None


def masks_of(found: AnySegments, options: SegmentOptions) -> MarkedMasks:
    """The masks of the segments that a format's reader gives."""
    if isinstance(found, Segments):
        masks, void = _of_segments(found, options)
    else:
        masks, void = _of_overlapping(found, options)
    return MarkedMasks(masks, found.place, void if void.any() else None)


def _of_segments(found: Segments, options: SegmentOptions) -> tuple[Masks, Bool[np.ndarray, "y x"]]:
    void = found.ids < 0
    if not options.crowd:
        void |= np.isin(found.ids, found.crowd)
    none = void if options.background else void | np.isin(found.ids, found.unmarked)
    ids = found.ids
    if options.regions == "classes" and found.classes:
        ids = _translated(ids, found.classes)
    ids = np.where(none, -1, ids)
    return Masks.from_labels(ids) if found.keep_ids else _numbered(ids), void


def _of_overlapping(
    found: OverlappingSegments, options: SegmentOptions
) -> tuple[Masks, Bool[np.ndarray, "y x"]]:
    free = np.logical_not(found.stack.any(axis=0))
    kept = ~found.crowd | options.crowd
    # void: pixels of dropped crowds; where an object lies on a crowd, the object counts
    void = np.any(found.stack[~kept], axis=0) & ~np.any(found.stack[kept], axis=0)
    stack, classes = found.stack[kept], found.classes[kept]
    if options.regions == "classes":
        merged = [stack[classes == label].any(0) for label in np.unique(classes)]
        stack = np.reshape(merged, (-1, *free.shape))
    if options.background and found.has_background:
        stack = np.concatenate([stack, free[None]])
    stack = stack[[bool(mask.any()) for mask in stack]]
    if not len(stack):
        return Masks.from_labels(np.full(free.shape, -1)), void
    return Masks.from_stack(stack.astype(bool)), void


def _numbered(ids: Integer[np.ndarray, "y x"]) -> Masks:
    """Disjoint masks of the ids from 0 on, renumbered without gaps in the same order."""
    found, places = np.unique(ids, return_inverse=True)
    return Masks.from_labels((places - np.count_nonzero(found < 0)).reshape(ids.shape))


def _translated(
    ids: Integer[np.ndarray, "y x"], classes: Mapping[int, int]
) -> Integer[np.ndarray, "y x"]:
    found, places = np.unique(ids, return_inverse=True)
    table = np.array([classes.get(number, -1) for number in found.tolist()])
    return table[places].reshape(ids.shape)
