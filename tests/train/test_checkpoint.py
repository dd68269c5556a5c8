"""Tests for detcon.train.checkpoint: whole, complete, and never code."""

import os
import pickle
import random
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from detcon.train.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from detcon.train.finite import all_finite
from detcon.train.random_state import rng_state, set_rng_state

CPU = torch.device("cpu")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "deep" / "last.ckpt"
    weights = {"w": torch.randn(50, 50), "n": torch.tensor(3)}
    save_checkpoint(
        path, Checkpoint(7, weights, {"state": {}}, [{"rng": rng_state(CPU)}], fingerprint="abc")
    )
    return path


def test_what_goes_in_comes_out(saved):
    found = load_checkpoint(saved, fingerprint="abc")
    again = saved.with_name("again.ckpt")
    save_checkpoint(again, found)
    assert str(asdict(load_checkpoint(again, fingerprint="abc"))) == str(asdict(found))
    assert found.step == 7 and found.module["w"].shape == (50, 50)


def test_random_states_come_back():
    """Python's, numpy's (with its spare normal number) and torch's."""

    def draw():
        return random.random(), random.gauss(0, 1), np.random.normal(), torch.randn(3).tolist()

    np.random.normal()
    state = rng_state(CPU)
    first = draw()
    set_rng_state(state, CPU)
    assert draw() == first


def test_nothing_is_left_beside(saved):
    assert [path.name for path in saved.parent.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_of_another_recipe_says_so(saved):
    with pytest.raises(
        CheckpointError, match=r"fingerprint abc, asked for def\); give another out"
    ):
        load_checkpoint(saved, fingerprint="def")


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_damage_is_never_loaded_as_if_it_were_whole(tmp_path_factory, share, bit):
    """One wrong bit anywhere: the file is refused, or what comes out is what went in."""
    folder = tmp_path_factory.mktemp("damage")
    path = folder / "x.ckpt"
    weights = {"w": torch.arange(500.0)}
    save_checkpoint(path, Checkpoint(7, weights, {}, [], fingerprint="abc"))
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        found = load_checkpoint(path, fingerprint="abc")
    except CheckpointError:
        return
    assert found.step == 7 and torch.equal(found.module["w"], weights["w"])


@pytest.mark.parametrize("size", [0, 10, 2000])
def test_a_cut_off_file_says_so(saved, size):
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged .*remove it to start"):
        load_checkpoint(saved, fingerprint="abc")


def test_a_checkpoint_that_is_not_there_says_so(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*none\.ckpt"):
        load_checkpoint(tmp_path / "none.ckpt")


class Foreign:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [torch.save, lambda x, p: Path(p).write_bytes(pickle.dumps(x))])
def test_foreign_code_is_not_run(tmp_path, write):
    path = tmp_path / "hostile.ckpt"
    write({"step": Foreign(tmp_path / "proof")}, path)
    with pytest.raises(CheckpointError, match=r"hostile\.ckpt"):
        load_checkpoint(path)
    assert not (tmp_path / "proof").exists()


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(CheckpointError, match=r"cannot write checkpoint .*: File exists"):
        save_checkpoint(tmp_path / "checkpoints" / "last.ckpt", Checkpoint(0, {}, {}, []))


def test_finite():
    good, bad = torch.ones(3), torch.tensor([0.0, float("inf")])
    assert all_finite([good, torch.ones(2, dtype=torch.long)]) and all_finite([])
    assert not all_finite([good, bad])
