"""Human annotations as masks: label or instance maps in PNG files."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import UInt8

from detcon.annotations.errors import AnnotationError
from detcon.annotations.label_maps import read_ids
from detcon.masks.masks import Masks


@dataclass(frozen=True)
class FromAnnotations:
    """Reads the masks of `photos/a/b.jpg` from `folder/a/b.png`: the pixel's value is its id.

    Maps may have 8 or 16 bits, or a palette, whose indices are the ids (as in Pascal VOC).
    Ids keep their values. In a label map all objects of a class are one mask; give instance maps
    to tell them apart.

    Args:
        folder: Where the PNG files lie, in the same subfolders and under the same stems as the
            photos in theirs.
        ignore: A value that belongs to no mask; None if there is none.
        background: Whether value 0 is a mask as well, and not just where no object is.
    """

    folder: str
    ignore: int | None = 255
    background: bool = False
    kind: Literal["annotations"] = "annotations"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Looks the photo's masks up.

        Raises:
            AnnotationError: No annotation of that name, one of another size than the photo, one
                with several channels, or a file that is no PNG.
        """
        path = Path(self.folder, PurePosixPath(key).with_suffix(".png"))
        ids = read_ids(path, photo=key)
        if ids.shape != image.shape[:2]:
            raise AnnotationError(
                f"the annotation {path} has {ids.shape[0]} x {ids.shape[1]} pixels, but its photo "
                f"{key} has {image.shape[0]} x {image.shape[1]}; they must match"
            )
        none = np.zeros(ids.shape, bool) if self.background else ids == 0
        if self.ignore is not None:
            none |= ids == self.ignore
        return Masks.from_labels(np.where(none, -1, ids))
