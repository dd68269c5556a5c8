"""TFRecord files and tf.train.Example: known bytes, other people's code, and damage."""

import contextlib
import struct

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings, strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.summary.writer.record_writer import RecordWriter

from detcon.formats.errors import AnnotationError
from detcon.formats.tfrecord.example import read_example, write_example
from detcon.formats.tfrecord.framing import Place, frame, read_record, scan_records


def test_a_record_is_these_bytes():
    """The empty record, as TensorFlow and tensorboard write it: its length's checksum is known."""
    assert frame(b"")[:12].hex() == "0000000000000000" + "29039807"
    assert frame(b"")[12:] == struct.pack("<I", 0xA282EAD8)
    # RFC 3720: the CRC-32C of 32 zeros is 8a9136aa
    assert frame(bytes(32))[-4:] == struct.pack("<I", (0x6D551522 + 0xA282EAD8) % 2**32)


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
    assert [data for _, data in scan_records(ours)] == records
    assert [read_record(ours, place) for place, _ in scan_records(ours)] == records
    if records:
        reader = PyRecordReader_New(str(ours))
        reader.GetNext()
        assert reader.record() == records[0]


def test_damage_is_named(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(frame(b"one") + frame(b"two"))
    first, second = (place for place, _ in scan_records(path))
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
            list(scan_records(path))
    path.write_bytes(b"\x1f\x8b" + whole)
    with pytest.raises(AnnotationError) as raised:
        list(scan_records(path))
    assert str(raised.value) == (
        f"{path} is damaged at byte 0, or no plain TFRecord file: there is no length of a record; "
        f"copy it again (and unpack it, if it is compressed)"
    )
    for look in (lambda gone: list(scan_records(gone)), lambda gone: read_record(gone, first)):
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
        found = [read_record(path, place) for place, _ in scan_records(path)]
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
    assert write_example(dict(reversed(features.items()))) == write_example(features)


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
    found = read_example(message.SerializeToString())
    assert found.keys() == message.features.feature.keys()
    for name, one in message.features.feature.items():
        assert found[name] == list(one.int64_list.value or one.bytes_list.value)


def test_integers_may_be_unpacked():
    entry = "0a0161" + "1207" + "1a05" + "0801" + "08ac02"
    assert read_example(bytes.fromhex("0a0e" + "0a0c" + entry)) == {"a": [1, 300]}


@pytest.mark.parametrize("data", ["0a05", "0a", "0b", "08" + "ff" * 10, "0a05" + "0a03" + "0a01ff"])
def test_says_what_is_no_example(data):
    with pytest.raises(ValueError, match=r"it is no tf\.train\.Example"):
        read_example(bytes.fromhex(data))


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_example_or_refused(data):
    with contextlib.suppress(ValueError):
        read_example(data)


@given(named, st.integers(0, 10**6), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_any_change_is_an_example_or_refused(features, place, value):
    data = bytearray(write_example(features | {"x": 5}))
    data[place % len(data)] = value
    with contextlib.suppress(ValueError):
        read_example(bytes(data))
