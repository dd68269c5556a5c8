"""Reads the records that the official script writes: photos with Felzenszwalb-Huttenlocher masks.

    train-00000-of-02048 ...        validation-00000-of-00256 ...

Each record is a `tf.train.Example` with `image/filename` (without its folder), `image/height`,
`image/width`, `image/encoded` (a JPEG) and `image/felzenszwalb_segmentations`: an id of 8 bits for
each pixel, for one setting after another (generate_fh_masks_for_imagenet.py and
datasets/imagenet_with_fh.py of github.com/google-deepmind/detcon). Ids above 255 were wrapped
there, which nothing can undo.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.reading.photo_paths import match_path
from detcon.formats.segments import SegmentOptions, Segments, without
from detcon.formats.tfrecord.example import bytes_of, integers_of, read_features
from detcon.formats.tfrecord.framing import Place, find_records, map_file, read_record
from detcon.formats.tfrecord.index import Found, RecordIndex, open_index

MASKS, ENCODED, NAME = "image/felzenszwalb_segmentations", "image/encoded", "image/filename"
HEIGHT, WIDTH = "image/height", "image/width"
KEY = "detcon/key"
"""The whole path of a photo in its collection, which `detcon convert` adds."""

_ORIENTATION = 0x0112  # of EXIF


@dataclass(frozen=True, eq=False)
class FhRecords:
    """A folder of records, found by the names of photos.

    Attributes:
        folder: The folder.
        index: Where the records are.
        options: Which of a photo's maps is read, by default the first, and the id of void pixels.
    """

    folder: Path
    index: RecordIndex
    options: SegmentOptions = SegmentOptions()

    def knows(self, key: str) -> bool:
        """Whether there is a record of the photo. Raises what `match_path` does."""
        return match_path(key, self._named(key)) is not None

    def read(self, key: str) -> list[Segments]:
        """The regions of a photo. Raises what `maps` does, or that there are fewer maps."""
        maps, which = self.maps(key), self.options.which or 0
        if which >= len(maps):
            raise AnnotationError(
                f"the record of {key} in {self.folder} has {len(maps)} maps, numbered from 0; give "
                f"a lower which= than {which}"
            )
        ids = without(maps[which].astype(np.int16), self.options.ignore)
        return [Segments(ids, f"of {key} in {self.folder}")]

    def maps(self, key: str) -> UInt8[np.ndarray, "n y x"]:
        """The maps of a photo, one a setting, turned upright as its EXIF orientation says.

        TensorFlow doesn't turn photos, so the official maps lie as the pixels are stored.

        Raises:
            NotAnnotated: There is no record of the photo.
            AnnotationError: The record is damaged, or two photos may be meant.
        """
        found = self._named(key)
        name = match_path(key, found)
        if name is None:
            raise NotAnnotated(f"there is no record of the photo {key} in {self.folder}")
        path = self.folder / found[name].file
        data = read_record(path, found[name].place)
        try:
            return _maps(read_features(data))
        except ValueError as error:
            raise AnnotationError(
                f"the record of {name} in {path} has no masks that can be read: {error}"
            ) from error

    def _named(self, key: str) -> dict[str, Found]:
        return {one.name: one for one in self.index.named(PurePosixPath(key).name)}


def open_fh_records(folder: str | Path, options: SegmentOptions | None = None) -> FhRecords:
    """Opens the records of a folder; the first time, all files are scanned.

    The index is kept in the folder, or in memory where that can't be written.

    Raises:
        AnnotationError: There are no records, or a file is damaged.
    """
    root = Path(folder)
    files = sorted(path.name for path in root.glob("*-of-*") if path.is_file())
    if not files:
        raise AnnotationError(
            f"there are no records *-00000-of-02048 in {root}; they come from the official "
            f"generate_fh_masks_for_imagenet.py, or from detcon convert to=tfrecord"
        )
    index = open_index(root, files, names_within)
    return FhRecords(root, index, options or SegmentOptions())


def names_within(path: Path) -> Iterator[tuple[str, Place]]:
    """The photos of a file of records, and where their records are.

    Raises:
        AnnotationError: The file is damaged, or holds other records.
    """
    file = map_file(path)
    for place in find_records(file, path):
        try:
            features = read_features(file[place.offset : place.offset + place.length])
            names = [bytes_of(features[name]) for name in (KEY, NAME) if name in features]
            if MASKS not in features or not names or not names[0]:
                raise ValueError(f"it has no {MASKS}, or no {NAME}")
            yield bytes(names[0][0]).decode(), place
        except ValueError as error:
            raise AnnotationError(
                f"the record at byte {place.offset} of {path} is none of the official script: "
                f"{error}"
            ) from error


def _maps(features: dict[str, memoryview]) -> UInt8[np.ndarray, "n y x"]:
    sides = [integers_of(features.get(name, memoryview(b""))) for name in (HEIGHT, WIDTH)]
    if not all(len(side) == 1 and side[0] > 0 for side in sides):
        raise ValueError(f"there is no {HEIGHT} or no {WIDTH}")
    (height,), (width,) = sides
    ids = np.frombuffer(b"".join(bytes_of(features[MASKS])), np.uint8)
    if not ids.size or ids.size % (height * width):
        raise ValueError(f"{ids.size} ids are no maps of {height} x {width} pixels")
    photo = bytes_of(features.get(ENCODED, memoryview(b"")))
    return _upright(ids.reshape(-1, height, width), _orientation(photo[0] if photo else b""))


def _orientation(photo: bytes | memoryview) -> int:
    """The EXIF orientation of a photo; 1, which is upright, by default."""
    try:
        with Image.open(io.BytesIO(photo)) as header:
            return header.getexif().get(_ORIENTATION, 1)
    except Exception:  # decoding the photo reports what is wrong
        return 1


def _upright(maps: UInt8[np.ndarray, "n y x"], orientation: int) -> UInt8[np.ndarray, "n v u"]:
    if orientation in (5, 6, 7, 8):
        maps = maps.transpose(0, 2, 1)
    if orientation in (3, 4, 7, 8):
        maps = maps[:, ::-1]
    if orientation in (2, 3, 6, 7):
        maps = maps[:, :, ::-1]
    return maps
