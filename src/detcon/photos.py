"""Photos: listing a collection, and decoding one photo, in one place and in one way.

Masks are made from these pixels and training cuts from these pixels, so both must agree on which
way is up and how large a photo is: whatever reads photos reads them here. No torch.
"""

import csv
import difflib
import io
import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import tifffile
from jaxtyping import UInt8
from PIL import Image

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
BAND_EXTENSIONS = (".npy", ".png", ".tif", ".tiff")  # of photos of other than 1 or 3 channels

_JPEG, _PNG, _PNG_END = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"IEND\xaeB\x60\x82"
_JPEG_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # neither a stuffed byte nor a restart
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA

_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_REDUCED_GREY = {
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_ORIENTATION = 0x0112  # of EXIF
_NPY, _TIFF = b"\x93NUMPY", (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_AT_ONCE = 4  # channels that OpenCV resizes

# OpenCV would complain beside us, without naming the file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class PhotosError(ValueError):
    """A collection of photos that can't be opened."""


class UnreadablePhoto(ValueError):
    """A photo that can't be decoded; the message names it."""


def decode(
    data: bytes, name: str, reduce: int = 1, channels: int = 3
) -> UInt8[np.ndarray, "y x {channels}"]:
    """Decodes the bytes of a photo to upright 8-bit RGB, to grey, or to its bands.

    Grey is repeated into three channels, 16 bits keep their upper 8, alpha is dropped, CMYK is
    converted, and the EXIF orientation is applied, so that sizes are those a viewer shows. With
    one channel, colours become grey. With another number, the file must hold just so many bands,
    as a TIFF, as a NumPy array `[y x bands]` of 8 or 16 bits, or as a PNG with alpha for 4, and
    they are taken as they are.

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


def upright_size(data: bytes) -> tuple[int, int] | None:
    """The height and width that a JPEG will have when decoded, from its header.

    Args:
        data: The whole file.

    Returns:
        None where it is no JPEG, or its header can't be read.
    """
    if not data.startswith(_JPEG):
        return None
    try:
        with Image.open(io.BytesIO(data)) as header:
            width, height = header.size
            lies = header.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return (width, height) if lies else (height, width)


def shrink(photo: UInt8[np.ndarray, "y x c"], max_side: int | None) -> UInt8[np.ndarray, "h w c"]:
    """Brings the longest side down to `max_side` by area averaging; never enlarges."""
    height, width = photo.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return photo
    factor = max_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return resize(photo, size, cv2.INTER_AREA)


def resize(
    photo: UInt8[np.ndarray, "y x c"], size: tuple[int, int], how: int
) -> UInt8[np.ndarray, "h w c"]:
    """OpenCV's resize for any number of channels: it takes four at most, and drops a single one.

    Args:
        photo: The picture.
        size: Width and height.
        how: One of OpenCV's interpolations.
    """
    channels = photo.shape[2]
    if 1 < channels <= _AT_ONCE:
        return cv2.resize(photo, size, interpolation=how)
    groups = np.split(photo, range(_AT_ONCE, channels, _AT_ONCE), axis=2)
    parts = [cv2.resize(np.ascontiguousarray(g), size, interpolation=how) for g in groups]
    return np.dstack(parts)


def shown(photo: UInt8[np.ndarray, "y x c"]) -> UInt8[np.ndarray, "y x 3"]:
    """A picture for people: grey is repeated, of more than three bands the first three are RGB."""
    if photo.shape[2] < 3:
        photo = photo[..., :1].repeat(3, axis=2)
    return np.ascontiguousarray(photo[..., :3])


@dataclass(frozen=True, eq=False)
class Photos:
    """A collection of photos, by key; holds names only, so it is cheap to hand to workers.

    Attributes:
        source: What the user called the collection: a folder or a manifest.
        root: The folder that keys are relative to.
        keys: The sorted names of the photos: posix paths relative to `root`, with extension.
        channels: Of the photos as they are read: 3 for RGB; see `decode`.
    """

    source: str
    root: str
    keys: Sequence[str]
    channels: int = 3

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys)

    def path(self, key: str) -> Path:
        """Where the photo lies."""
        return Path(self.root, key)

    def read(self, key: str) -> UInt8[np.ndarray, "y x c"]:
        """Reads and decodes one photo.

        Raises:
            UnreadablePhoto: If the file is gone, may not be read, or can't be decoded.
        """
        return self.decode(key, self.data(key))

    def decode(self, key: str, data: bytes, reduce: int = 1) -> UInt8[np.ndarray, "y x c"]:
        """Decodes one photo whose file was read with `data`; see `decode`."""
        return decode(data, str(self.path(key)), reduce, self.channels)

    def data(self, key: str) -> bytes:
        """Reads one photo's file, to be decoded.

        Raises:
            UnreadablePhoto: If the file is gone, or may not be read.
        """
        path = self.path(key)
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            hint = nearest_key(key, self.keys)
            raise UnreadablePhoto(f"there is no photo {path}{hint}") from error
        except OSError as error:
            raise UnreadablePhoto(f"cannot read {path}: {error.strerror}") from error

    def part(self, start: int, stop: int) -> "Photos":
        """The photos from number `start` up to, without, number `stop`, under the same keys."""
        return Photos(self.source, self.root, self.keys[start:stop], self.channels)


def open_photos(source: str | Path, channels: int = 3) -> Photos:
    """Lists the photos of a folder, of all its subfolders, or of a manifest.

    Hidden files and folders are passed over; links to folders are followed, each folder once.
    A manifest is a `.txt` with one path a line or a `.csv` with a column `path`; its paths are
    relative to the manifest's own folder.

    Args:
        source: The folder or manifest.
        channels: Of the photos: 3 for RGB, 1 for grey, else bands, as `decode` has it.

    Raises:
        PhotosError: No such folder or manifest, nothing in it, or a kind that isn't understood.
    """
    path = Path(source)
    if path.is_dir():
        extensions = EXTENSIONS if channels in (1, 3) else BAND_EXTENSIONS
        keys = sorted(_walk(path, extensions))
        if not keys:
            raise PhotosError(
                f"there are no photos in the folder {path}: looked in it and in all its "
                f"subfolders for {', '.join(extensions)}"
            )
        return Photos(str(source), str(path), keys, channels)
    if not path.exists():
        raise PhotosError(f"there is no folder or manifest {path}; check the path")
    if path.suffix.lower() not in (".txt", ".csv"):
        raise PhotosError(
            f"cannot list photos from {path}: give a folder, a .txt with one path a line, "
            f"or a .csv with a column 'path'"
        )
    return Photos(str(source), str(path.parent), _read_manifest(path), channels)


def nearest_key(key: str, keys: Sequence[str]) -> str:
    """`"; did you mean 'a/b.jpg'?"`, or nothing where no key of the sorted `keys` is like it."""
    if len(keys) > 20_000:  # comparing with all of a million would take minutes
        middle = bisect_left(keys, key)
        keys = keys[max(0, middle - 10_000) : middle + 10_000]
    close = difflib.get_close_matches(key, keys, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _decode(
    data: UInt8[np.ndarray, " n"], reduce: int, channels: int
) -> UInt8[np.ndarray, "y x c"] | None:
    if channels == 1:
        grey = cv2.imdecode(data, _REDUCED_GREY.get(reduce, cv2.IMREAD_GRAYSCALE))
        return None if grey is None else grey[..., None]
    if reduce == 1:
        return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    photo = cv2.imdecode(data, _REDUCED[reduce])  # RGB isn't to be had in the same call
    return None if photo is None else cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)


def _decode_bands(data: bytes, name: str, channels: int) -> UInt8[np.ndarray, "y x c"]:
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
    """Walks the markers to the first scan, past thumbnails, and looks for the end behind it.

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


def _walk(root: Path, extensions: tuple[str, ...]) -> Iterator[str]:
    seen = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in files:
            if not name.startswith(".") and name.lower().endswith(extensions):
                yield str(relative / name)


def _read_manifest(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PhotosError(f"cannot read the manifest {path}: it is not UTF-8 text") from error
    lines = _csv_paths(path, text) if path.suffix.lower() == ".csv" else text.splitlines()
    folder = path.parent.absolute()
    keys = sorted(_key(line.strip(), folder) for line in lines if line.strip())
    if not keys:
        raise PhotosError(f"the manifest {path} lists no photos; write one path a line")
    for one, next_one in pairwise(keys):
        if one == next_one:
            raise PhotosError(f"the manifest {path} lists {one} twice; remove one of the lines")
    return keys


def _csv_paths(path: Path, text: str) -> list[str]:
    rows = csv.DictReader(text.splitlines())
    columns = rows.fieldnames or []
    if "path" not in columns:
        raise PhotosError(
            f"the manifest {path} has no column 'path'; its columns are {', '.join(columns)}"
        )
    return [row["path"] or "" for row in rows]


def _key(line: str, folder: Path) -> str:
    path = Path(os.path.normpath(line))
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()
