"""PNG files of ids: maps of one channel, and codes in three."""

from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer
from PIL import Image

from detcon.formats.errors import AnnotationError, NotAnnotated

_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B")
_SAVE = "save it again as an 8-bit, 16-bit or palette PNG"


def read_ids(path: Path, photo: str = "") -> Integer[np.ndarray, "y x"]:
    """Reads a PNG of ids as it is: no palette applied, no rotation, no scaling.

    Args:
        path: The file.
        photo: The photo it belongs to, for messages.

    Raises:
        NotAnnotated: There is no such file.
        AnnotationError: It is no PNG of one channel.
    """
    mode, ids = _read(
        path, photo,
        missing="; annotations are PNG files with the photos' own names, in the same subfolders",
        damaged=f"; {_SAVE}",
    )  # fmt: skip
    if mode not in _ONE_CHANNEL:
        raise AnnotationError(
            f"the annotation {path} has the channels {mode}, but ids take one; "
            f"{_SAVE.replace(' again', '')}"
        )
    return ids.astype(np.int32)


def read_rgb(
    path: Path, photo: str, *, missing: str = "", wrong: str
) -> Int32[np.ndarray, "3 y x"]:
    """Reads a PNG whose colours are codes.

    Args:
        path: The file.
        photo: The photo it belongs to, for messages.
        missing: What else to say where there is no such file.
        wrong: What to say of other channels than RGB.

    Raises:
        NotAnnotated: There is no such file.
        AnnotationError: It is no PNG of three channels.
    """
    mode, colours = _read(path, photo, missing=missing)
    if mode != "RGB":
        raise AnnotationError(f"the annotation {path} has the channels {mode}, but {wrong}")
    return np.moveaxis(colours.astype(np.int32), 2, 0)


def _read(path: Path, photo: str, missing: str, damaged: str = "") -> tuple[str, np.ndarray]:
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return picture.mode, np.array(picture)
    except FileNotFoundError as error:
        raise NotAnnotated(
            f"there is no annotation {path} for the photo {photo}{missing}"
        ) from error
    except Exception as error:  # Pillow has no one exception for a damaged file
        raise AnnotationError(
            f"the annotation {path} is no PNG that can be read{damaged}"
        ) from error
