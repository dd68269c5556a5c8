"""The released checkpoints, read without running anything in them.

They are `.npy` files of one object: a pickle of dictionaries of arrays in a dictionary.

A pickle is a program: it names callables, which `pickle.load` imports and calls. Here a file may
only use the steps in `_STEPS`, and each name in it stands for a function of this module. numpy's
own constructors aren't called either: their checks were not made for hostile arguments.
"""

import math
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format

from detcon.files import copy_again
from detcon.models.sources import BackboneError

_STEPS = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK"),
        *("MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("SETITEM", "SETITEMS", "APPEND", "APPENDS"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    )
)
_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_OBJECTS = ("O", "O8", "O4")
_MOST_AXES = 8
_NOT_RUN = "nothing of it was run"
_HEADERS = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}
GIVE = "give one of the released checkpoints of DetCon"
_LONGEST_NAME = 300

Arrays = dict[str, dict[str, np.ndarray]]
"""By module path and entry: `arrays["res_net50/~/initial_conv"]["w"]`."""


class NotArrays(ValueError):
    """A pickle of something else, or a damaged one; the message goes on after the file's name."""


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
        what = copy_again(path, otherwise="")
        raise BackboneError(
            f"{path} can't be read: {what}" if what else f"{path} {error}"
        ) from error


def _pickle_within(data: bytes) -> bytes:
    """The pickle after the header of a `.npy` file of one object."""
    file = BytesIO(data)
    try:
        major, _ = version = format.read_magic(file)
    except ValueError:
        raise NotArrays(f"is no .npy file; {GIVE}") from None
    if version not in _HEADERS:
        raise NotArrays(f"is of version {major} of the .npy format; versions 1 and 2 can be read")
    try:
        shape, _, dtype = _HEADERS[version](file)
    except Exception as error:  # numpy parses Python, and passes on errors of its parser
        raise NotArrays("is damaged: its header is no header of .npy; get it again") from error
    if shape or not dtype.hasobject:
        shown = f"shape {list(shape)}, type {dtype.str}"
        raise NotArrays(f"holds no dictionary of arrays (its header is {shown}); {GIVE}")
    return file.read()


def _checked(loaded: object) -> Arrays:
    """Checks that the object is a dictionary of dictionaries of arrays."""
    if not isinstance(loaded, dict):
        raise NotArrays(f"holds a {type(loaded).__name__}, not a dictionary of modules; {GIVE}")
    for module, entries in loaded.items():
        if not _is_name(module):
            raise NotArrays(f"names a module {ascii(module)[:60]}, which is no name; {GIVE}")
        if not isinstance(entries, dict):
            raise NotArrays(
                f"holds a {type(entries).__name__} as {module}, not a dictionary of arrays; {GIVE}"
            )
        for entry, array in entries.items():
            if not _is_name(entry) or not isinstance(array, np.ndarray):
                raise NotArrays(
                    f"holds a {type(array).__name__} as {ascii(entry)[1:-1][:60]} of {module}, "
                    f"not an array; {GIVE}"
                )
    return loaded


