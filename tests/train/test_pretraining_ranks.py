"""Two gloo ranks of 16 photos are one of 32: losses, norms, and weights after 10 steps.

Also if a run is cut off on one rank and goes on with two, or the other way round.
"""

from functools import cache

import pytest
import torch
from gloo import run_ranks
from pretraining_things import MAKE, Interrupted, pretrain_in_doubles, untrained

from detcon.results.history import read_history
from detcon.train.checkpoint import load_checkpoint

WHOLE_AND_HALF = """
import pathlib, sys
from pretraining_things import MAKE, Interrupted, pretrain_in_doubles
for kind in MAKE:
    pretrain_in_doubles(kind, pathlib.Path(sys.argv[1]) / kind)
    try:
        half = pathlib.Path(sys.argv[1]) / "half" / kind
        pretrain_in_doubles(kind, half, log_every=4, interrupted=True)
    except Interrupted:
        pass
"""
SECOND_HALF = """
import pathlib, sys
from pretraining_things import MAKE, pretrain_in_doubles
for kind in MAKE:
    pretrain_in_doubles(kind, pathlib.Path(sys.argv[1]) / kind, log_every=4)
"""


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """Runs of all methods on two ranks, whole ones and, in `half`, some that were cut off."""
    folder = tmp_path_factory.mktemp("joint")
    run_ranks(WHOLE_AND_HALF, folder)
    return folder


@pytest.mark.parametrize("kind", MAKE)
def test_two_ranks_are_one(kind, joint, tmp_path):
    pretrain_in_doubles(kind, tmp_path)
    logs = [[line["loss"] for line in read_history(f).rows] for f in (joint / kind, tmp_path)]
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)  # logged in float32
    ours, theirs = (
        load_checkpoint(folder / "checkpoints/last.ckpt").module
        for folder in (joint / kind, tmp_path)
    )
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():  # running means and variances among them
        torch.testing.assert_close(ours[name], tensor, atol=1e-6, rtol=0)
    for name, tensor in untrained(kind).named_parameters():
        if tensor.requires_grad and tensor.ndim > 1:
            assert (theirs[name] - tensor).norm() > 0.01 * tensor.norm(), f"{name} has moved"


@pytest.fixture(scope="module")
def begun(joint, tmp_path_factory):
    """Runs of all methods, cut off on two ranks; those that were cut off on one, ended on two."""
    one = tmp_path_factory.mktemp("one")
    for kind in MAKE:
        with pytest.raises(Interrupted):
            pretrain_in_doubles(kind, one / kind, log_every=4, interrupted=True)
    run_ranks(SECOND_HALF, one)
    return {"two, then one": joint / "half", "one, then two": one}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a method's run on one rank."""

    @cache
    def call(kind):
        folder = tmp_path_factory.mktemp(kind)
        pretrain_in_doubles(kind, folder, log_every=4)
        return folder

    return call


@pytest.mark.parametrize("order", ["two, then one", "one, then two"])
@pytest.mark.parametrize("kind", MAKE)
def test_a_run_goes_on_with_another_number_of_ranks(kind, order, begun, undisturbed):
    folder = begun[order] / kind
    if order == "two, then one":
        pretrain_in_doubles(kind, folder, log_every=4)
    both = (folder, undisturbed(kind))
    logs = [[line["loss"] for line in read_history(f).rows] for f in both]
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)  # logged in float32
    ours, theirs = (load_checkpoint(f / "checkpoints/last.ckpt").module for f in both)
    for name, tensor in theirs.items():  # in float64
        torch.testing.assert_close(ours[name], tensor, atol=1e-9, rtol=0)
