"""Human annotations as masks, from data sets as they are downloaded and from what was exported."""

from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import methodcaller
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import UInt8

from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.registry import FormatName, find_format, formats_with, open_segments
from detcon.formats.segments import Regions, SegmentOptions, SegmentSets
from detcon.masks.marked import masks_of
from detcon.masks.masks import LATER, Masks


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
        ignore: The id that belongs to no mask; None if there is none. Of png, folder, voc and
            tfrecord.
        background: Whether what no object covers (in a PNG, id 0) is a mask as well. Of png, voc
            and coco.
        format: What the annotations are.
        split: train or val, of data sets that have both in one folder.
        regions: "classes" makes one mask of all objects of a class.
        crowd: Whether many objects that weren't separated are a mask, rather than no mask. Of
            coco, coco_panoptic and cityscapes.
        missing: What becomes of a photo without annotation: an "error", "none" (no masks), or
            "whole": one mask that covers it, as it then does where nothing is marked in a photo.
        which: Which annotation, from 0, of a photo that has several: which person's in bsds (None:
            who marked the most regions), which setting's in tfrecord (None: the first).
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
        check_options(self.format, self.options)

    @property
    def options(self) -> SegmentOptions:
        """How the annotations are read."""
        return SegmentOptions(
            **{one.name: getattr(self, one.name) for one in fields(SegmentOptions)}
        )

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Looks the photo's masks up.

        Raises:
            NotAnnotated: There is no annotation of the photo, and `missing` is "error".
            AnnotationError: One of another size than the photo, or one that can't be used.
        """
        size = image.shape[:2]
        try:
            people = open_annotations(self.folder, self.format, self.options).read(key)
        except NotAnnotated as error:
            if self.missing == "error":
                raise NotAnnotated(
                    f"{error} (missing=none or missing=whole let it pass)"
                ) from error
            return Masks.from_labels(np.full(size, 0 if self.missing == "whole" else -1))
        marked = [masks_of(one, self.options) for one in people]
        found = max(marked, key=lambda one: one.masks.num_masks)
        if found.masks.size != size:
            there = found.masks.size
            raise AnnotationError(
                f"the annotation {found.place} has {there[0]} x {there[1]} pixels, but its photo "
                f"{key} has {size[0]} x {size[1]}; they must match"
            )
        if self.missing == "whole" and found.masks.num_masks == 0:
            return Masks.from_labels(np.zeros(size, np.int16))
        return found.masks


@lru_cache(maxsize=4)
def open_annotations(folder: str, format: str, options: SegmentOptions) -> SegmentSets:
    """Opens annotations once in a process: workers get settings alone.

    Raises:
        AnnotationError: There are none, or they can't be used.
    """
    return open_segments(folder, format, options)


def check_options(format: str, options: SegmentOptions) -> None:
    """Checks that the options mean something in a format.

    Raises:
        ValueError: One of them doesn't, or there is no such format.
    """
    known = find_format(format)
    for name, default in ((one.name, one.default) for one in fields(SegmentOptions)):
        value = getattr(options, name)
        if value != default and not known.takes(name):
            raise ValueError(
                f"{name}={value} means nothing in annotations of format={format}; it is for "
                f"{formats_with(methodcaller('takes', name))}"
            )
    if options.which is not None and options.which < 0:
        raise ValueError(f"which={options.which} is no place in a list; they begin at 0")
