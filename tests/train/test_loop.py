"""Tests for detcon.train.loop: replay, interruption, and what is said."""

import errno
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from gloo import start_ranks
from pydantic import ValidationError
from train_things import LOOP, Crash, Net, TwoRanks, points, train

from detcon.notes import note
from detcon.results.history import read_history
from detcon.train.checkpoint import CheckpointError, load_checkpoint
from detcon.train.finite import NonFiniteLoss
from detcon.train.plan import Plan, Probing
from detcon.train.recipe import Cosine, Lars, LoopRecipe, Sgd
from detcon.train.state import start
from detcon.train.stop import Stopped

LAST = "checkpoints/last.ckpt"
TIMES = ("images_per_second", "data_wait", "memory", "seconds")


def outcome(folder):
    """Everything but the times: weights, buffers, optimiser, random states, figures."""
    last = load_checkpoint(folder / LAST)
    figures = [
        {k: v for k, v in f.items() if k not in TIMES and not k.startswith("time_")}
        for f in read_history(folder).rows
    ]
    rng = [{**state["rng"], "python": None} for state in last.ranks]  # beartype draws there
    rng = json.dumps(rng, default=lambda tensor: tensor.tolist())
    flat = torch.utils._pytree.tree_flatten((last.module, last.optimizer))[0]
    numbers = [x.tolist() if isinstance(x, torch.Tensor) else x for x in flat]
    return last.step, numbers, rng, figures


def seed(number=1):
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


@pytest.fixture
def whole(tmp_path):
    """What ten undisturbed steps give."""
    seed()
    train(tmp_path / "whole")
    return outcome(tmp_path / "whole")


def stop_at(step, error):
    """Batches as `points`, until something goes wrong."""

    def batches(first):
        for number, batch in enumerate(points(first), start=first):
            if number == step:
                raise error
            yield batch

    return batches


@pytest.mark.parametrize("step", [5, 7, 9])
def test_a_crash_and_the_same_command_again_change_nothing(tmp_path, whole, step):
    """10 steps = 5 + resume + 5, bit for bit; from 7, two steps are made twice."""
    seed()
    with pytest.raises(Crash):
        train(tmp_path, open_batches=stop_at(step, Crash()))
    assert load_checkpoint(tmp_path / LAST).step == 5
    seed(99)  # the new process knows nothing of the old one's random states
    train(tmp_path)
    assert outcome(tmp_path) == whole


def test_random_states_matter_in_this_test(tmp_path, whole):
    seed(2)
    train(tmp_path)
    assert outcome(tmp_path)[1] != whole[1]


def test_batches_that_draw_on_opening_change_nothing(tmp_path, whole):
    """As torch's DataLoader does when it is opened, once more in a resumed run."""

    def drawing(first):
        torch.rand(1)
        return stop_at(5 if first == 0 else 10, Crash())(first)

    def replayed(first):
        torch.rand(1)
        yield from points(first)

    seed()
    train(tmp_path / "drawn", open_batches=replayed)
    seed()
    with pytest.raises(Crash):
        train(tmp_path / "parts", open_batches=drawing)
    train(tmp_path / "parts", open_batches=drawing)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "drawn") != whole


@pytest.mark.parametrize("step", [1, 3, 7])
def test_bad_data_lose_no_step(tmp_path, whole, step):
    seed()
    with pytest.raises(ValueError, match="no photo"):
        train(tmp_path, open_batches=stop_at(step, ValueError("no photo")))
    assert load_checkpoint(tmp_path / LAST).step == step
    train(tmp_path)
    assert outcome(tmp_path) == whole


def test_bad_data_before_the_first_step_leave_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="no photo"):
        train(tmp_path, open_batches=stop_at(0, ValueError("no photo")))
    assert not (tmp_path / LAST).exists()


