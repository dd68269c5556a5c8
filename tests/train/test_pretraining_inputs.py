"""Inputs of a pretraining: none to learn from, changed, moved or damaged; the advice helps."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from train_things import points

from detcon.config import RecipeError
from detcon.data.loader import BatchTooLarge
from detcon.masks.sources import Grid
from detcon.masks.store import StoreError
from detcon.masks.store.fill import make_masks
from detcon.models.backbone_file import BackboneError, load_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.notes import note
from detcon.photos import PhotosError
from detcon.pretraining.training import pretrain
from detcon.results import RunError
from detcon.results.inputs import INPUTS
from detcon.results.recipe import read_recipe
from detcon.train.loop import fit
from detcon.train.plan import Plan
from detcon.train.recipe import Cosine, LoopRecipe, Sgd
from detcon.train.steps import Steps

SIMCLR = {"kind": "simclr", "hidden": 8, "outputs": 8}
DETCON = {"kind": "detcon_s", "hidden": 8, "outputs": 8}
TINY = {
    "encoder": {"name": "resnet18", "width": 0.125, "stride": 16},
    "views": {"size": 32},
    "optimizer": {"kind": "adamw", "lr": 1e-3},
    "batch_size": 4,
    "steps": 2,
    "workers": 0,
    "loop": {"log_every": 1, "precision": "32", "accelerator": "cpu"},
}


def write_photos(folder, numbers, size=(32, 48)):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        rng = np.random.default_rng(number)
        cv2.imwrite(str(folder / f"{number:02}.png"), rng.integers(0, 256, (*size, 3), np.uint8))
    return folder


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", range(6))


def run(photos, out, **options):
    return pretrain(None, **{**TINY, "images": photos, "out": out, "method": SIMCLR, **options})


class Interrupted(Exception):
    """Ends a run between two steps."""


@pytest.fixture
def begun(photos, tmp_path, monkeypatch):
    """A run that was stopped after its first step, with a checkpoint."""
    with monkeypatch.context() as patch:
        made = []

        def update(self, batch, update=Steps.update):
            if made:
                raise Interrupted
            made.append(batch)
            return update(self, batch)

        patch.setattr(Steps, "update", update)
        loop = {**TINY["loop"], "checkpoint_every": 1}
        with pytest.raises(Interrupted):
            run(photos, tmp_path / "run", loop=loop)
    return tmp_path / "run"


# --- training on nothing


def only_in_tall_photos(image):
    number = 2 if image.shape[0] > 32 else 0
    masks = np.zeros((number, *image.shape[:2]), bool)
    masks[:1, :20], masks[1:, 20:] = True, True
    return masks


def test_photos_without_any_mask_are_refused_before_the_first_step(photos, tmp_path, capsys):
    with pytest.raises(StoreError, match="found no mask"):
        make_masks(images=photos, out=tmp_path / "masks", generator=only_in_tall_photos, workers=1)
    with pytest.raises(RecipeError, match=r"none of the 6 photos in .*photos has a mask in .*mask"):
        run(photos, tmp_path / "a", method=DETCON, masks=tmp_path / "masks")
    again = {"masks": tmp_path / "masks", "warm_heads": 1}
    assert run(photos, tmp_path / "b", **again).is_file(), "simclr needs none"
    said = capsys.readouterr().err
    assert f"masks={tmp_path}/masks isn't used: simclr takes whole photos" in said
    assert "method.kind=detcon_s, detcon_b, region_byol or region_distillation\n" in said
    assert "warm_heads=1 without weights=" in said


def test_photos_without_masks_are_counted(photos, tmp_path, capsys):
    write_photos(photos, (6, 7), size=(40, 48))
    masks = make_masks(
        images=photos, out=tmp_path / "masks", generator=only_in_tall_photos, workers=1
    )
    run(photos, tmp_path / "run", method=DETCON, masks=masks, batch_size=8)
    lines = " ".join(capsys.readouterr().err.split())
    assert "6 of 8 photos have no masks: nothing is learnt from them" in lines


class NothingToLearn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, batch):
        return self.layer(batch.x).sum() * 0, None


def test_a_loss_of_zero_is_reported_once(tmp_path, capsys):
    loop = LoopRecipe(precision="32", accelerator="cpu", log_every=1)
    plan = Plan(4, 6, Sgd(lr=0.1), Cosine(), loop)
    fit(NothingToLearn(), points, plan=plan, folder=tmp_path)
    lines = " ".join(capsys.readouterr().err.split())
    assert lines.count("the loss is exactly 0 at step 1: nothing is learnt") == 1


# --- stale results


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda photos: write_photos(photos, (9,)), "6 files then, 7 now"),
        (lambda photos: (photos / "03.png").unlink(), "6 files then, 5 now"),
        (
            lambda photos: (photos / "03.png").rename(photos / "33.png"),
            "one or more of its 6 files have other names or content",
        ),
    ],
)
def test_photos_that_changed_are_noticed_when_a_run_goes_on(
    change, sentence, photos, begun, tmp_path
):
    kept = shutil.copytree(photos, tmp_path / "kept")
    change(photos)
    with pytest.raises(
        RunError, match=rf"images=.*photos has changed since .*run was begun \({sentence}"
    ):
        run(photos, begun)
    assert run(kept, begun).is_file(), "put back, the run goes on, even in another folder"
    with pytest.raises(
        RunError, match=rf"has changed since .*run was begun \({sentence}.*give another out="
    ):
        run(photos, begun)
    assert run(photos, tmp_path / "another").is_file()


def test_a_changed_picture_of_the_same_name_is_told(photos, begun, capsys):
    """Damaged photos may be replaced while a run waits, so that it isn't refused."""
    (photos / "03.png").touch()
    os.utime(photos / "03.png", (2e9, 2e9))
    run(photos, begun)
    said = capsys.readouterr().err
    assert f"1 photo of {photos} changed since {begun} was begun, the first is 03.png" in said
    note.cache_clear()
    run(photos, begun)
    assert "the first is 03.png: the run learnt from their older content" in capsys.readouterr().err
    os.utime(photos / "03.png", (1e9, 1e9))
    note.cache_clear()
    run(photos, begun)
    assert "changed since" not in capsys.readouterr().err


