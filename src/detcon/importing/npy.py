"""The released checkpoints: `.npy` files of one object, dictionaries of arrays in a dictionary."""

import re
from pathlib import Path

import numpy as np

from detcon.importing.pickled import NotArrays, unpickle_arrays
from detcon.models.sources import BackboneError

Arrays = dict[str, dict[str, np.ndarray]]
"""By module path and entry: `arrays["res_net50/~/initial_conv"]["w"]`."""

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}  # by the format's version
_ONE_OBJECT = re.compile(
    rb"\{'descr': '\|?O8?', 'fortran_order': (True|False), 'shape': \(\), ?\}\s*"
)
_LONGEST_NAME = 300


def read_arrays(path: Path) -> Arrays:
    """Reads the file without running anything in it.

    Raises:
        BackboneError: It isn't there, is damaged, holds something else, or asks to run code.
    """
    if not path.is_file():
        raise BackboneError(f"there is no file {path}; give the .npy file of the weights")
    try:
        return _checked(unpickle_arrays(_pickle_within(path.read_bytes())))
    except NotArrays as error:
        raise BackboneError(f"{path} {error}") from error


def _pickle_within(data: bytes) -> bytes:
    """What follows the header of a `.npy` file of one object (numpy.lib.format)."""
    if not data.startswith(_MAGIC) or len(data) < 10:
        raise NotArrays("is no .npy file; give one of the released checkpoints of DetCon")
    width = _LENGTH_BYTES.get(data[6])
    if width is None:
        raise NotArrays(f"is of version {data[6]} of the .npy format; versions 1 to 3 can be read")
    start = 8 + width
    end = start + int.from_bytes(data[8:start], "little")
    header = data[start:end]
    if not _ONE_OBJECT.fullmatch(header):
        shown = ascii(header[:80].decode("latin1").strip())
        raise NotArrays(
            f"holds no dictionary of arrays (its header is {shown}); give one of the released "
            f"checkpoints of DetCon"
        )
    return data[end:]


def _checked(loaded: object) -> Arrays:
    """Checks that the object is a dictionary of dictionaries of arrays."""
    if not isinstance(loaded, dict):
        raise NotArrays(f"holds a {type(loaded).__name__}, where a dictionary of modules is due")
    for module, entries in loaded.items():
        if not _is_name(module):
            raise NotArrays(f"names a module {ascii(module)[:60]}, which is no name")
        if not isinstance(entries, dict):
            raise NotArrays(
                f"holds a {type(entries).__name__} as {module}, where a dictionary of arrays is due"
            )
        for entry, array in entries.items():
            if not _is_name(entry) or not isinstance(array, np.ndarray):
                raise NotArrays(
                    f"holds a {type(array).__name__} as {ascii(entry)[1:-1][:60]} of {module}, "
                    f"where an array is due"
                )
    return loaded


def _is_name(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= _LONGEST_NAME and key.isprintable()