class Signalling(Net):
    """Sends itself a signal in the middle of a step."""

    def __init__(self, number):
        super().__init__()
        self.number, self.calls = number, 0

    def forward(self, batch):
        self.calls += 1
        if self.calls == 3:
            os.kill(os.getpid(), self.number)
        return super().forward(batch)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)]
)
def test_a_signal_in_mid_step_ends_after_it(tmp_path, whole, number, code, capsys):
    seed()
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped:
        train(tmp_path, module=Signalling(number))
    assert stopped.value.code == code
    assert signal.getsignal(number) is before, "handlers are put back"
    assert load_checkpoint(tmp_path / LAST).step == 3
    assert (
        "stopped after step 3 of 10; give the same command again to go on"
        in capsys.readouterr().err
    )
    train(tmp_path)
    assert outcome(tmp_path) == whole


def test_a_signal_while_waiting_for_data_is_obeyed_at_once(tmp_path, whole):
    def waiting(first):
        for step, batch in enumerate(points(first), start=first):
            if step == 4:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            yield batch

    seed()
    with pytest.raises(Stopped) as stopped:
        train(tmp_path, open_batches=waiting)
    assert stopped.value.code == 130
    assert load_checkpoint(tmp_path / LAST).step == 4, "the fifth batch was not waited for"
    train(tmp_path)
    assert outcome(tmp_path) == whole


def test_kill_9_and_the_same_command_again(tmp_path, whole):
    """In another process, killed at some moment after its first checkpoint."""
    script = (
        "import pathlib, sys, time, torch\n"
        "from train_things import train, points\n"
        "def slow(first):\n"
        "    for batch in points(first):\n"
        "        time.sleep(0.02 if first == 0 else 0)\n"
        "        yield batch\n"
        "torch.manual_seed(1)\n"
        "train(pathlib.Path(sys.argv[1], 'killed'), open_batches=slow)\n"
    )
    [process] = start_ranks(script, tmp_path, 1)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / LAST).is_file():
        assert process.is_alive(), (tmp_path / ".said-0").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.join()
    seed()
    train(tmp_path / "killed")
    step, weights, _, figures = outcome(tmp_path / "killed")
    assert (step, weights, figures) == (whole[0], whole[1], whole[3])


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path, whole, monkeypatch):
    seed()
    with pytest.raises(Crash):
        train(tmp_path, open_batches=stop_at(6, Crash()))
    old = (tmp_path / LAST).read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("detcon.files.os.fsync", full)
        patch.setattr("detcon.results.history.write_whole", Path.write_text)
        with pytest.raises(
            CheckpointError,
            match=r"cannot write checkpoint .*last\.ckpt: No space left on device; the one before "
            r"it is whole; make room and give the command again",
        ):
            train(tmp_path)
    assert (tmp_path / LAST).read_bytes() == old
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]
    train(tmp_path)
    assert outcome(tmp_path) == whole


def test_a_loss_that_is_no_number(tmp_path):
    """It is named, nothing bad is saved, and the state before it can be replayed."""
    seed()
    with pytest.raises(
        NonFiniteLoss,
        match=r"the loss of step 7 is not finite, on a\.jpg, b\.jpg; the state before it is in "
        r".*nonfinite\.ckpt: lower optimizer\.lr",
    ):
        train(tmp_path, open_batches=lambda first: points(first, bad=6))
    last, before = (
        load_checkpoint(tmp_path / "checkpoints" / f"{name}.ckpt") for name in ("last", "nonfinite")
    )
    assert (last.step, before.step) == (5, 6)
    values = [x for x in before.module.values() if x.is_floating_point()]
    assert all(torch.isfinite(x).all() for x in values), "also the statistics of batch norm"


def test_the_state_before_a_bad_loss_is_the_one_before_that_step(tmp_path, whole):
    """Replacing last.ckpt by nonfinite.ckpt and mending the data goes on as if nothing was."""
    seed()
    with pytest.raises(NonFiniteLoss):
        train(tmp_path / "bad", open_batches=lambda first: points(first, bad=6))
    (tmp_path / "bad/checkpoints/nonfinite.ckpt").replace(tmp_path / "bad" / LAST)
    train(tmp_path / "bad")
    assert outcome(tmp_path / "bad") == whole


