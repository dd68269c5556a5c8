"""Decodes photos with more bands than RGB."""

import io

import numpy as np
import tifffile
from jaxtyping import UInt8
from PIL import Image

from detcon.photos.errors import UnreadablePhoto

_NPY, _TIFF = b"\x93NUMPY", (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def decode_bands(data: bytes, name: str, channels: int) -> UInt8[np.ndarray, "y x c"]:
    """Decodes a TIFF, a NumPy array or a PNG with a given number of bands of 8 or 16 bits.

    Raises:
        UnreadablePhoto: If it is none of these, or has another number of bands.
    """
    try:
        if data.startswith(_NPY):
            photo = np.load(io.BytesIO(data), allow_pickle=False)
        elif data.startswith(_TIFF):
            photo = tifffile.imread(io.BytesIO(data))
        else:
            photo = np.array(Image.open(io.BytesIO(data)))
    except Exception as error:  # three libraries, each with exceptions of its own
        raise UnreadablePhoto(
            f"cannot read {name}: the file is damaged, or neither TIFF, PNG nor a NumPy array; "
            f"copy it again or remove it"
        ) from error
    if photo.ndim == 3 and photo.shape[0] == channels != photo.shape[2]:
        photo = np.moveaxis(photo, 0, 2)  # a TIFF that holds one band after the other
    if photo.ndim != 3 or photo.shape[2] != channels or photo.dtype not in (np.uint8, np.uint16):
        raise UnreadablePhoto(
            f"cannot read {name}: it is an array of {' x '.join(map(str, photo.shape))} numbers of "
            f"the kind {photo.dtype}, but {channels} bands of 8 or 16 bits were asked for"
        )
    return np.ascontiguousarray(photo if photo.dtype == np.uint8 else photo >> 8, np.uint8)
