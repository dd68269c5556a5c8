"""MAT files, held against SciPy's reader; and damage, which SciPy's doesn't survive."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.io import loadmat, savemat

from detcon.formats.bsds import read_segmentations
from detcon.formats.errors import AnnotationError
from detcon.formats.reading.ids import read_sbd
from detcon.formats.reading.mat_file import read_mat

NUMBERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
numbers = st.sampled_from(NUMBERS).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=3, max_side=4, min_side=0))
)
names = st.text("abcXYZ", min_size=1, max_size=9)
cells = st.lists(numbers, min_size=1, max_size=3)
records = st.dictionaries(names, numbers, min_size=1, max_size=3)


def saved(values, compressed=True):
    file = io.BytesIO()
    savemat(file, values, do_compression=compressed)
    return file.getvalue()


def in_cells(values):
    found = np.empty((1, len(values)), object)
    found[0] = [None] * len(values)
    for place, value in enumerate(values):
        found[0, place] = value
    return found


def same(ours, theirs):
    return ours.dtype == theirs.dtype and np.array_equal(ours, theirs, equal_nan=True)


@given(numbers, cells, records, st.booleans())
@settings(max_examples=60, deadline=None)
def test_reads_what_scipy_writes_as_scipy_does(array, cell, record, compressed):
    data = saved({"n": array, "c": in_cells(cell), "s": in_cells([record])}, compressed)
    ours, theirs = read_mat(data), loadmat(io.BytesIO(data))
    assert same(ours["n"], theirs["n"])
    for one, other in zip(ours["c"], theirs["c"].ravel(), strict=True):
        assert same(one, other)
    ((found,),) = ours["s"]
    assert found.keys() == record.keys()
    for name in record:
        assert same(found[name], theirs["s"][0, 0][name][0, 0])


def test_arrays_of_structures_and_what_is_passed_over():
    several = np.array([(1.0, 2.0), (3.0, 4.0)], [("x", "f8"), ("y", "f8")])
    odd = {"text": "abc", "complex": np.array([[1j]]), "s": several}
    found = read_mat(saved(odd))
    assert found["text"] is None and found["complex"] is None
    assert [{k: v.item() for k, v in one.items()} for one in found["s"]] == [
        {"x": 1, "y": 2},
        {"x": 3, "y": 4},
    ]


SOUND = {"groundTruth": in_cells([{"Segmentation": np.ones((2, 3), np.uint16)}])}


@pytest.mark.parametrize("compressed", [True, False])
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(compressed, changes):
    mutated = bytearray(saved(SOUND, compressed))
    for place, value in changes:
        mutated[place % len(mutated)] = value
    with contextlib.suppress(ValueError):
        read_mat(bytes(mutated))


@pytest.mark.parametrize("length", [0, 5, 127, 130, 140, 160, 200])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_that_ends_early_is_refused(length, compressed):
    data = saved(SOUND, compressed)
    with pytest.raises(ValueError, match="MAT file|ends early|past the end"):
        read_mat(data[: min(length, len(data) - 3)])


def test_other_formats_are_refused():
    with pytest.raises(ValueError, match="it is a MAT file of version 7.3 .save it in MATLAB wit"):
        read_mat(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(400))
    with pytest.raises(ValueError, match="it is no MAT file of version 5"):
        read_mat(bytes(400))


@pytest.mark.parametrize("read", [read_sbd, read_segmentations])
def test_why_an_annotation_cannot_be_read_is_said(read, tmp_path):
    path = tmp_path / "a.mat"
    for data, why in (
        (
            b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM",
            "of version 7.3 .save it in MATLAB with -v7",
        ),
        (saved(SOUND)[:200], "a piece reaches past the end"),
    ):
        path.write_bytes(data)
        with pytest.raises(AnnotationError, match=rf"a\.mat can't be read: .*{why}.*; copy it aga"):
            read(path)


def test_a_file_within_files_within_files_is_refused():
    value = np.ones((1, 1))
    for _ in range(30):
        value = in_cells([value])
    with pytest.raises(ValueError, match="lies too deep"):
        read_mat(saved({"deep": value}))
