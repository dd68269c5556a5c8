"""Maps of ids in files: PNG files of ids or codes, and the MATLAB files of SBD.

SBD is the Semantic Boundaries Dataset (Hariharan et al., ICCV 2011).
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer
from PIL import Image

from detcon.files import copy_again
from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.reading.mat_file import open_mat

_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B")
_SAVE = "save it again as an 8-bit, 16-bit or palette PNG"


def read_ids(path: Path, photo: str = "") -> Integer[np.ndarray, "y x"]:
    """Reads the PNG of ids of a photo as it is: no palette applied, no rotation, no scaling.

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

    `missing` and `wrong` end the messages for a missing file and for other channels than RGB.

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
        again = copy_again(path)
        hint = damaged if damaged and again == "copy it again" else f"; {again}"
        raise AnnotationError(f"the annotation {path} is no PNG that can be read{hint}") from error


def read_sbd(path: Path) -> Int32[np.ndarray, "y x"]:
    """Reads the map of a file of `cls/` (class ids) or `inst/` (instance ids).

    Raises:
        AnnotationError: There is no such file, or it holds something else.
    """
    try:
        values = open_mat(path)
        (truth,) = values.get("GTcls") or values["GTinst"]
        ids = np.asarray(truth["Segmentation"])
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError("no map of ids")
        return ids.astype(np.int32)
    except FileNotFoundError as error:
        raise AnnotationError(f"there is no annotation {path}") from error
    except AnnotationError:
        raise
    except (ValueError, LookupError, TypeError) as error:
        raise AnnotationError(
            f"the annotation {path} is no file of SBD that can be read: it should hold "
            f"GTcls.Segmentation or GTinst.Segmentation; copy it again"
        ) from error


def read_map(path: Path, key: str) -> Int32[np.ndarray, "y x"]:
    """Reads a map of ids from a PNG, or from a `.mat` of SBD. Raises `AnnotationError`."""
    return read_sbd(path) if path.suffix == ".mat" else read_ids(path, photo=key)