class Exploding(Net):
    """A finite loss with a gradient that is none, at the fifth step."""

    def forward(self, batch):
        loss, out = super().forward(batch)
        self.calls = getattr(self, "calls", 0) + 1
        weight = self.layers[0].weight
        return (loss + (weight.sum() * 0).sqrt() if self.calls == 5 else loss), out


def test_weights_that_are_no_numbers_never_replace_a_checkpoint(tmp_path):
    loop = LOOP.model_copy(update={"checkpoint_every": 1})
    with pytest.raises(NonFiniteLoss, match=r"after step 5 the weights are not finite.*last\.ckpt"):
        train(tmp_path, module=Exploding(), loop=loop)
    assert load_checkpoint(tmp_path / LAST).step == 4


def test_many_photos_are_cut_short(tmp_path):
    training = start(Net(), tmp_path, Plan(10, 6, Sgd(lr=0.1), Cosine(), LOOP))
    error = str(training.nonfinite(2, {2: [f"{i}.jpg" for i in range(20)]}, Path("x")))
    assert "the loss of step 3 is not finite, on 0.jpg, 1.jpg, 2.jpg" in error
    assert "7.jpg and 12 more; the state before it is in" in error


def test_a_finished_training_says_so_and_makes_no_step(tmp_path, capsys):
    train(tmp_path)
    capsys.readouterr()
    before = (tmp_path / LAST).read_bytes()
    train(tmp_path, open_batches=lambda first: pytest.fail("no batch is wanted"))
    assert "all 10 steps were made already" in capsys.readouterr().err
    assert (tmp_path / LAST).read_bytes() == before


def test_says_when_the_data_end_early(tmp_path):
    with pytest.raises(ValueError, match="the data ended after 4 of 10 steps"):
        train(tmp_path, open_batches=lambda first: points(first, steps=4))


def test_the_log(tmp_path, capsys):
    """Mean losses, the rates of the schedule, the observer's figures, and lines for a file."""
    calls, losses = [], []

    class Recording(Net):
        def forward(self, batch):
            loss, out = super().forward(batch)
            losses.append(loss.item())
            return loss, out

    train(
        tmp_path,
        module=Recording(),
        after_step=calls.append,
        observe=lambda out: {"size": float(len(out)), "undefined": float("nan")},
        title="probing",
    )
    figures = read_history(tmp_path).rows
    assert [line["step"] for line in figures] == [1, 3, 6, 9, 10]
    means = [np.mean(losses[a:b]) for a, b in [(0, 1), (1, 3), (3, 6), (6, 9), (9, 10)]]
    assert [line["loss"] for line in figures] == pytest.approx(means, abs=1e-6)
    assert [line["lr"] for line in figures[:2]] == [0.0, 0.1], "warm-up begins at 0"
    assert calls == list(range(10)), "the number of the step just made"
    assert figures[0].keys() == {"step", "loss", "lr", *TIMES, "size"}, "no NaN in JSON"
    assert all(0 <= line["data_wait"] <= 1 for line in figures)
    err = capsys.readouterr().err
    assert "probing 1/10 · loss" in err and "probing 10/10 · loss" in err
    assert len(list(tmp_path.glob("events.*"))) == 1, "and TensorBoard's"


def test_a_cut_off_line_of_the_log_is_dropped(tmp_path, whole):
    seed()
    with pytest.raises(Crash):
        train(tmp_path, open_batches=stop_at(8, Crash()))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    train(tmp_path)
    assert outcome(tmp_path) == whole


