"""Two gloo ranks of 32 photos are one of 64: losses, norms, and weights after 20 steps.

Also if a run is cut off on one rank and goes on with two, or the other way round.
"""

import pytest
import torch
from gloo import run_ranks
from pretraining_things import MAKE, Interrupted, pretrain_in_doubles

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
    assert logs[1][-1] < logs[1][0]
    ours, theirs = (
        load_checkpoint(folder / "checkpoints/last.ckpt").module
        for folder in (joint / kind, tmp_path)
    )
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():  # running means and variances among them
        torch.testing.assert_close(ours[name], tensor, atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def begun(joint, tmp_path_factory):
    """Runs of all methods, cut off on two ranks; those that were cut off on one, ended on two."""
    one = tmp_path_factory.mktemp("one")
    for kind in MAKE:
        with pytest.raises(Interrupted):
            pretrain_in_doubles(kind, one / kind, log_every=4, interrupted=True)
    run_ranks(SECOND_HALF, one)
    return {"two, then one": joint / "half", "one, then two": one}


@pytest.mark.parametrize("order", ["two, then one", "one, then two"])
@pytest.mark.parametrize("kind", MAKE)
def test_a_run_goes_on_with_another_number_of_ranks(kind, order, begun, tmp_path):
    folder = begun[order] / kind
    if order == "two, then one":
        pretrain_in_doubles(kind, folder, log_every=4)
    pretrain_in_doubles(kind, tmp_path, log_every=4)
    logs = [[line["loss"] for line in read_history(f).rows] for f in (folder, tmp_path)]
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)  # logged in float32
    ours, theirs = (
        load_checkpoint(one / "checkpoints/last.ckpt").module for one in (folder, tmp_path)
    )
    for name, tensor in theirs.items():  # in float64
        torch.testing.assert_close(ours[name], tensor, atol=1e-9, rtol=0)
