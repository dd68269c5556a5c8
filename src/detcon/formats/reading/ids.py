"""Maps of ids in PNG files."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer
from PIL import Image

from detcon.formats.errors import AnnotationError, NotAnnotated

_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B")


def read_ids(path: Path, photo: str = "") -> Integer[np.ndarray, "y x"]:
    """Reads a PNG of ids as it is: no palette applied, no rotation, no scaling.

    Args:
        path: The file.
        photo: The photo it belongs to, for messages.

    Raises:
        NotAnnotated: There is no such file.
        AnnotationError: It is no PNG of one channel.
    """
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            mode, ids = picture.mode, np.array(picture)
    except FileNotFoundError as error:
        raise NotAnnotated(
            f"there is no annotation {path} for the photo {photo}; annotations are PNG files "
            f"with the photos' own names, in the same subfolders"
        ) from error
    except Exception as error:  # Pillow has no one exception for a damaged file
        raise AnnotationError(
            f"the annotation {path} is no PNG that can be read; save it again as an 8-bit, "
            f"16-bit or palette PNG"
        ) from error
    if mode not in _ONE_CHANNEL:
        raise AnnotationError(
            f"the annotation {path} has the channels {mode}, but ids take one; save it as an "
            f"8-bit, 16-bit or palette PNG"
        )
    return ids.astype(np.int32)
