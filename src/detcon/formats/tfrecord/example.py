"""`tf.train.Example`, the message in most TFRecord files, without TensorFlow.

    message Example   { Features features = 1; }
    message Features  { map<string, Feature> feature = 1; }      an entry is { key = 1; value = 2; }
    message Feature   { BytesList bytes_list = 1; FloatList ... = 2; Int64List int64_list = 3; }
    message BytesList { repeated bytes value = 1; }              Int64List: repeated int64 value = 1

The encoding is described at protobuf.dev/programming-guides/encoding, the messages in
tensorflow/core/example/{example,feature}.proto.
"""

from collections.abc import Iterator, Mapping

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # how a field is written
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_BYTES_LIST, _INT64_LIST = 1, 3
_BITS = 64
_EMPTY = memoryview(b"")


def write_example(features: Mapping[str, bytes | str | int]) -> bytes:
    """A message with one value a feature, sorted by name, so that its bytes are reproducible."""
    entries = []
    for name in sorted(features):
        value = features[name]
        if isinstance(value, int):
            feature = _field(_INT64_LIST, _field(1, _varint(value)))
        else:
            data = value.encode() if isinstance(value, str) else value
            feature = _field(_BYTES_LIST, _field(1, data))
        entries.append(_field(1, _field(1, name.encode()) + _field(2, feature)))
    return _field(1, b"".join(entries))


def read_features(example: bytes | memoryview) -> dict[str, memoryview]:
    """The features of a message, not yet decoded; see `bytes_of` and `integers_of`.

    Nothing is copied.

    Raises:
        ValueError: It is no such message.
    """
    found = {}
    for features in _submessages(memoryview(example), 1):
        for entry in _submessages(features, 1):
            parts = dict(_fields(entry))
            name, value = (parts.get(number, _EMPTY) for number in (1, 2))
            if isinstance(name, int) or isinstance(value, int):
                raise ValueError("an entry of the features has no name, or no value")
            found[bytes(name).decode()] = value
    return found


def bytes_of(feature: memoryview) -> list[memoryview]:
    """The values of a feature that is a list of bytes; none if it is another.

    Raises:
        ValueError: It is damaged.
    """
    lists = _submessages(feature, _BYTES_LIST)
    return [value for one in lists for value in _submessages(one, 1)]


def integers_of(feature: memoryview) -> list[int]:
    """The values of a feature that is a list of integers; none if it is another.

    Raises:
        ValueError: It is damaged.
    """
    values: list[int] = []
    for one in _submessages(feature, _INT64_LIST):
        for number, value in _fields(one):
            if number != 1:
                continue
            if isinstance(value, int):
                values.append(_signed(value))
                continue
            place = 0
            while place < len(value):
                integer, place = _read_varint(value, place)
                values.append(_signed(integer))
    return values


def _submessages(message: memoryview, number: int) -> list[memoryview]:
    return [v for n, v in _fields(message) if n == number and isinstance(v, memoryview)]


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message: their numbers and their values; fixed ones as bytes."""
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        how = tag & 7
        if how == _VARINT:
            value, place = _read_varint(message, place)
            yield tag >> 3, value
            continue
        if how == _BYTES:
            length, place = _read_varint(message, place)
        elif how in _FIXED:
            length = _FIXED[how]
        else:
            raise ValueError(f"a field is written in the unknown way {how}")
        if place + length > len(message):
            raise ValueError("a field reaches past the end of its message")
        if how == _BYTES:
            yield tag >> 3, message[place : place + length]
        place += length


def _read_varint(data: memoryview, place: int) -> tuple[int, int]:
    """An integer of seven bits a byte, lowest first, and where the next begins."""
    value = 0
    for shift in range(0, _BITS, 7):
        if place >= len(data):
            raise ValueError("an integer reaches past the end of its message")
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << _BITS) - 1, place
    raise ValueError("an integer has more than 64 bits")


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= (1 << _BITS) - 1
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def _signed(value: int) -> int:
    return value - (1 << _BITS) if value >> (_BITS - 1) else value
