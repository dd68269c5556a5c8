"""Two gloo ranks, as torchrun would start them: one rank's results, one rank's files."""

import signal

import torch
from gloo import run_ranks
from train_things import train_two_ranks

from detcon.results.history import read_history
from detcon.train.checkpoint import load_checkpoint

SCRIPT = """
import pathlib, sys
from train_things import train_two_ranks
folder = pathlib.Path(sys.argv[1])
train_two_ranks(folder / "joint", crash=5)
train_two_ranks(folder / "joint")
try:
    train_two_ranks(folder / "bad", bad=3)
except ValueError as error:
    print(error)
train_two_ranks(folder / "two_lost", allowed=2)
try:
    train_two_ranks(folder / "one_too_many", allowed=1)
except ValueError as error:
    print(error)
"""


ENDING = """
import sys
from detcon.train.replica import gather_objects, open_replica
sys.setswitchinterval(100)  # no other thread gets Python's lock unless this one lets it go
replica = open_replica("32", "cpu")
for _ in range(20):
    gather_objects(replica, "bye")
"""


def test_two_ranks_equal_one(tmp_path):
    """Through a crash and a resume, with probes that the first rank makes alone; and a bad loss on
    one rank stops both, with its photos; and photos that either can't read are counted together.
    """
    said = run_ranks(SCRIPT, tmp_path)
    train_two_ranks(tmp_path / "alone")
    joint, alone = (
        load_checkpoint(tmp_path / n / "checkpoints/last.ckpt") for n in ("joint", "alone")
    )
    assert (joint.step, len(joint.ranks), len(alone.ranks)) == (10, 2, 1)
    for name, weight in alone.module.items():
        torch.testing.assert_close(joint.module[name], weight, atol=1e-6, rtol=0)
    logs = [read_history(tmp_path / n).rows for n in ("joint", "alone")]
    for figure, steps in (("loss", [1, 3, 6, 9, 10]), ("probe_sum", [4, 8, 10])):
        lines = [[line for line in log if figure in line] for log in logs]
        assert [[line["step"] for line in some] for some in lines] == [steps, steps]
        values = [torch.tensor([line[figure] for line in some]) for some in lines]
        torch.testing.assert_close(*values, atol=1e-5, rtol=0)
    assert len(list((tmp_path / "alone").glob("events*"))) == 1
    assert all("the loss of step 4 is not finite, on rank1.jpg;" in text for text in said), said
    assert (tmp_path / "bad/checkpoints/nonfinite.ckpt").is_file()
    assert all("2 of 100 photos can't be read, and max_unreadable=0.01" in text for text in said)
    assert load_checkpoint(tmp_path / "one_too_many/checkpoints/last.ckpt").step == 6
    assert [line.get("unreadable") for line in read_history(tmp_path / "two_lost").rows][-1] == 2
    assert len((tmp_path / "two_lost/unreadable.jsonl").read_text().splitlines()) == 2


def test_ending_right_after_a_collective(tmp_path):
    """gloo's threads still hold its tensors: without a pause, one run in three aborts."""
    run_ranks(ENDING, tmp_path)


LOST = """
import os, signal, sys
from pathlib import Path
from train_things import TwoRanks, points, train
from detcon.train.environment import ranks
from detcon.train.loop import RankGone

def batches(first):
    for step, batch in enumerate(points(first), start=first):
        if step == 3 and ranks().rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch

try:
    train(Path(sys.argv[1]) / str(ranks().rank), TwoRanks(), batches)
except RankGone as error:
    print(error, flush=True)
    os._exit(0)
"""


def test_a_lost_rank_ends_the_others_with_a_sentence(tmp_path):
    """The wait has an end; torchrun would kill this one, Slurm may not."""
    said = run_ranks(LOST, tmp_path, exits=[0, -signal.SIGKILL])
    assert "another rank was lost after step 3: its own message" in said[0], said
