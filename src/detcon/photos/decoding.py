"""Decodes one photo, or one file of values. All of the package reads photos here."""

import io
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
import tifffile
from jaxtyping import Shaped, UInt8
from PIL import ExifTags, Image

from detcon.files import is_pointer
from detcon.photos.errors import UnreadablePhoto

_JPEG, _PNG, _PNG_END = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"IEND\xaeB\x60\x82"
_JPEG_END = b"\xff\xd9"
_NPY, _TIFF = b"\x93NUMPY", (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_KNOWN = (_JPEG, _PNG, *_TIFF, b"BM", b"GIF8", b"\0\0\0\x0cjP  ", b"P4", b"P5", b"P6")
"""How files of the common kinds begin."""
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # neither a stuffed byte nor a restart
_MOST_PIXELS = 1 << 30  # that OpenCV decodes: a damaged header may claim more
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_HINT = "copy it again or remove it"
_AVIF = (b"ftypavif", b"ftypavis", b"ftypmif1")
_EXIF, _SCAN = b"Exif\0\0", b"\xff\xda"
_HARMLESS = re.compile("Adobe color|JFIF revision|progression sequence|SOS parameters")
_LEFT_OVER = re.compile("([0-9]+) extraneous bytes before marker 0x(..)")

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
    _check_whole(data, name)
    if channels not in (1, 3):
        return _decode_bands(data, name, channels)
    if data.startswith(_TIFF):
        _check_tiff(data, name, channels)
    photo, why = None, ""
    try:
        photo = _decode(data, reduce, channels)
    except ValueError as error:
        why = str(error)
    except (cv2.error, MemoryError):
        pass
    if photo is None:
        raise _undecodable(data, name, why)
    return photo


def read_stored(path: Path, name: str, hint: str = _HINT) -> Shaped[np.ndarray, "y x *c"]:
    """Reads a file's pixels as they are stored: 8 or 16 bits, grey, RGB or RGBA, not turned.

    Args:
        path: A PNG, or another picture that OpenCV reads. A palette becomes colours.
        name: How messages call the file, for instance `the contour map maps/a.png`.
        hint: What to do with a file that is damaged, the end of the message.

    Raises:
        UnreadablePhoto: As for `decode`.
        OSError: The file is missing, or the disk refuses.
    """
    data = path.read_bytes()
    _check_whole(data, name, hint)
    pixels = None
    with suppress(cv2.error, MemoryError):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise _undecodable(data, name, hint=hint)
    if pixels.ndim == 3:
        pixels[..., :3] = pixels[..., 2::-1].copy()  # OpenCV gives BGR
    return pixels


def _check_whole(data: bytes, name: str, hint: str = _HINT) -> None:
    """Raises an `UnreadablePhoto` for an empty file, a pointer of Git LFS, or a part of a file."""
    if not data:
        raise UnreadablePhoto(f"cannot read {name}: the file is empty; {hint}")
    if is_pointer(data):
        raise UnreadablePhoto(
            f"cannot read {name}: it is a pointer of Git LFS, not the picture; run git lfs pull"
        )
    if _ends_early(data):
        raise UnreadablePhoto(f"cannot read {name}: the file ends before the picture does; {hint}")


def _undecodable(data: bytes, name: str, why: str = "", hint: str = _HINT) -> UnreadablePhoto:
    what = "holds no picture" if why else f"holds no picture (it begins with {data[:8]!r})"
    if data.startswith(_KNOWN):
        what = "is damaged" if why else "is damaged or cut off"
    why = f" ({why})" if why else ""
    return UnreadablePhoto(f"cannot read {name}: the file {what}{why}; {hint}")


def _check_tiff(data: bytes, name: str, channels: int) -> None:
    """Raises an `UnreadablePhoto` for a TIFF of bands or pages: of these a first one would do."""
    shape, kind, pages = (), np.dtype(np.uint8), 1
    with suppress(Exception), tifffile.TiffFile(io.BytesIO(data)) as file:  # decoders say the rest
        shape, kind, pages = file.series[0].shape, file.series[0].dtype, len(file.series[0])
    if pages > 1 or kind not in (np.bool_, np.uint8, np.uint16) or max(shape[2:], default=1) > 4:
        raise _of_other_bands(name, shape, kind, channels)


def _of_other_bands(
    name: str, shape: tuple[int, ...], kind: np.dtype | None, channels: int
) -> UnreadablePhoto:
    way_out = "save it with 8 or 16 bits, as rows, columns and bands"
    if kind in (np.uint8, np.uint16) and len(shape) in (2, 3):
        num = min(shape[0], shape[2]) if len(shape) == 3 else 1
        way_out = f"ask for {num} by channels= or encoder.in_channels=, or give other photos"
    return UnreadablePhoto(
        f"cannot read {name}: it is an array of {' x '.join(map(str, shape))} numbers of the kind "
        f"{kind}, but {channels} bands of 8 or 16 bits were asked for; {way_out}"
    )


def orientation(data: bytes) -> int:
    """The EXIF orientation of a JPEG, from 1 to 8; 1 (upright) where there is none."""
    if _EXIF not in data:
        return 1
    exif = Image.Exif()
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as header:
            exif.load(header.info.get("exif", b""))
        return _turn_in(exif)
    except Exception:  # Pillow has no one exception for a damaged header
        return 1


def _turn_in(tags: Mapping[int, Any]) -> int:
    """The orientation among the tags of EXIF or of a TIFF; 1 where there is none that is known."""
    found = tags.get(ExifTags.Base.Orientation, 1)
    return found if found in range(1, 9) else 1


def turn_upright(
    photo: Shaped[np.ndarray, "y x c"], orientation: int
) -> Shaped[np.ndarray, "v u c"]:
    """Turns and mirrors an array as an EXIF orientation says."""
    if orientation >= 5:
        photo = photo.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        photo = photo[::-1]
    if orientation in (2, 3, 6, 7):
        photo = photo[:, ::-1]
    return photo


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


def _decode(data: bytes, reduce: int, channels: int) -> UInt8[np.ndarray, "y x c"] | None:
    photo = _decode_jpeg(data, reduce, channels) if data.startswith(_JPEG) else None
    if photo is not None:
        return photo
    pixels = np.frombuffer(data, np.uint8)
    is_avif = data[4:12] in _AVIF
    as_stored = cv2.IMREAD_IGNORE_ORIENTATION if is_avif else 0  # OpenCV doesn't know AVIF's turns
    if channels == 3 and reduce == 1:
        photo = cv2.imdecode(pixels, cv2.IMREAD_COLOR_RGB | as_stored)
    else:
        kind, part = "GRAYSCALE" if channels == 1 else "COLOR", f"_{reduce}" if reduce > 1 else ""
        flag = getattr(cv2, f"IMREAD_{'REDUCED_' if part else ''}{kind}{part}")
        photo = cv2.imdecode(pixels, flag | as_stored)
        if photo is not None:  # no flag gives a reduced photo as RGB
            photo = photo[..., None] if channels == 1 else cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)
    if photo is None or not is_avif:
        return photo
    return np.ascontiguousarray(turn_upright(photo, _turn_of_avif(data)))


