"""Photos and masks as the official script writes them, for the official training code.

    train-00000-of-02048 ...    see `detcon.formats.tfrecord.records`

An id has 8 bits there, each pixel has one, and masks don't overlap. Pixels of no mask get 255.
"""

import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from detcon.files import replacing
from detcon.formats.errors import FormatError
from detcon.formats.tfrecord.example import write_example
from detcon.formats.tfrecord.framing import frame
from detcon.formats.tfrecord.records import ENCODED, HEIGHT, KEY, MASKS, NAME, WIDTH
from detcon.formats.writing.masks import MasksToWrite, WrittenMasks
from detcon.photos import Photos, orientation

_NONE = 255


@dataclass(frozen=True)
class RecordFile:
    """A file to write: its photos, and the class of each folder of photos, from 1."""

    masks: MasksToWrite
    photos: Photos
    path: Path
    labels: dict[str, int]


def plan_files(
    masks: MasksToWrite, photos: Photos, out: Path, split: str, num_files: int
) -> list[RecordFile]:
    """Divides photos evenly, in their order; the first folder of a photo's key is its class."""
    labels = {name: n for n, name in enumerate(sorted({_folder(k) for k in photos}), start=1)}
    bounds = np.linspace(0, len(photos), num_files + 1).astype(int).tolist()
    return [
        RecordFile(
            masks, photos.part(bounds[n], bounds[n + 1]),
            out / f"{split}-{n:05d}-of-{num_files:05d}", labels,
        )
        for n in range(num_files)
    ]  # fmt: skip


def write_records(file: RecordFile) -> int:
    """Writes a file, unless it is there; returns 1 if it was written, else 0.

    Raises:
        FormatError: Masks overlap, are too many, or aren't of the photo's size.
        UnreadablePhoto: A photo is missing or damaged.
    """
    if file.path.exists():
        return 0
    with replacing(file.path) as records:
        for key in file.photos:
            records.write(frame(_example(file, key)))
    return 1


def _example(file: RecordFile, key: str) -> bytes:
    ids = _ids(file.masks[key], key)
    height, width = ids.shape
    folder = _folder(key)
    return write_example(
        {
            HEIGHT: height,
            WIDTH: width,
            MASKS: ids.tobytes(),
            ENCODED: _jpeg(file.photos, key, (height, width)),
            NAME: PurePosixPath(key).name,
            KEY: key,
            "image/colorspace": "RGB",
            "image/channels": 3,
            "image/format": "JPEG",
            "image/class/label": file.labels[folder],
            "image/class/synset": folder,
            "image/class/text": folder,
        }
    )


def _ids(masks: WrittenMasks, key: str) -> UInt8[np.ndarray, "y x"]:
    if masks.membership is not None:
        raise FormatError(
            f"cannot write {key} as TFRecord: its masks may overlap, and the official records have "
            f"one id a pixel; use to=coco or to=png"
        )
    ids = masks.ids
    if len(ids) > _NONE:
        raise FormatError(
            f"cannot write {key} as TFRecord: it has {len(ids)} masks, and the official records "
            f"hold {_NONE}; use to=coco or to=png"
        )
    labels = masks.at_size().patterns
    return np.where(labels < 0, _NONE, np.searchsorted(ids, labels)).astype(np.uint8)


def _jpeg(photos: Photos, key: str, size: tuple[int, int]) -> bytes:
    """The photo's file, if TensorFlow decodes it as we do; else a JPEG of its pixels.

    TensorFlow turns no photo upright, and the official script encodes CMYK and PNG again.
    """
    data = photos.data(key)
    photo = photos.decode(key, data)
    if photo.shape[:2] != size:
        raise FormatError(
            f"the photo {photos.path(key)} has {photo.shape[0]} x {photo.shape[1]} pixels, but its "
            f"masks are of {size[0]} x {size[1]}; give the photos that the masks were made of"
        )
    if _is_rgb_or_grey_jpeg(data) and orientation(data) == 1:
        return data
    done, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 100]
    )
    assert done, key
    return encoded.tobytes()


def _folder(key: str) -> str:
    first, slash, _ = key.partition("/")
    return first if slash else ""


def _is_rgb_or_grey_jpeg(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as header:
            return header.mode in ("RGB", "L")
    except (OSError, ValueError, SyntaxError):
        return False
