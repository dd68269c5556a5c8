"""TFRecord files and tf.train.Example: known bytes, other people's code, and damage."""

import contextlib
import struct

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings, strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.summary.writer.record_writer import RecordWriter

from detcon.formats.errors import AnnotationError
from detcon.formats.tfrecord.example import bytes_of, integers_of, read_features, write_example
from detcon.formats.tfrecord.framing import (
    Place,
    crc32c,
    find_records,
    frame,
    map_file,
    masked_crc32c,
    read_record,
)


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(32))[::-1], 0x113FDB5C),
    ],
)
def test_checksums_of_rfc_3720(data, expected):
    assert crc32c(data) == expected


def test_a_record_is_these_bytes():
    """The empty record, as TensorFlow and tensorboard write it: its length's checksum is known."""
    assert frame(b"")[:12].hex() == "0000000000000000" + "29039807"
    assert frame(b"") == bytes(8) + struct.pack("<II", masked_crc32c(bytes(8)), 0xA282EAD8)


@given(st.lists(st.binary(max_size=40), max_size=4))
@settings(max_examples=30, deadline=None)
def test_tensorboard_writes_and_reads_the_same(tmp_path_factory, records):
    folder = tmp_path_factory.getbasetemp()
    theirs, ours = folder / "theirs", folder / "ours"
    writer = RecordWriter(theirs.open("wb"))
    for data in records:
        writer.write(data)
    writer.close()
    ours.write_bytes(b"".join(map(frame, records)))
    assert ours.read_bytes() == theirs.read_bytes()
    places = list(find_records(map_file(ours), ours))
    assert [bytes(read_record(ours, place)) for place in places] == records
    if records:
        reader = PyRecordReader_New(str(ours))
        reader.GetNext()
        assert reader.record() == records[0]


def test_damage_is_named(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(frame(b"one") + frame(b"two"))
    first, second = find_records(map_file(path), path)
    assert (first, second) == (Place(12, 3), Place(31, 3))
    whole = path.read_bytes()
    path.write_bytes(whole[:32] + b"?" + whole[33:])
    with pytest.raises(
        AnnotationError, match=r"f is damaged at byte 31, .*: the checksum does not"
    ):
        read_record(path, second)
    for length in (22, 33, 36):
        path.write_bytes(whole[:length])
        with pytest.raises(
            AnnotationError, match=r"is damaged at byte .*: it ends within a record"
        ):
            list(find_records(map_file(path), path))
    path.write_bytes(b"\x1f\x8b" + whole)
    with pytest.raises(AnnotationError) as raised:
        list(find_records(map_file(path), path))
    assert str(raised.value) == (
        f"{path} is damaged at byte 0, or no plain TFRecord file: there is no length of a record; "
        f"copy it again (and unpack it, if it is compressed)"
    )
    for look in (map_file, lambda gone: read_record(gone, first)):
        with pytest.raises(AnnotationError, match="cannot read the records .*gone: No such file"):
            look(tmp_path / "gone")


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_any_bytes_of_a_file_are_read_or_refused(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "mutated"
    mutated = bytearray(frame(b"one") + frame(b"two"))
    for place, value in changes:
        mutated[place % len(mutated)] = value
    path.write_bytes(bytes(mutated))
    with contextlib.suppress(AnnotationError):
        found = [read_record(path, place) for place in find_records(map_file(path), path)]
        assert found == [b"one", b"two"]


def example_class():
    """`tf.train.Example` by protobuf itself."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    one, many = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL, 3

    def message(name, *fields):
        added = file.message_type.add(name=name)
        for number, (field, label, kind) in enumerate(fields, start=1):
            made = added.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                made.type, made.type_name = 11, kind
            else:
                made.type = kind
        return added

    message("BytesList", ("value", many, 12))
    message("FloatList", ("value", many, 2))
    message("Int64List", ("value", many, 3))
    feature = message(
        "Feature",
        ("bytes_list", one, ".t.BytesList"),
        ("float_list", one, ".t.FloatList"),
        ("int64_list", one, ".t.Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", ("feature", many, ".t.Features.FeatureEntry"))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=one, type=9)
    entry.field.add(name="value", number=2, label=one, type=11, type_name=".t.Feature")
    message("Example", ("features", one, ".t.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


EXAMPLE = example_class()
values = st.one_of(st.binary(max_size=300), st.integers(-(2**63), 2**63 - 1))
named = st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=5)


def test_an_example_is_these_bytes():
    assert write_example({"b": b"xy", "a": 300}).hex() == "".join(
        [
            "0a1a",  # features, 26 bytes
            "0a0b" "0a0161" "1206" "1a04" "0a02ac02",  # an entry: "a", its int64_list: 300, packed
            "0a0b" "0a0162" "1206" "0a04" "0a027879",  # an entry: "b", its bytes_list: "xy"
        ]
    )  # fmt: skip


@given(named)
@settings(max_examples=60, deadline=None)
def test_protobuf_reads_what_we_write(features):
    message = EXAMPLE.FromString(write_example(features))
    found = {
        name: one.int64_list.value[0] if one.HasField("int64_list") else one.bytes_list.value[0]
        for name, one in message.features.feature.items()
    }
    assert found == features
    if len(features) == 1:  # of several, protobuf chooses another order
        assert write_example(features) == message.SerializeToString()


@given(st.dictionaries(st.text(max_size=8), st.lists(values, max_size=3), max_size=4))
@settings(max_examples=60, deadline=None)
def test_we_read_what_protobuf_writes(features):
    message = EXAMPLE()
    message.features.feature["floats"].float_list.value.extend([0.5, 1.0])
    for name, several in features.items():
        one = message.features.feature[name]
        one.ClearField("float_list")
        one.int64_list.value.extend(v for v in several if isinstance(v, int))
        if not one.int64_list.value:
            one.bytes_list.value.extend(v for v in several if isinstance(v, bytes))
    found = read_features(message.SerializeToString())
    assert found.keys() == message.features.feature.keys()
    for name, one in message.features.feature.items():
        assert integers_of(found[name]) == list(one.int64_list.value)
        assert [bytes(v) for v in bytes_of(found[name])] == list(one.bytes_list.value)


def test_integers_may_be_unpacked():
    assert integers_of(memoryview(bytes.fromhex("1a05" + "0801" + "08ac02"))) == [1, 300]


@pytest.mark.parametrize(
    "data, sentence",
    [
        ("0a05", "a field reaches past the end of its message"),
        ("0a", "an integer reaches past the end"),
        ("0b", "written in the unknown way 3"),
        ("08" + "ff" * 10, "an integer has more than 64 bits"),
        ("0a04" + "0a02" + "0801", "has no name, or no value"),
        ("0a05" + "0a03" + "0a01ff", "codec can't decode"),
    ],
)
def test_says_what_is_no_example(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_features(bytes.fromhex(data))


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_example_or_refused(data):
    with contextlib.suppress(ValueError):
        for feature in read_features(data).values():
            bytes_of(feature)
            integers_of(feature)


@given(named, st.integers(0, 10**6), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_any_change_is_an_example_or_refused(features, place, value):
    data = bytearray(write_example(features | {"x": 5}))
    data[place % len(data)] = value
    with contextlib.suppress(ValueError):
        for feature in read_features(bytes(data)).values():
            bytes_of(feature)
            integers_of(feature)


def test_large_data_is_looked_at_as_it_is():
    data = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8).tobytes()
    (value,) = bytes_of(read_features(write_example({"image": data}))["image"])
    assert isinstance(value, memoryview) and value == data
