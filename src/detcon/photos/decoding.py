"""Decodes one photo. All of the package reads photos here."""

import io
import re

import cv2
import numpy as np
import tifffile
from jaxtyping import UInt8
from PIL import ExifTags, Image

from detcon.photos.errors import UnreadablePhoto

_JPEG, _PNG, _PNG_END = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"IEND\xaeB\x60\x82"
_JPEG_END = b"\xff\xd9"
_NPY, _TIFF = b"\x93NUMPY", (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # neither a stuffed byte nor a restart
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA


# OpenCV's own messages don't name the file; ours do.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode(
    data: bytes, name: str, reduce: int = 1, channels: int = 3
) -> UInt8[np.ndarray, "y x {channels}"]:
    """Decodes the bytes of a photo to upright 8-bit RGB, to grey, or to its bands.

    Grey is repeated into three channels, 16 bits keep their upper 8, alpha is dropped, CMYK is
    converted, and the EXIF orientation is applied, so that sizes are those a viewer shows. With
    one channel, colours become grey. With another number, the file must hold exactly that many
    bands: a TIFF, a NumPy array `[y x bands]` of 8 or 16 bits, or a PNG with alpha for 4. They are
    taken as they are.

    A file that ends early is an error here, although decoders may fill the rest with grey: masks
    of a grey half would be noise.

    Args:
        data: The whole file.
        name: How messages call the photo.
        reduce: 2, 4 or 8 give a JPEG at 1/2, 1/4 or 1/8 of its size, rounded up, in less time:
            each pixel is the mean of those that it stands for, but for the decoder's rounding.
        channels: 3 for RGB, 1 for grey, else how many bands the file must have.

    Raises:
        UnreadablePhoto: An empty file, one that is no photo, or one that is cut off or damaged.
    """
    if not data:
        raise UnreadablePhoto(f"cannot read {name}: the file is empty; copy it again or remove it")
    if _ends_early(data):
        raise UnreadablePhoto(
            f"cannot read {name}: the file ends before the picture does; copy it again or remove it"
        )
    if channels not in (1, 3):
        return _decode_bands(data, name, channels)
    try:
        photo = _decode(np.frombuffer(data, np.uint8), reduce, channels)
    except (cv2.error, MemoryError):
        photo = None
    if photo is None:
        what = "is damaged" if data.startswith((_JPEG, _PNG)) else "holds no photo"
        raise UnreadablePhoto(
            f"cannot read {name}: the file {what} (it begins with {data[:8]!r}); "
            f"copy it again or remove it"
        )
    return photo


def orientation(data: bytes) -> int:
    """The EXIF orientation of a photo, from 1 to 8; 1 (upright) where there is none."""
    try:
        with Image.open(io.BytesIO(data)) as header:
            found = header.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow has no one exception for a damaged file; decoding reports it
        return 1
    return found if found in range(1, 9) else 1


def upright_size(data: bytes) -> tuple[int, int] | None:
    """The height and width of a JPEG after decoding, from its header; None where it has none."""
    if not data.startswith(_JPEG):
        return None
    try:
        with Image.open(io.BytesIO(data)) as header:
            width, height = header.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return (width, height) if orientation(data) >= 5 else (height, width)


def _decode(
    data: UInt8[np.ndarray, " n"], reduce: int, channels: int
) -> UInt8[np.ndarray, "y x c"] | None:
    if channels == 3 and reduce == 1:
        return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    kind, part = "GRAYSCALE" if channels == 1 else "COLOR", f"_{reduce}" if reduce > 1 else ""
    photo = cv2.imdecode(data, getattr(cv2, f"IMREAD_{'REDUCED_' if part else ''}{kind}{part}"))
    if photo is None or channels == 1:
        return None if photo is None else photo[..., None]
    return cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)  # no flag gives a reduced photo as RGB


def _decode_bands(data: bytes, name: str, channels: int) -> UInt8[np.ndarray, "y x c"]:
    """Decodes a TIFF, a NumPy array or a PNG with a given number of bands of 8 or 16 bits."""
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


def _ends_early(data: bytes) -> bool:
    if data.startswith(_PNG):
        return _PNG_END not in data
    return data.startswith(_JPEG) and not _reaches_end_of_jpeg(data)


def _reaches_end_of_jpeg(data: bytes) -> bool:
    """Whether a JPEG has an end marker after its first scan.

    Searching the whole file would be fooled by a thumbnail before the picture. Inside a scan an
    end marker can't be anything else, and the first one comes before the film that phones append.
    """
    position = 2
    while found := _MARKER.search(data, position):
        marker, position = data[found.end() - 1], found.end()
        if marker == _START_OF_SCAN:
            # most files end right there, which saves the search
            return data.endswith(_JPEG_END) or data.find(_JPEG_END, position) >= 0
        if marker == _END_OF_IMAGE:
            return True
        position += int.from_bytes(data[position : position + 2])  # skip the segment's payload
    return False