def _is_name(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= _LONGEST_NAME and key.isprintable()


def unpickle_arrays(data: bytes) -> Any:
    """Reads a pickle of dictionaries, lists, tuples, numbers, text and numpy arrays.

    Protocols 2 to 5, as numpy writes them. `OrderedDict` and Haiku's `FlatMap` become
    dictionaries, an array of one object becomes that object.

    Raises:
        NotArrays: The pickle asks for anything else, or is damaged.
    """
    try:
        _check_steps(data)
        return _finished(_Unpickler(BytesIO(data)).load())
    except NotArrays:
        raise
    except Exception as error:  # pickle raises many kinds; all mean the same to a user
        reason = " ".join(ascii(str(error)).split())[:100]
        raise NotArrays(f"is damaged, or cut short ({reason}); get it again") from error


def _check_steps(data: bytes) -> None:
    """Refuses steps that no array needs, and memo places that would make pickle reserve memory."""
    for number, (step, argument, _) in enumerate(pickletools.genops(data)):
        if step.name not in _STEPS:
            raise NotArrays(f"asks for {step.name}, a step that no array needs; {_NOT_RUN}")
        if step.name in ("BINPUT", "LONG_BINPUT") and (argument or 0) > number:
            raise NotArrays(f"is damaged: it keeps a value in place {argument}; get it again")


class _Unpickler(pickle.Unpickler):
    """Looks names up in `_MEANINGS` alone."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        meaning = _MEANINGS.get(f"{module.replace('numpy._core', 'numpy.core')}.{name}")
        if meaning is None:
            asked = ascii(f"{module}.{name}")[1:-1][:80]
            raise NotArrays(f"asks for {asked}, which no array needs; {_NOT_RUN}")
        return lambda *arguments: meaning(*arguments)  # a pickle can't change `_MEANINGS` by it


@dataclass
class _Type:
    """A numpy dtype in the making: its byte order comes later."""

    code: str
    order: str = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def numpy(self) -> np.dtype:
        if self.code not in _NUMBERS or self.order not in ("<", ">", "=", "|"):
            shown = ascii(f"{self.order}{self.code}")[:20]
            raise NotArrays(
                f"holds an array of type {shown}, where weights are numbers such as '<f4'"
            )
        return np.dtype(self.order + self.code)


@dataclass
class _Array:
    """An array in the making: a pickle names it first, and gives its content later."""

    content: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, content = state
        if _expect(kind, _Type).code in _OBJECTS:
            (self.content,) = content
        else:
            self.content = _numbers(content, kind, shape, "F" if by_columns else "C")


def _numbers(content: Any, kind: Any, shape: Any, order: Any = "C") -> np.ndarray:
    dtype = _expect(kind, _Type).numpy()
    sides = [_expect(side, int) for side in _expect(shape, tuple)]
    content = content if isinstance(content, bytearray) else _expect(content, bytes)
    sizes = math.prod(sides) * dtype.itemsize, len(content)
    if len(sides) > _MOST_AXES or min(sides, default=1) < 0 or sizes[0] != sizes[1]:
        raise NotArrays("is damaged: an array's shape doesn't fit its content; get it again")
    array = np.frombuffer(content, dtype).reshape(sides, order="F" if order == "F" else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        found, due = (type_.__name__.strip("_") for type_ in (type(value), kind))
        raise NotArrays(f"is damaged: a {found} stands in place of a {due}; get it again")
    return value


def _bytes(text: str = "", encoding: str = "latin1") -> bytes:
    """Bytes, which protocol 2 writes as text, and as a call of `bytes` where they are empty."""
    if encoding != "latin1":
        raise NotArrays(f"is damaged: bytes as {ascii(encoding)[:40]}; get it again")
    return _expect(text, str).encode("latin1")


def _never(*arguments: Any) -> None:
    raise NotArrays(f"calls ndarray, which no array needs; {_NOT_RUN}")


_MEANINGS: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _never,  # only named, as the type that `_reconstruct` begins
    "numpy.dtype": lambda code, *_: _Type(_expect(code, str)),
    "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy.core.multiarray.scalar": lambda kind, content: _Array(_numbers(content, kind, ())),
    "numpy.core.numeric._frombuffer": lambda *given: _Array(_numbers(*given)),
    "_codecs.encode": _bytes,
    "__builtin__.bytes": _bytes,
    "collections.OrderedDict": dict,
    "haiku._src.data_structures.FlatMap": dict,
    "haiku._src.data_structures.FlatMapping": dict,
    "haiku._src.data_structures.frozendict": dict,
}


def _finished(value: Any, depth: int = 3) -> Any:
    """Puts finished arrays in place of `_Array`; a checkpoint is two dictionaries deep."""
    if isinstance(value, _Array):
        value = value.content
    if isinstance(value, dict) and depth:
        return {key: _finished(inner, depth - 1) for key, inner in value.items()}
    return value
