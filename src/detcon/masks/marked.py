"""Masks from what people marked in a photo, and the pixels that they left open (void).

This is done once for all formats: a format gives segments (`detcon.formats.segments`), and knows
nothing of masks.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

from detcon.formats.segments import AnySegments, OverlappingSegments, SegmentOptions, Segments
from detcon.masks.masks import Masks


@dataclass(frozen=True)
class MarkedMasks:
    """The masks of a photo as one person marked them.

    Attributes:
        masks: None of them is empty; there may be none.
        place: How messages call the annotation.
        void: Pixels that are ignored, unlabelled, or a crowd that is no mask; None if there are
            none.
    """

    masks: Masks
    place: str
    void: Bool[np.ndarray, "y x"] | None = None


def masks_of(found: AnySegments, options: SegmentOptions) -> MarkedMasks:
    """The masks that segments stand for.

    Args:
        found: What a format's reader gives.
        options: Whether crowds and background are masks, and whether a class is one.
    """
    derive = _of_segments if isinstance(found, Segments) else _of_overlapping
    masks, void = derive(found, options)
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
    return Masks.from_labels(ids) if found.keep_ids else numbered(ids), void


def _of_overlapping(
    found: OverlappingSegments, options: SegmentOptions
) -> tuple[Masks, Bool[np.ndarray, "y x"]]:
    free = ~found.stack.any(0)
    kept = ~found.crowd | options.crowd
    # a crowd hides nothing: what an object covers as well is known
    void = found.stack[~kept].any(0) & ~found.stack[kept].any(0)
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


def numbered(ids: Integer[np.ndarray, "y x"]) -> Masks:
    """Disjoint masks of the ids that aren't negative, numbered from 0 in their order."""
    found, places = np.unique(ids, return_inverse=True)
    return Masks.from_labels((places - np.count_nonzero(found < 0)).reshape(ids.shape))


def _translated(
    ids: Integer[np.ndarray, "y x"], classes: dict[int, int]
) -> Integer[np.ndarray, "y x"]:
    found, places = np.unique(ids, return_inverse=True)
    table = np.array([classes.get(number, -1) for number in found.tolist()])
    return table[places].reshape(ids.shape)
