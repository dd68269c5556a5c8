"""Masks that the network finds while it learns: when, from which weights, and after a stop."""

import os
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from gloo import run_ranks
from safetensors.torch import load_file

from detcon.config import RecipeError
from detcon.discover.recipe import make_masks
from detcon.masks import Grid
from detcon.masks.shard import StoreError
from detcon.masks.store import MaskStore
from detcon.photos import TooManyUnreadable
from detcon.pretraining import discovery, pretrain
from detcon.pretraining.discovery import discovered
from detcon.scenes.raycast import render_scene
from detcon.train import loop
from detcon.train.checkpoint import kept_steps
from detcon.train.metrics import read_metrics
from detcon.train.stop import Stopped

PHOTOS, STEPS, EVERY = 16, 8, 3
TINY = {
    "method": {"kind": "detcon_b", "hidden": 32, "outputs": 16, "ema": 0.5},
    "encoder": {"name": "resnet18", "width": 0.125, "stride": 16},
    "views": {"size": 32},
    "optimizer": {"kind": "adamw", "lr": 1e-3},
    "discovery": {"every": EVERY, "num": 4, "side": 64},
    "batch_size": 8,
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
    """What `Discoverer.masks` was asked for; may end the run at an update."""

    def __init__(self, monkeypatch):
        self.asked, self.stop_at = [], None
        masks, update = discovery.Discoverer.masks, loop._Run.update

        def watch(discoverer, begin, step):
            self.asked.append((begin, step))
            return masks(discoverer, begin, step)

        def stop(run, batch):
            extra = update(run, batch)
            if run.training.step + 1 == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return extra

        monkeypatch.setattr(discovery.Discoverer, "masks", watch)
        monkeypatch.setattr(loop._Run, "update", stop)


@pytest.fixture
def watched(monkeypatch):
    return Watched(monkeypatch)


def test_masks_are_of_the_target_as_it_was_when_their_round_began(photos, tmp_path, watched):
    """Every third update of eight, from the first on; those of update 6 are the last."""
    begun = {}
    find = discovery.Discoverer._find

    def note(discoverer, step, store):
        begun[step] = {n: t.clone() for n, t in discoverer._encoder.state_dict().items()}
        find(discoverer, step, store)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery.Discoverer, "_find", note)
        run(photos, tmp_path / "run", steps=STEPS)
    assert watched.asked == [(0, 0), (3, 3), (6, 6)]
    (store,) = discovered(tmp_path / "run")
    assert store.name == "step-000006" and len(MaskStore(store)) == PHOTOS
    encoder = load_file(tmp_path / "run" / "backbone.safetensors")
    assert any(not torch.equal(begun[6][n], encoder[n]) for n in encoder)
    from detcon.models.backbone_file import save_backbone
    from detcon.models.encoders import EncoderRecipe, build_encoder
    from detcon.models.normalisation import Normalisation

    recipe = EncoderRecipe(**TINY["encoder"])
    network = build_encoder(recipe)
    network.load_state_dict(begun[6])
    save_backbone(tmp_path / "six.safetensors", network, recipe, normalisation=Normalisation())
    generator = {"kind": "clusters", "backbone": str(tmp_path / "six.safetensors")}
    again = make_masks(
        images=photos, out=tmp_path / "six", generator=generator | {"num": 4, "side": 64}, workers=2
    )
    for key in MaskStore(store):
        ours, theirs = MaskStore(store)[key], MaskStore(again)[key]
        assert np.array_equal(ours.patterns, theirs.patterns)
