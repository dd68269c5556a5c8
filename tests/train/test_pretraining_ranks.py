"""Two gloo ranks of 32 photos are one of 64: losses, norms, and weights after 20 steps."""

import pytest
import torch
from gloo import run_ranks
from pretraining_things import MAKE, pretrain_in_doubles

from detcon.results.history import read_history
from detcon.train.checkpoint import load_checkpoint

SCRIPT = """
import pathlib, sys
from pretraining_things import MAKE, pretrain_in_doubles
for kind in MAKE:
    pretrain_in_doubles(kind, pathlib.Path(sys.argv[1]) / kind)
"""


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    run_ranks(SCRIPT, folder)
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
