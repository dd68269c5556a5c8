"""Pickles of numpy arrays, read without running them.

A pickle is a program, and `np.load(..., allow_pickle=True)` runs it: whatever callable the file
names is imported and called. Here the program's few steps that describe dictionaries, lists and
arrays are followed one by one, and any other step ends the reading. No name of the file is looked
up anywhere; not even numpy's own constructors are called, whose checks were not made for hostile
arguments. `pickle.Unpickler` with a `find_class` of ours would still reserve whatever memory a
damaged byte asks for.
"""

import math
import pickletools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_LITERALS = (
    *("BININT", "BININT1", "BININT2", "LONG1"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_WITHOUT_EFFECT = ("PROTO", "FRAME", "STOP")
_KNOWN = {
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),  # since numpy 2
    "numpy._core.numeric": ("_frombuffer",),
    "_codecs": ("encode",),
}
_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_OBJECTS = ("O", "O8", "O4")
_MOST_AXES = 8


class NotArrays(ValueError):
    """A pickle of something else, or a damaged one; the message goes on after the file's name."""


def unpickle_arrays(data: bytes) -> Any:
    """What a pickle of dictionaries, lists, tuples, numbers, text and numpy arrays holds.

    Args:
        data: The pickle, of protocol 2 to 5, as numpy writes it.

    Returns:
        The object; an array of one object becomes that object.

    Raises:
        NotArrays: The pickle asks for anything else, or is damaged.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.follow(opcode.name, argument)
        return _finished(machine.pop())
    except NotArrays:
        raise
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        reason = " ".join(ascii(str(error)).split())[:100]
        raise NotArrays(f"is damaged, or cut short ({reason}); get it again") from error


@dataclass(frozen=True)
class _Name:
    """A callable that the pickle asks for, of those that numpy writes; it is never called."""

    name: str


@dataclass
class _Type:
    """A numpy dtype in the making."""

    code: str
    order: str = "="


@dataclass
class _Array:
    """An array in the making: pickles first name it, and give its content later."""

    content: Any = None


@dataclass
class _Machine:
    """The stack on which a pickle builds its object."""

    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)  # what lies under each open mark
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def follow(self, name: str, argument: Any) -> None:
        """One step of the pickle."""
        if name in _LITERALS:
            self.stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(reversed([self.pop() for _ in range(_TUPLES[name])])))
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            place = len(self.memo) if argument is None else argument
            self.memo[place] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "MARK":
            self.below.append(self.stack)
            self.stack = []
        elif name not in _WITHOUT_EFFECT:
            self.build(name, argument)

    def build(self, name: str, argument: Any) -> None:
        """A step that makes something of what lies on the stack."""
        if name == "TUPLE":
            items = tuple(self.pop_to_mark())
            self.stack.append(items)
        elif name in ("SETITEM", "SETITEMS"):
            pairs = self.pop_to_mark() if name == "SETITEMS" else [self.stack.pop(-2), self.pop()]
            _set_items(self.stack[-1], pairs)
        elif name in ("APPEND", "APPENDS"):
            items = self.pop_to_mark() if name == "APPENDS" else [self.pop()]
            _expect(self.stack[-1], list).extend(_finished(item) for item in items)
        elif name == "GLOBAL":
            self.stack.append(_known(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            inner, module = self.pop(), self.pop()
            self.stack.append(_known(_expect(module, str), _expect(inner, str)))
        elif name == "REDUCE":
            arguments, called = self.pop(), self.pop()
            self.stack.append(_made(_expect(called, _Name).name, _expect(arguments, tuple)))
        elif name == "BUILD":
            state, begun = self.pop(), self.stack[-1]
            _complete(begun, _expect(state, tuple))
        else:
            raise NotArrays(f"asks for {name}, a step that no array needs; nothing of it was run")


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise NotArrays(
            f"is damaged: a {type(value).__name__.strip('_')} stands where a "
            f"{kind.__name__.strip('_')} is due; get it again"
        )
    return value


def _known(module: str, name: str) -> _Name:
    if name not in _KNOWN.get(module, ()):
        asked = ascii(f"{module}.{name}")[1:-1][:80]
        raise NotArrays(f"asks for {asked}, which no array needs; nothing of it was run")
    return _Name(name)


def _set_items(target: Any, pairs: list[Any]) -> None:
    _expect(target, dict)
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        target[_expect(key, str)] = _finished(value)


def _finished(value: Any) -> Any:
    return value.content if isinstance(value, _Array) else value


def _made(name: str, arguments: tuple[Any, ...]) -> Any:
    """What a call that numpy's pickles hold would give."""
    if name == "_reconstruct":
        return _Array()
    if name == "dtype":
        return _Type(_expect(arguments[0], str))
    if name == "encode":  # bytes, in protocol 2
        text, encoding = arguments
        if encoding != "latin1":
            raise NotArrays(f"is damaged: bytes as {ascii(encoding)[:40]}; get it again")
        return _expect(text, str).encode("latin1")
    if name == "scalar":
        kind, content = arguments
        return _Array(_numbers(content, kind, (), "C"))
    if name == "_frombuffer":
        content, kind, shape, order = arguments
        return _Array(_numbers(content, kind, shape, order))
    raise NotArrays(f"calls {name}, which no array needs; nothing of it was run")


def _complete(begun: Any, state: tuple[Any, ...]) -> None:
    """Gives a dtype its byte order, or an array its content."""
    if isinstance(begun, _Type):
        begun.order = _expect(state[1], str)
        return
    _, shape, kind, by_columns, content = state
    if _expect(kind, _Type).code in _OBJECTS:
        (_expect(begun, _Array).content,) = _expect(content, list)
    else:
        _expect(begun, _Array).content = _numbers(content, kind, shape, "F" if by_columns else "C")


def _numbers(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if _expect(kind, _Type).code not in _NUMBERS or kind.order not in ("<", ">", "=", "|"):
        raise NotArrays(
            f"holds an array of type {ascii(kind.order + kind.code)[:20]}, where weights are "
            f"numbers such as '<f4'"
        )
    dtype = np.dtype(kind.order + kind.code)
    sides = [_expect(side, int) for side in _expect(shape, tuple)]
    sizes = math.prod(sides) * dtype.itemsize, len(_expect(content, bytes))
    if len(sides) > _MOST_AXES or min(sides, default=1) < 0 or sizes[0] != sizes[1]:
        raise NotArrays("is damaged: an array's shape doesn't fit its content; get it again")
    array = np.frombuffer(content, dtype).reshape(sides, order="F" if order == "F" else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)