def test_bf16_and_channels_last(tmp_path):
    """The convolutions see bf16 and channels-last weights; the weights stay 32-bit."""
    seen = []

    class Conv(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.conv.register_forward_hook(lambda m, args, out: seen.append(out))

        def forward(self, batch):
            return self.conv(batch.x).float().mean(), None

    class Images:
        x = torch.randn(2, 3, 8, 8)

        def to(self, device):
            return self

    module = Conv()
    loop = LOOP.model_copy(update={"precision": "bf16"})
    batches = [Images()] * 2
    train(tmp_path, module, lambda first: batches, steps=2, loop=loop, names=None)
    assert seen[0].dtype == torch.bfloat16
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert module.conv.weight.dtype == torch.float32
    assert module.conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_checkpoint_of_another_network_or_optimiser_says_so(tmp_path):
    train(tmp_path)
    with pytest.raises(CheckpointError, match=r"last\.ckpt does not fit this network or optimiser"):
        train(tmp_path, module=torch.nn.Linear(3, 3), steps=20)


def test_a_module_moves_with_lars(tmp_path):
    module = train(tmp_path, optimizer=Lars(lr=10))
    before, after = Net().state_dict(), module.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_a_precision_is_taken_as_it_is_typed():
    assert type(LOOP)(precision=32).precision == "32"


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValidationError, match="log_every"):
        type(LOOP)(log_every=0)


def rough_probe(module, figures):
    """Measures, and draws from all generators on the way."""

    def measure():
        seed(5)
        np.random.rand(), torch.rand(3), random.random()
        figures.append(float(sum(p.detach().sum() for p in module.parameters())))
        return {"probe_sum": figures[-1]}

    return measure


def probed(folder, every, **options):
    module, figures = Net(), []
    train(folder, module, probing=Probing(every, rough_probe(module, figures)), **options)
    return figures


def test_probing_leaves_no_trace_in_the_training(tmp_path, whole):
    seed()
    figures = probed(tmp_path / "probed", every=4)
    step, numbers, rng, lines = outcome(tmp_path / "probed")
    of_probes = [line for line in lines if "probe_sum" in line]
    assert [line["step"] for line in of_probes] == [4, 8, 10] and len(figures) == 3
    assert [line["probe_sum"] for line in of_probes] == figures
    for line in lines:
        line.pop("probe_sum", None), line.pop("probe_seconds", None)
    assert (step, numbers, rng, [line for line in lines if len(line) > 1]) == whole


@pytest.mark.parametrize("step", [4, 5, 6, 8])
def test_no_probe_is_lost_or_doubled_by_a_crash(tmp_path, step):
    """Checkpoints are at 5 and 10, probes at 4, 8 and 10."""
    seed()
    probed(tmp_path / "whole", every=4)
    for batches in (stop_at(step, Crash), points):
        seed()
        try:
            probed(tmp_path / "cut", every=4, open_batches=batches)
        except Crash:
            continue
    cut, undisturbed = outcome(tmp_path / "cut"), outcome(tmp_path / "whole")
    for line in (*cut[3], *undisturbed[3]):
        line.pop("probe_seconds", None)
    assert cut == undisturbed


def test_a_crash_within_a_probe(tmp_path):
    """The probe at 4 crashes, and one at the step of a checkpoint, which isn't made before it."""
    for every, before in ((4, 0), (5, 0), (10, 5)):
        folder = tmp_path / str(every)

        def crash():
            raise Crash

        seed()
        with pytest.raises(Crash):
            train(folder, probing=Probing(every, crash))
        last = folder / LAST
        assert (load_checkpoint(last).step if last.exists() else 0) == before
        seed()
        probed(folder, every)
        steps = [line["step"] for line in read_history(folder).rows if "probe_sum" in line]
        assert steps == sorted({*range(every, 11, every), 10})


def test_a_stop_during_a_probe_waits_for_it(tmp_path):
    def measure():
        os.kill(os.getpid(), signal.SIGTERM)
        return {"probe_sum": 1.0}

    with pytest.raises(Stopped):
        train(tmp_path, probing=Probing(6, measure))
    assert load_checkpoint(tmp_path / LAST).step == 6
    assert [line["step"] for line in read_history(tmp_path).rows if "probe_sum" in line] == [6]


def test_a_probe_that_fails_says_why(tmp_path):
    def measure():
        raise ValueError("cannot read val/3.jpg")

    with pytest.raises(ValueError, match="cannot read val/3"):
        train(tmp_path, probing=Probing(3, measure))


def test_several_passes_are_one_update(tmp_path):
    once, thrice = (train(tmp_path / str(passes), TwoRanks(), passes=passes) for passes in (1, 3))
    torch.testing.assert_close(once.state_dict(), thrice.state_dict(), atol=1e-6, rtol=0)
    logs = [[line["loss"] for line in read_history(tmp_path / n).rows] for n in ("1", "3")]
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)