def _turn_of_avif(data: bytes) -> int:
    """The orientation of an AVIF, from the container's own properties, as EXIF numbers it."""
    try:
        with Image.open(io.BytesIO(data), formats=["AVIF"]) as header:
            return _turn_in(header.getexif())
    except Exception:  # Pillow has no one exception for a damaged header
        return 1


def _decode_jpeg(data: bytes, reduce: int, channels: int) -> UInt8[np.ndarray, "y x c"] | None:
    """Decodes a JPEG by libjpeg-turbo, as OpenCV does, but hears its warnings of damage.

    Returns:
        None for what it can't convert to RGB or grey, such as CMYK.

    Raises:
        ValueError: The data are damaged.
    """
    try:
        *size, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        height, width = map(int, size)
    except (ValueError, KeyError):  # of a kind that it doesn't know, or no header
        return None
    if colours not in ("YCbCr", "RGB", "Gray") or height * width > _MOST_PIXELS:
        return None
    decoded = partial(
        simplejpeg.decode_jpeg, data, "GRAY" if channels == 1 else "RGB",
        min_height=-(-height // reduce), min_width=-(-width // reduce), min_factor=reduce,
    )  # fmt: skip
    try:
        photo = decoded()
    except ValueError as error:
        if _costs_pixels(data, str(error)):
            raise
        photo = decoded(strict=False)
    return np.ascontiguousarray(turn_upright(photo, orientation(data)))


def _costs_pixels(data: bytes, warning: str) -> bool:
    """Whether libjpeg warns of damage to the picture itself, and not to its surroundings.

    Data that are left over at the end of a scan are the usual sign: after damage, blocks take
    another number of bits. Some cameras pad the end, though, with bytes of one value.
    """
    found = _LEFT_OVER.search(warning)
    if found is None or found[2] != "d9":
        return not _HARMLESS.search(warning)
    end = data.find(_JPEG_END, data.find(_SCAN))
    return len(set(data[end - int(found[1]) : end])) > 1


def _decode_bands(data: bytes, name: str, channels: int) -> UInt8[np.ndarray, "y x c"]:
    """Decodes a TIFF, a NumPy array or a PNG with a given number of bands of 8 or 16 bits."""
    turn = 1
    try:
        if data.startswith(_NPY):
            photo = np.load(io.BytesIO(data), allow_pickle=False)
        elif data.startswith(_TIFF):
            with tifffile.TiffFile(io.BytesIO(data)) as file:
                photo = file.asarray()
                turn = _turn_in({one.code: one.value for one in file.pages.first.tags})
        else:
            with Image.open(io.BytesIO(data)) as file:
                photo, turn = np.array(file), _turn_in(file.getexif())
    except Exception as error:  # three libraries, each with exceptions of its own
        raise UnreadablePhoto(
            f"cannot read {name}: the file is damaged, or neither TIFF, PNG nor a NumPy array; "
            f"copy it again or remove it"
        ) from error
    if photo.ndim == 3 and photo.shape[0] == channels != photo.shape[2]:
        photo = np.moveaxis(photo, 0, 2)  # a TIFF that holds one band after the other
    if photo.ndim != 3 or photo.shape[2] != channels or photo.dtype not in (np.uint8, np.uint16):
        raise _of_other_bands(name, photo.shape, photo.dtype, channels)
    photo = turn_upright(photo, turn)
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