def test_masks_that_changed_are_noticed(photos, tmp_path):
    masks = make_masks(images=photos, out=tmp_path / "masks", generator=Grid(2), workers=1)
    run(photos, tmp_path / "run", method=DETCON, masks=masks)
    shutil.rmtree(masks)
    make_masks(images=photos, out=masks, generator=Grid(3), workers=1)
    with pytest.raises(RunError, match=r"masks=.*masks has changed since .*run was begun"):
        run(photos, tmp_path / "run", method=DETCON, masks=masks)


def test_the_same_photos_elsewhere_are_no_change(photos, begun, tmp_path, capsys):
    recorded = read_recipe(begun).text
    moved = photos.rename(tmp_path / "elsewhere")
    backbone = run(moved, begun)
    assert read_recipe(begun).text == recorded, "as its checkpoints know it"
    capsys.readouterr()
    assert run(f"{moved}/", begun) == backbone
    assert "holds this run, finished: nothing to do; give another out=" in capsys.readouterr().err


def test_a_finished_run_does_not_need_its_photos(photos, tmp_path):
    backbone = run(photos, tmp_path / "run")
    shutil.rmtree(photos)
    assert run(photos, tmp_path / "run") == backbone


def test_a_lost_backbone_is_written_again(photos, tmp_path):
    """As the sentence on a run without one says: give its command again."""
    backbone = run(photos, tmp_path / "run")
    written = load_file(backbone)
    backbone.unlink()
    with pytest.raises(BackboneError, match="run isn't finished .*: give its command again"):
        load_backbone(backbone)
    again = load_file(run(photos, tmp_path / "run"))
    assert all(torch.equal(again[name], written[name]) for name in written)
    backbone.unlink()
    shutil.rmtree(photos)
    with pytest.raises(PhotosError, match="there is no folder or manifest"):
        run(photos, tmp_path / "run")


def test_a_run_of_before_goes_on_where_its_photos_were(photos, begun, tmp_path):
    (begun / INPUTS).unlink()
    copy = shutil.copytree(photos, tmp_path / "copy")
    with pytest.raises(RunError, match=r"a run of another recipe: images is .* there and .* now"):
        run(copy, begun)
    assert run(photos, begun).is_file()


def test_another_number_of_steps_is_refused(photos, begun):
    with pytest.raises(RunError, match="steps is 2 there and 3 now; give another out="):
        run(photos, begun, steps=3)


# --- damage


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer1.0.conv1.weight", float("nan")),
        ("bn1.weight", float("inf")),
        ("layer2.0.bn1.running_var", -1.0),
        ("layer2.0.bn1.running_mean", float("nan")),
    ],
)
def test_weights_that_are_no_numbers_are_refused_wherever_they_are_read(
    name, value, photos, tmp_path
):
    state = build_encoder(EncoderRecipe(name="resnet18", width=0.125)).state_dict()
    state[name].flatten()[0] = value
    torch.save(state, tmp_path / "bad.pth")
    sentence = rf"bad\.pth is damaged, or its training diverged: 1 of its tensors .* first {name}"
    with pytest.raises(BackboneError, match=sentence):
        load_backbone(tmp_path / "bad.pth")
    with pytest.raises(BackboneError, match=sentence):
        run(photos, tmp_path / "run", weights=tmp_path / "bad.pth")


def test_our_own_files_are_checked_too(photos, tmp_path):
    path = run(photos, tmp_path / "run")
    tensors = load_file(path)
    tensors["conv1.weight"][0] = float("nan")
    with safe_open(path, "pt") as file:
        save_file(tensors, path, file.metadata())
    with pytest.raises(BackboneError, match="1 of its tensors hold NaN"):
        load_backbone(path)


# --- advice


def test_one_photo_gets_advice_that_helps(photos, tmp_path):
    one = write_photos(tmp_path / "one", range(1))
    with pytest.raises(BatchTooLarge, match="cannot train on 1 photo: .* give more photos"):
        run(one, tmp_path / "run")
    with pytest.raises(BatchTooLarge, match="choose batch_size=6 or less"):
        run(photos, tmp_path / "run", batch_size=8)
    assert run(photos, tmp_path / "run2", batch_size=6).is_file()


def test_missing_masks_get_a_command_that_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "my photos", range(4), size=(64, 64))
    with pytest.raises(RecipeError) as error:
        run("my photos", tmp_path / "run", method=DETCON)
    command = re.search("make them with 'detcon (.*)', then give masks=masks", str(error.value))[1]
    done = subprocess.run([sys.executable, "-m", "detcon", *shlex.split(command)], check=False)
    assert done.returncode == 0
    assert run("my photos", tmp_path / "run", method=DETCON, masks="masks").is_file()
