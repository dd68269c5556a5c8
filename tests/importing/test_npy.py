"""Tests for detcon.importing.npy: nothing in a file is run, whatever it says."""

import io
import os
import pickle
import subprocess
import sys
import types
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from detcon.importing.npy import read_arrays, unpickle_arrays
from detcon.models.sources import BackboneError

HEADER = (
    b"\x93NUMPY\x01\x00\x76\x00"
    + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117)
    + b"\n"
)
ARRAYS = {
    "a/~/b": {"w": np.arange(6, dtype="f4").reshape(2, 3), "b": np.zeros(3, "f4")},
    "c": {"counter": np.array(3, np.int32), "count": np.int64(4), "columns": np.eye(2, 3).T},
    "d": {f"n{i}": np.array(i, "<i2") for i in range(300)},  # more than one byte counts
    "big": {"endian": np.array([1, 2], ">f4")},
    "half": {"w": np.array([1, 2], "f2")},
    "empty": {"none": np.zeros((0, 3), "f4")},  # protocol 2 calls bytes() for it
}


class Calls:
    """A pickle that calls a function with arguments as it is loaded."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "x.npy").write_bytes(content)
        return read_arrays(tmp_path / "x.npy")

    return read


def assert_equal(found, wanted):
    assert list(found) == list(wanted)
    for module, entries in wanted.items():
        assert list(found[module]) == list(entries)
        for entry, array in entries.items():
            assert found[module][entry].dtype == np.asarray(array).dtype.newbyteorder("=")
            np.testing.assert_array_equal(found[module][entry], array)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_all_protocols_give_what_numpy_gives(read, protocol):
    boxed = np.array(ARRAYS, dtype=object)
    assert_equal(read(HEADER + pickle.dumps(boxed, protocol)), ARRAYS)
    assert_equal(unpickle_arrays(pickle.dumps(ARRAYS, protocol)), ARRAYS)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_ordered_dictionaries_are_dictionaries(read, protocol):
    ordered = OrderedDict((name, OrderedDict(entries)) for name, entries in ARRAYS.items())
    found = read(HEADER + pickle.dumps(ordered, protocol))
    assert_equal(found, ARRAYS)
    assert type(found) is dict and type(found["half"]) is dict


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["FlatMap", "FlatMapping", "frozendict"])
def test_haikus_maps_are_dictionaries(read, monkeypatch, protocol, name):
    """Haiku's maps pickle as a call of their class with a dictionary."""
    module = "haiku._src.data_structures"
    as_haiku = type(
        name, (dict,), {"__module__": module, "__reduce__": lambda map: (as_haiku, (dict(map),))}
    )
    for parent in ("haiku", "haiku._src", module):
        monkeypatch.setitem(sys.modules, parent, types.SimpleNamespace(**{name: as_haiku}))
    nested = as_haiku((name, as_haiku(entries)) for name, entries in ARRAYS.items())
    content = pickle.dumps(nested, protocol)
    monkeypatch.undo()
    assert module.encode() in content
    assert_equal(read(HEADER + content), ARRAYS)


def test_as_numpy_saves_it(tmp_path):
    np.save(tmp_path / "x.npy", ARRAYS)
    assert_equal(read_arrays(tmp_path / "x.npy"), ARRAYS)


def test_names_of_numpy_1(read):
    """The released files were written before numpy moved `core`."""
    content = pickle.dumps(np.array(ARRAYS, dtype=object), 3)
    older = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert older != content
    assert_equal(read(HEADER + older), ARRAYS)