def test_32_is_a_precision_without_quotes():
    assert LoopRecipe.model_validate({"precision": 32}).precision == "32"
    with pytest.raises(ValidationError, match="'auto', 'bf16' or '32'"):
        LoopRecipe.model_validate({"precision": 16})


def kept(folder):
    """The steps that the checkpoints beside the last one hold, by name."""
    found = sorted(path for path in (folder / "checkpoints").glob("step-*.ckpt"))
    assert [load_checkpoint(path).step for path in found] == [int(p.stem[5:]) for p in found]
    return [int(path.stem[5:]) for path in found]


@pytest.mark.parametrize("links", [True, False])
def test_the_last_checkpoints_are_kept(tmp_path, whole, links, monkeypatch):
    """Through a crash, and from an earlier one put in the last one's place."""
    if not links:
        monkeypatch.setattr("detcon.train.checkpoint.os.link", refuse)
    loop = LOOP.model_copy(update={"checkpoint_every": 2, "keep": 3})
    seed()
    with pytest.raises(Crash):
        train(tmp_path, open_batches=stop_at(9, Crash()), loop=loop)
    assert kept(tmp_path) == [4, 6, 8]
    assert (tmp_path / LAST).samefile(tmp_path / "checkpoints/step-000008.ckpt") == links
    shutil.copy(tmp_path / "checkpoints/step-000004.ckpt", tmp_path / LAST)
    with pytest.raises(Crash):
        train(tmp_path, open_batches=stop_at(6, Crash()), loop=loop)
    assert kept(tmp_path) == [4, 6], "none of a later step, which this run hasn't made"
    train(tmp_path, loop=loop)
    assert kept(tmp_path) == [6, 8, 10] and outcome(tmp_path) == whole


def refuse(*_):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_disk_without_room_for_a_copy(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("detcon.train.checkpoint.os.link", refuse)
    monkeypatch.setattr("detcon.train.checkpoint.shutil.copyfileobj", full)
    loop = LOOP.model_copy(update={"keep": 2})
    text = r"cannot keep checkpoint .*step-000005\.ckpt: No space left on device; .*last\.ckpt is w"
    with pytest.raises(CheckpointError, match=text):
        train(tmp_path, loop=loop)
    names = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert names == ["last.ckpt"] and load_checkpoint(tmp_path / LAST).step == 5


def test_says_once_that_data_are_waited_for(tmp_path, capsys):
    def slow(first):
        for batch in points(first):
            time.sleep(0.1)  # by far longer than a step, on a busy machine too
            yield batch

    train(tmp_path, open_batches=slow, if_waiting="buy a disk")
    err = capsys.readouterr().err
    assert err.count("% of the time goes into waiting for data; buy a disk") == 1


@pytest.mark.parametrize(
    ("processor", "precision", "told"),
    [
        ({"avx512_bf16": False, "amx_bf16": False}, "bf16", True),
        ({"avx512_bf16": False, "amx_bf16": False}, "32", False),
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16", False),
        ({"bf16": False}, "bf16", True),
        ({"vsx": True}, "bf16", False),
        ({"avx512_bf16": False, "amx_bf16": False}, "auto", False),
    ],
)
def test_says_where_bfloat16_is_slow(tmp_path, capsys, monkeypatch, processor, precision, told):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor, raising=False)
    note.cache_clear()
    train(tmp_path, loop=LOOP.model_copy(update={"precision": precision}))
    assert ("loop.precision=32 would be faster" in capsys.readouterr().err) == told


def test_that_32_bits_are_taken_is_said_once_for_all_trainings(tmp_path, capsys, monkeypatch):
    """Each cell of a transfer said it again."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": False}, raising=False)
    note.cache_clear()
    for name in ("a", "b"):
        train(tmp_path / name, loop=LOOP.model_copy(update={"precision": "32"}))
    assert capsys.readouterr().err.count("has no bfloat16: 32 bits are taken") == 1
