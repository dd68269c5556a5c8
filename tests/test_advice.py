"""Advice that works: each sentence is provoked, and what it says is done.

A case is a wrong command, what is said, and the command as the sentence wants it. All are run as
`detcon WORDS` in this process.
"""

import shutil

import cv2
import numpy as np
import pytest
import torch
from test_hostile import ANEW, TINY, call, noise

from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation

SMALL = EncoderRecipe(name="resnet18", width=0.0625)
GRID = ["masks", "images=photos", "generator.kind=grid", "workers=1", "out=new"]
ANNOTATED = ["masks", "images=photos", "generator.kind=annotations", "workers=1", "out=new"]
ADAPT = ["adapt", "images=photos", "weights=b.safetensors", "out=new"]
KNN = ["transfer", "task=knn_segmentation", "data=d", "out=new", "backbone=b.safetensors"]
KNN += ["loop.accelerator=cpu", "loop.precision=32"]
EMBED = ["embed", "backbone=b.safetensors", "images=photos", "out=new.parquet"]

CASES = {  # wrong, said, right; None where the right one would take long
    "a setting of a part": ([*ADAPT, "steps=2"], "'steps' is a setting of one part; give pre"),
    "of the other part": ([*ADAPT, "crop=64"], "'crop' is a setting of one part; give transfer."),
    "of both parts": ([*ADAPT, "encoder.name=resnet18"], "give pretrain.encoder=..."),
    "a wrong name in a part": (
        [*ADAPT, "pretrain.stepps=2"], "there is no setting 'stepps'; did you mean 'steps'?",
    ),
    "weights that are missing": (
        [*ADAPT, "weights=none.pth"], "there is no backbone none.pth; give a file, as RUN/backbone",
    ),
    "labelled data that are missing": ([*ADAPT, "data=none"], "there is no folder none/train"),
    "more labels than there are": (
        [*ADAPT, "data=d", "labels=2,99"],
        "labels=99, but there are only 3 training photos; ask for fewer, or leave labels out",
    ),
    "fresh weights to start from": (
        [*ANEW, "weights=random"], "leave weights out to start from fresh ones", ANEW,
    ),
    "a backbone's folder": (
        [*KNN, "backbone=backbones"], "backbones is a folder; give a file, as RUN/backbone.safete",
        [*KNN, "backbone=backbones/backbone.safetensors"],
    ),
    "a second backbone that is missing": (
        [*KNN, "backbone=b.safetensors,none.pth"], "there is no backbone none.pth", KNN,
    ),
    "no checkpoint": (
        [*KNN, "backbone=photos/0.png"],
        "photos/0.png is no checkpoint of plain tensors: it is damaged, another kind of file",
        KNN,
    ),
    "more labels in one cell": (
        [*KNN, "labels=2,99"], "ask for fewer, or leave labels out to use all", [*KNN, "labels=2"],
    ),
    "a format that is near": (
        [*KNN, "format=foldr"], "there is no format 'foldr'; did you mean 'folder'?",
        [*KNN, "format=folder"],
    ),
    "labels of another name": (
        [*KNN, "data=masked"], "no file masked/train/labels/0.png, but 0_mask.png, which has anot",
        KNN,
    ),
    "a flat name": (
        [*KNN, "head_channels=3"], "which knn_segmentation doesn't have", KNN,
    ),
    "width of a ResNet": (
        [*ANEW, "encoder.name=convnext_atto"],
        "'convnext_atto' is no ResNet and takes no width, no stride; leave encoder.width and "
        "encoder.stride out",
    ),
    "a name that shares a beginning": (
        [*KNN, "task.dilation=2"], "there is no setting 'task.dilation'; known: ",
    ),
    "four bands of three": (
        [*ANEW, "encoder.in_channels=4"], "but 4 bands of 8 or 16 bits were asked for\n",
        [*ANEW, "out=other"],
    ),
    "val is a part of train": (
        [*KNN, "data=same", "labels=9"], "same: 3 of 3 validation photos have the name and size of",
        KNN,
    ),
    "a recipe's file that is missing": (
        ["pretrain", "none.yaml"],
        "there is no recipe none.yaml: no such file, and none that ships\n",
    ),
    "masks needed": (
        [*ANEW, "method.kind=detcon_s"],
        "make them with 'detcon masks felzenszwalb images=photos out=masks', then give masks=masks",
        [*ANEW, "method.kind=detcon_s", "masks=masks"],
    ),
    "a batch too large": (
        [*ANEW, "batch_size=7"], "choose batch_size=6 or less", [*ANEW, "batch_size=6"],
    ),
    "other masks there": (
        ["masks", "images=photos", "out=masks", "generator.kind=felzenszwalb", "workers=1"],
        "it has kind=grid, not kind=felzenszwalb; give another out=", GRID,
    ),
    "photos without annotation": (
        [*ANNOTATED, "generator.folder=d/train/labels"], "missing=none or missing=whole allows",
        [*ANNOTATED, "generator.folder=d/train/labels", "generator.missing=none"],
    ),
    "regions without masks": (
        [*EMBED, "of=regions"], "of=regions needs masks=", [*EMBED, "of=regions", "masks=masks"],
    ),
    "a table's name": (
        [*EMBED, "out=new"], "out=new must end in .parquet", EMBED,
    ),
    "a region that isn't there": (
        [*EMBED, "of=regions", "masks=masks", "near=photos/0.png", "region=99"],
        "has no region 99; give region=0 (around ",
        [*EMBED, "of=regions", "masks=masks", "near=photos/0.png", "region=0"],
    ),
    "a stride that can't go": (
        ["export", "backbone=b16.safetensors", "to=transformers", "out=new"],
        "give stride=32 for the same weights",
        ["export", "backbone=b16.safetensors", "to=transformers", "out=new", "stride=32"],
    ),
    "masks that convert needs": (
        ["convert", "masks=masks", "to=coco", "out=photos"], "give another out=",
        ["convert", "masks=masks", "to=coco", "out=new"],
    ),
    "a run of another recipe": (
        ["pretrain", "images=photos", "out=run", *TINY, "method.kind=byol", "views.size=64"],
        " and more; give another out=, the old settings, or remove the folder",
        ["pretrain", "images=photos", "out=run", *TINY],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Photos with masks and a run cut off, backbones, and labelled photos."""
    folder = tmp_path_factory.mktemp("world")
    for i in range(6):
        (folder / "photos").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "photos" / f"{i}.png"), noise(seed=i))
    for split in ("train", "val"):
        for i in range(3):
            for part, pixels in (
                ("images", noise(seed=i)),
                ("labels", np.arange(48 * 56).reshape(48, 56) // 1400),
            ):
                path = folder / "d" / split / part / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), pixels.astype(np.uint8))
    shutil.copytree(folder / "d", folder / "same")
    shutil.copytree(folder / "d", folder / "masked")
    for path in (folder / "masked" / "train" / "labels").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    torch.manual_seed(0)
    for name, recipe in (("b", SMALL), ("b16", SMALL.with_stride(16))):
        place = folder / f"{name}.safetensors"
        save_backbone(place, build_encoder(recipe), recipe, normalisation=Normalisation())
    (folder / "backbones").mkdir()
    shutil.copy(folder / "b.safetensors", folder / "backbones" / "backbone.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call([word.replace("out=new", "out=masks") for word in GRID], patch) == 0
        assert call(["pretrain", "images=photos", "out=run", *TINY], patch) == 0
    return folder


@pytest.mark.parametrize("name", CASES)
def test_the_advice_works(name, world, tmp_path, monkeypatch, capsys):
    wrong, said, *right = CASES[name]
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    assert call(wrong, monkeypatch) == 2
    assert said in capsys.readouterr().err
    for words in right:
        assert call(words, monkeypatch) == 0, capsys.readouterr().err