HOSTILE = {
    "system": (Calls(os.system, "touch {}"), r"asks for posix\.system, which no array needs"),
    "popen": (Calls(subprocess.Popen, ["touch", "{}"]), r"asks for \w+\.Popen"),
    "open": (Calls(open, "{}", "w"), r"asks for \w*io\.open"),
    "exec": (Calls(exec, "open({!r}, 'w')"), r"asks for _*builtins?_*\.exec"),
    "eval": (Calls(eval, "open({!r}, 'w')"), r"asks for _*builtins?_*\.eval"),
    "load": (Calls(np.load, "{}"), r"asks for numpy\.load"),
    "object": (Counter(a=1), r"asks for collections\.Counter"),
    "fromfile": (Calls(np.ndarray, (1 << 40,)), r"calls ndarray, which no array needs"),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_runs_nothing(read, tmp_path, name, protocol):
    hostile, sentence = HOSTILE[name]
    trace = tmp_path / "trace"
    if isinstance(hostile, Calls):
        filled = [
            [w.format(str(trace)) for w in word] if isinstance(word, list)
            else word.format(str(trace)) if isinstance(word, str) else word
            for word in hostile.arguments
        ]  # fmt: skip
        hostile = Calls(hostile.function, *filled)
    for inside in (hostile, {"a": {"w": hostile}}, {"a": hostile}):
        with pytest.raises(BackboneError, match=rf"x\.npy {sentence}.*nothing of it was run"):
            read(HEADER + pickle.dumps(inside, protocol))
        assert not trace.exists()


def test_the_same_pickle_would_run(tmp_path):
    """So that the test above can't pass because its pickles are harmless."""
    pickle.loads(pickle.dumps(Calls(open, str(tmp_path / "trace"), "w"))).close()
    assert (tmp_path / "trace").exists()


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def dumped(value):
    return HEADER + pickle.dumps(value, 4)


DAMAGED = {
    "empty": (b"", "is no .npy file"),
    "text": (b"not a file of weights", "is no .npy file"),
    "zip": (b"PK\x03\x04" + bytes(40), "is no .npy file"),
    "version": (HEADER[:6] + b"\x09" + HEADER[7:], "is of version 9 of the .npy format"),
    "numbers": (saved(np.ones(3, "f4")), r"holds no dictionary of arrays \(its header is .*<f4"),
    "several": (saved(np.array([{}, {}])), r"holds no dictionary of arrays \(its header"),
    "cut": (saved(ARRAYS)[:-500], r"is damaged, or cut short \("),
    "no pickle": (HEADER, r"is damaged, or cut short \("),
    "garbage": (HEADER + b"\x80\x04garbage", r"is damaged, or cut short \(|asks for"),
    "list": (dumped([1]), "holds a list, not a dictionary of modules; give one of the rel"),
    "flat": (dumped({"a": np.ones(2)}), "holds a ndarray as a, not a dictionary of arrays; give o"),
    "text inside": (dumped({"a": {"w": "x"}}), "holds a str as w of a, not an array; give one"),
    "nested": (dumped({"a": {"w": {}}}), "holds a dict as w of a, not an array"),
    "line": (dumped({"a\nb": {}}), r"names a module 'a\\nb', which is no name; give"),
    "words": (dumped({"a": {"w": np.array(["x"])}}), r"holds an array of type '<U1', where"),
    "records": (dumped({"a": {"w": np.zeros(2, "f4,i4")}}), "holds an array of type '.V8', where"),
    "dates": (dumped({"a": {"w": np.array(0, "M8[s]")}}), "holds an array of type '.M8', where"),
    "number as key": (dumped({1: {}}), "names a module 1, which is no name"),
    "set": (dumped({"a": {1, 2}}), "asks for EMPTY_SET, a step that no array needs"),
    "class": (HEADER + b"(cos\nsystem\no.", "asks for OBJ, a step that no array needs"),
    "stated": (HEADER + b"}}b.", r"is damaged, or cut short \("),
    "persistent": (HEADER + b"Px\n.", "asks for PERSID, a step"),
    "deep": (HEADER + b"\x80\x02]" + b"\x85" * 5_000 + b".", "holds a tuple, not"),
    "memo": (HEADER + b"}r\xff\xff\xff\xff.", "is damaged: it keeps a value in place 4294967295"),
    "huge": (HEADER + b"\x8e" + b"\xff" * 7 + b"\x7f.", r"is damaged, or cut short"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_checkpoint_gets_a_sentence(read, name):
    content, sentence = DAMAGED[name]
    with pytest.raises(BackboneError, match=rf"x\.npy {sentence}") as told:
        read(content)
    assert "\n" not in str(told.value) and len(str(told.value)) < 400


def test_a_shape_without_its_content_makes_no_array(read):
    content = pickle.dumps({"a": {"w": np.zeros((2, 3), "f4")}}, 2)
    shape = b"K\x02K\x03\x86"
    assert shape in content
    for other in (b"K\x02K\x04\x86", b"K\x02J\xff\xff\xff\x7f\x86", b"K\x02J\xfd\xff\xff\xff\x86"):
        with pytest.raises(BackboneError, match="an array's shape doesn't fit its content"):
            read(HEADER + content.replace(shape, other))


def test_a_file_that_is_not_there():
    with pytest.raises(BackboneError, match=r"there is no file nowhere\.npy; give the \.npy"):
        read_arrays(Path("nowhere.npy"))


def read_or_told(path):
    """What the file holds, or None and one sentence; any other error is a failure."""
    try:
        return read_arrays(path), ""
    except BackboneError as error:
        sentence = str(error)
    assert "\n" not in sentence
    return None, sentence


WHOLE = saved({module: ARRAYS[module] for module in ("a/~/b", "c")})


@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8
    ),
    end=st.integers(0, 2 * len(WHOLE)),
)
def test_changed_bytes_never_end_in_another_error(tmp_path_factory, changes, end):
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "changed.npy"
    path.write_bytes(content[:end])
    found, told = read_or_told(path)
    assert told.startswith(f"{path} ") or found is not None
    for entries in (found or {}).values():
        assert all(isinstance(array, np.ndarray) for array in entries.values())


STEPS = [bytes([code]) for code in b"(.0N\x88\x89}])]ted\x85\x86\x87abRsu\x93\x940p2Qoi\x81\x92"]
PARTS = [b"K\x01", b"h\x00", b"C\x01b", b"\x8c\x05numpy", b"\x8c\x05dtype", b"\x8c\x07ndarray",
         b"\x8c\x15numpy.core.multiarray", b"\x8c\x0c_reconstruct", b"\x8c\x06scalar",
         b"\x8c\x02f4", b"cnumpy\ndtype\n", b"c_codecs\nencode\n", b"j\x01\0\0\0"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(STEPS + PARTS), max_size=40))
def test_any_sequence_of_steps_ends_in_a_sentence(tmp_path_factory, steps):
    path = tmp_path_factory.getbasetemp() / "steps.npy"
    path.write_bytes(HEADER + b"\x80\x04" + b"".join(steps) + b".")
    found, told = read_or_told(path)
    assert told.startswith(f"{path} ") or found is not None
