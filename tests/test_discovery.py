"""Masks that the network finds while it learns: when, from which weights, and after a stop."""

import os
import shutil
import signal

import cv2
import numpy as np
import pytest
import torch
from gloo import run_ranks
from safetensors.torch import load_file

from detcon.config import RecipeError
from detcon.masks.sources import Grid
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.masks.store.shard import StoreError
from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.photos import TooManyUnreadable
from detcon.pretraining import discovery
from detcon.pretraining.discovery import discovered
from detcon.pretraining.training import pretrain
from detcon.results.history import read_history
from detcon.scenes.raycast import render_scene
from detcon.train.checkpoint import kept_steps
from detcon.train.state import Training
from detcon.train.steps import Steps
from detcon.train.stop import Stopped

PHOTOS, STEPS, EVERY = 8, 8, 3
TINY = {
    "method": {"kind": "detcon_b", "hidden": 32, "outputs": 16, "ema": 0.5},
    "encoder": {"name": "resnet18", "width": 0.125, "stride": 16},
    "views": {"size": 32},
    "optimizer": {"kind": "adamw", "lr": 1e-3},
    "discovery": {"every": EVERY, "num": 4, "side": 64},
    "batch_size": 4,
    "steps": STEPS,
    "workers": 0,
    "loop": {
        "log_every": 1, "checkpoint_every": None, "checkpoint_minutes": None, "precision": "32",
        "accelerator": "cpu",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(PHOTOS):
        scene = render_scene(seed=1, index=i, size=64)
        cv2.imwrite(str(folder / f"{i:02}.png"), cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2BGR))
    return folder


def run(photos, out, **changes):
    return pretrain(None, **TINY | {"images": photos, "out": out} | changes)


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """An undisturbed run."""
    return run(photos, tmp_path_factory.mktemp("whole") / "run")


class Watched:
    """What `Discoverer.masks` was asked for, by (begin, step); may end the run after an update."""

    def __init__(self, monkeypatch):
        self.asked, self.stop_after = [], None
        masks, update = discovery.Discoverer.masks, Steps.update

        def watch(discoverer, begin, step):
            self.asked.append((begin, step))
            return masks(discoverer, begin, step)

        def stop(run, batch):
            if run.training.step + 1 == self.stop_after:
                self.stop_after = None
                os.kill(os.getpid(), signal.SIGTERM)
            return update(run, batch)

        monkeypatch.setattr(discovery.Discoverer, "masks", watch)
        monkeypatch.setattr(Steps, "update", stop)


@pytest.fixture
def watched(monkeypatch):
    return Watched(monkeypatch)


def same_masks(one, other):
    one, other = MaskStore(one), MaskStore(other)
    return one.keys() == other.keys() and all(
        np.array_equal(one[key].patterns, other[key].patterns) for key in one
    )


@pytest.mark.parametrize(("kind", "tower"), [("detcon_s", "online"), ("detcon_b", "target")])
def test_masks_are_of_the_network_as_it_was_when_their_round_began(
    kind, tower, photos, tmp_path, watched, monkeypatch
):
    """Found at updates 0, 3 and 6 of seven: what stays are those of update 6."""
    found_by = {}
    update = Steps.update

    def note(run, batch):
        encoder = getattr(run.training.module, tower).encoder
        found_by[run.training.step] = {n: t.clone() for n, t in encoder.state_dict().items()}
        return update(run, batch)

    monkeypatch.setattr(Steps, "update", note)
    method = {"kind": kind, "hidden": 32, "outputs": 16}
    backbone = run(photos, tmp_path / "run", method=method, steps=7)
    assert watched.asked == [(0, 0), (3, 3), (6, 6)]
    (store,) = discovered(tmp_path / "run")
    assert store.name == "step-000006" and len(MaskStore(store)) == PHOTOS
    recipe = EncoderRecipe(**TINY["encoder"])
    network = build_encoder(recipe)
    network.load_state_dict(found_by[6])
    save_backbone(tmp_path / "six.safetensors", network, recipe, normalisation=Normalisation())
    generator = {"kind": "clusters", "backbone": str(tmp_path / "six.safetensors")}
    generator |= {"num": 4, "side": 64}
    again = make_masks(images=photos, out=tmp_path / "six", generator=generator, workers=2)
    assert same_masks(store, again)
    generator["backbone"] = str(backbone)
    later = make_masks(images=photos, out=tmp_path / "seven", generator=generator, workers=1)
    assert not same_masks(store, later)


def test_finding_masks_leaves_no_trace_in_the_training(photos, tmp_path, monkeypatch):
    """Masks that are found anew and are none other: the weights are those of a run without."""
    grid = make_masks(images=photos, out=tmp_path / "grid", generator=Grid(2), workers=1)
    without = run(photos, tmp_path / "without", masks=grid, discovery=None)
    find = discovery.Discoverer._find

    def found(discoverer, step, store):
        find(discoverer, step, store)
        shutil.rmtree(store)
        shutil.copytree(grid, store)

    monkeypatch.setattr(discovery.Discoverer, "_find", found)
    assert run(photos, tmp_path / "with").read_bytes() != without.read_bytes(), "notes differ"
    encoders = [load_file(tmp_path / n / "backbone.safetensors") for n in ("with", "without")]
    for name, tensor in encoders[0].items():
        assert torch.equal(tensor, encoders[1][name]), name


def test_workers_make_no_view_ahead_of_its_masks(photos, tmp_path, whole):
    assert run(photos, tmp_path / "run", workers=2).read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("stop", [2, 3, 7])
def test_a_run_that_goes_on_is_as_if_undisturbed(stop, photos, tmp_path, whole, watched):
    watched.stop_after = stop
    with pytest.raises(Stopped):
        run(photos, tmp_path / "run")
    assert kept_steps(tmp_path / "run/checkpoints/last.ckpt") == {stop}
    watched.asked.clear()
    assert run(photos, tmp_path / "run").read_bytes() == whole.read_bytes()
    assert watched.asked[0] == (stop // EVERY * EVERY, stop)


@pytest.mark.parametrize(
    ("saved", "kept"), [(2, ["step-000000", "step-000006"]), (3, ["step-000003", "step-000006"])]
)
def test_a_run_that_falls_back_rounds_finds_the_masks_of_its_checkpoint(
    saved, kept, photos, tmp_path, whole, monkeypatch
):
    """Killed at the end of the third round, when the last checkpoint is of an earlier one."""
    update, save = Steps.update, Training.save

    def killed(run, batch):
        if run.training.step == saved:
            save(run.training)
        if run.training.step == 7:
            raise Killed
        return update(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "update", killed)
        with pytest.raises(Killed):
            run(photos, tmp_path / "run")
    assert kept_steps(tmp_path / "run/checkpoints/last.ckpt") == {saved}
    assert [path.name for path in discovered(tmp_path / "run")] == kept
    assert run(photos, tmp_path / "run").read_bytes() == whole.read_bytes()


def test_masks_that_were_half_made_are_gone_on_with(photos, tmp_path, whole, monkeypatch):
    def killed(told, **changes):
        make_masks(told, **changes)
        if told.out.endswith("step-000006"):
            os.remove(f"{told.out}/index.arrow")
            os.remove(f"{told.out}/shards/00000.masks")
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(discovery, "make_masks", killed)
        with pytest.raises(Killed):
            run(photos, tmp_path / "run")
    assert [path.name for path in discovered(tmp_path / "run")] == ["step-000003", "step-000006"]
    assert run(photos, tmp_path / "run").read_bytes() == whole.read_bytes()


class Killed(Exception):
    """Stands for whatever ends a process."""


def test_masks_of_other_weights_that_lie_there_are_made_anew(photos, tmp_path, whole):
    """As after a checkpoint that was taken away, or on a GPU, which rounds as it likes."""
    store = tmp_path / "run" / "discovery" / "step-000003"
    other = {"kind": "clusters", "encoder": "resnet18", "num": 4, "side": 64}

    def put(_):
        make_masks(images=photos, out=store, generator=other, workers=1)

    with pytest.MonkeyPatch.context() as patch:
        update = Steps.update

        def at_two(run, batch):
            if run.training.step == 2:
                put(batch)
            return update(run, batch)

        patch.setattr(Steps, "update", at_two)
        assert run(photos, tmp_path / "run").read_bytes() == whole.read_bytes()


def test_masks_that_are_gone_are_asked_back(photos, tmp_path, whole, watched):
    watched.stop_after = 4
    with pytest.raises(Stopped):
        run(photos, tmp_path / "run")
    (store,) = discovered(tmp_path / "run")
    store.rename(tmp_path / "aside")
    sentence = "goes on after update 4, but the masks that it found after update 3 are not whole in"
    with pytest.raises(StoreError, match=sentence):
        run(photos, tmp_path / "run")
    (tmp_path / "aside").rename(store)
    assert run(photos, tmp_path / "run").read_bytes() == whole.read_bytes()


def test_the_first_round_may_have_masks_of_its_own(photos, tmp_path, whole, watched):
    grid = make_masks(images=photos, out=tmp_path / "grid", generator=Grid(2), workers=1)
    backbone = run(photos, tmp_path / "run", masks=grid)
    assert watched.asked == [(3, 3), (6, 6)]
    assert backbone.read_bytes() != whole.read_bytes()


def test_photos_that_cannot_be_read_then_are_left_out_or_too_many(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    for name in ("01.png", "07.png"):
        (tmp_path / "photos" / name).write_bytes(b"no photo")
    with pytest.raises(TooManyUnreadable, match="2 of 8 photos couldn't be read .* 1: .*01.png"):
        run(tmp_path / "photos", tmp_path / "run")
    assert not discovered(tmp_path / "run"), "to be made again when the photos are back"
    shutil.copy(photos / "07.png", tmp_path / "photos")
    run(tmp_path / "photos", tmp_path / "run")
    store = discovered(tmp_path / "run")[-1]
    assert list(MaskStore(store).unreadable) == ["01.png"]


def test_what_has_no_regions_finds_none(photos, tmp_path):
    sentence = "and simclr has no use for them; give .*region_byol or region_distillation, or lea"
    with pytest.raises(RecipeError, match=f"discovery finds masks, {sentence}"):
        run(photos, tmp_path / "run", method={"kind": "simclr"})
    with pytest.raises(RecipeError, match="'discovery.every' is missing; give discovery.every="):
        run(photos, tmp_path / "run", discovery={"num": 4})


RANKS = """
import pathlib, sys
from test_discovery import run
folder = pathlib.Path(sys.argv[1])
run(folder / "photos", folder / "run")
"""


def test_two_ranks_find_the_masks_together(photos, tmp_path):
    """Each its share; of one network, whose weights they have in common."""
    shutil.copytree(photos, tmp_path / "photos")
    run_ranks(RANKS, tmp_path)
    (store,) = discovered(tmp_path / "run")
    assert store.name == "step-000006" and len(MaskStore(store)) == PHOTOS
    assert read_history(tmp_path / "run").rows[-1]["step"] == STEPS
    assert [path.name for path in store.parent.iterdir()] == [store.name], "no weights are left"
