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
SMALLEST = ["num=1", "views.size=32"]
SHOW = ["show", "images=photos", "masks=masks", "out=new.png"]
EXPORT = ["export", "backbone=b.safetensors"]
SCENES = ["scenes", "out=new", "num=2", "size=32", "workers=1"]

CASES = {  # wrong, said, right; None where the right one would take long
    "a setting of a part": ([*ADAPT, "steps=2"], "'steps' is a setting of a part; give pre"),
    "the same, at its top": ([*ADAPT, "val_groups=_"], "give transfer.val_groups=..."),
    "of the other part": ([*ADAPT, "crop=64"], "'crop' is a setting of a part; give transfer."),
    "of both parts": (
        [*ADAPT, "loop.precision=32"],
        "'loop.precision' is a setting of a part; give pretrain.loop.precision=... or transfer.loo",
    ),
    "of both parts, but one follows": (
        [*ADAPT, "encoder.name=resnet18"],
        "'encoder.name' is a setting of a part; give pretrain.encoder.name=...\n",
    ),
    "of a part's group, whose name is a setting too": (
        [*ADAPT, "task.steps=2"],
        "'task.steps' is a setting of a part; give transfer.task.steps=...\n",
    ),
    "the same, and the setting is given": (
        [*ADAPT, "task=detection", "task.steps=2"],
        "'task.steps' is a setting of a part; give transfer.task.steps=...\n",
    ),
    "a wrong name in the weights": (
        [*ADAPT, "weights.parts=true"],
        "there is no setting 'weights.parts'; did you mean 'weights.partial'?",
    ),
    "a wrong name in a group of a part": (
        [*ADAPT, "encoder.nam=3"], "'encoder.nam' is a setting of a part; give pretrain.encoder.n",
    ),
    "a wrong name in a part": (
        [*ADAPT, "pretrain.stepps=2"],
        "there is no setting 'pretrain.stepps'; did you mean 'pretrain.steps'?",
    ),
    "a wrong name in a group in a part": (
        [*ADAPT, "data=d", "transfer.task.step=2"],
        "there is no setting 'transfer.task.step'; did you mean 'transfer.task.steps'?",
    ),
    "a wrong value in a part": (
        [*ADAPT, "pretrain.steps=many"], "'pretrain.steps' cannot be 'many': input should be a val",
    ),
    "a group in a part that is none": (
        [*ADAPT, "masks.rows=3"], "'masks' cannot be {'rows': 3}: input should be a valid string",
    ),
    "weights that are missing": (
        [*ADAPT, "weights=none.pth"], "there is no backbone none.pth; give a file, as RUN/backbone",
    ),
    "labelled data that are missing": ([*ADAPT, "data=none"], "there is no folder none/train"),
    "more labels than there are": (
        [*ADAPT, "data=d", "labels=2,99"],
        "labels=99, but there are only 3 training photos; ask for fewer, or leave labels out",
    ),
    "fresh weights to adapt": (
        [*ADAPT, "weights=random"], "weights=random knows nothing to adapt; give trained ones",
    ),
    "fresh weights to start from": (
        [*ANEW, "weights=random"], "leave weights out to start from fresh ones", ANEW,
    ),
    "a backbone's folder": (
        [*KNN, "backbone=backbones"],
        "backbones is a folder; give its file, backbones/backbone.safetensors\n",
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
        "'convnext_atto' is no ResNet and takes no width, no stride, which the recipe sets if "
        "you didn't; give encoder.width=1.0 encoder.stride=32 in place of those",
    ),
    "a name that shares a beginning": (
        [*KNN, "task.dilation=2"], "there is no setting 'task.dilation'; known: ",
    ),
    "four bands of three": (
        [*ANEW, "encoder.in_channels=4"], "; ask for 3 by channels= or encoder.in_channels=",
        [*ANEW, "out=other", "encoder.in_channels=3"],
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
        [*ANNOTATED, "generator.folder=d/train/labels"], "generator.missing=none or generator.m",
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
    "a command that is near": (["maskss"], "there is no command 'maskss'; did you mean 'masks'?"),
    "a switch that is near": (
        [*GRID, "--chek"], "no switch '--chek'; did you mean '--check'?", [*GRID, "--check"],
    ),
    "a second recipe": (
        ["masks", "grid", "felzenszwalb", "images=photos", "out=new"], "give one recipe, and",
        ["masks", "grid", "images=photos", "workers=1", "out=new"],
    ),
    "a folder in place of a recipe": (
        [GRID[0], "photos", *GRID[2:]], "but a folder: name its setting, as in images=photos", GRID,
    ),
    "a setting that is near": (
        [*GRID, "generater.rows=2"], "did you mean 'generator'?", [*GRID, "generator.rows=2"],
    ),
    "a kind that is unknown": (
        [*GRID, "generator.kind=gird"], "must be one of 'whole_image', 'grid', ", GRID,
    ),
    "masks into a folder of others": (
        [*GRID, "out=photos"], "photos exists and is no mask store; give another out=", GRID,
    ),
    "photos that are missing": (
        [*GRID, "images=fotos"], "no folder or manifest fotos; check the path", GRID,
    ),
    "no photos": ([*GRID, "images=backbones"], "there are no photos in the folder backbones: look"),
    "no list": (
        [*GRID, "images=b.safetensors"], "give a folder, a .txt with one path a line",
        [*GRID, "images=list.txt"],
    ),
    "a photo listed twice": (
        [*GRID, "images=twice.txt"], "lists photos/0.png twice; remove one of the lines",
        [*GRID, "images=list.txt"],
    ),
    "an empty list": (
        [*GRID, "images=empty.txt"], "lists no photos; write one path a line",
        [*GRID, "images=list.txt"],
    ),
    "a list without its column": (
        [*GRID, "images=other.csv"], "its columns are file; call the one of the photos so",
        [*GRID, "images=path.csv"],
    ),
    "a share": (
        [*GRID, "shard=3"], "is written from 1/64 to 64/64", [*GRID, "shard=1/1"],
    ),
    "too small a number": (
        [*GRID, "workers=0"], "should be greater than or equal to 1", [*GRID, "workers=1"],
    ),
    "a sheet's name": (
        [*SHOW, "out=new.txt"], "give a name that ends in .png or .jpg",
        [*SHOW, *SMALLEST, "out=new.jpg"],
    ),
    "a sheet among the photos": (
        [*SHOW, "out=photos/sheet.png"], "give an out= beside it",
        [*SHOW, *SMALLEST, "out=sheet.png"],
    ),
    "random features": (
        [*SHOW, "backbone=random"], "name a file before it: A,random",
        [*SHOW, *SMALLEST, "backbone=b.safetensors,random"],
    ),
    "no store": (
        [*SHOW, "masks=new"], "make one with: detcon masks images=DIR out=new", GRID,
    ),
    "a kind of conversion": (
        ["convert", "masks=masks", "to=cocoo", "out=new"], "should be 'png', 'coco' or 'tfrecord'",
        ["convert", "masks=masks", "to=png", "out=new"],
    ),
    "photos of a conversion": (
        ["convert", "masks=masks", "to=tfrecord", "images=backbones", "out=new"],
        "there are no photos in the folder backbones",
    ),
    "an export that has no room": (
        [*EXPORT, "to=torchvision", "out=new.pth"], "to=transformers can, and to=onnx, hub and own",
        [*EXPORT, "to=own", "out=new.pth"],
    ),
    "an export's name": (
        [*EXPORT, "to=mmseg", "out=new"], "give a name that ends in .pth",
    ),
    "an export's other name": ([*EXPORT, "to=onnx", "out=new"], "give a name that ends in .onnx"),
    "an export into a folder of others": (
        [*EXPORT, "to=transformers", "out=photos"], "give another out=, or an empty folder",
        [*EXPORT, "to=transformers", "out=new"],
    ),
    "a backbone that is missing": (
        ["export", "to=own", "out=new.pth", "backbone=run"],
        "run is a folder; give its file, run/backbone.saf",
        ["export", "to=own", "out=new.pth", "backbone=run/backbone.safetensors"],
    ),
    "a region of no regions": (
        [*EMBED, "region=0"], "which mask of near=PHOTO is meant; it needs of=regions",
        [*EMBED, "of=regions", "masks=masks", "near=photos/0.png", "region=0"],
    ),
    "a photo to be near to": (
        [*EMBED, "near=none.png"], "cannot read near=none.png: no such file or directory; give the",
        [*EMBED, "near=photos/0.png"],
    ),
    "a sheet of the nearest among the photos": (
        [*EMBED, "near=photos/0.png", "out=photos/e.parquet"], "give an out= beside it",
    ),
    "what is embedded": (
        [*EMBED, "of=cell"], "should be 'photos', 'regions' or 'cells'", [*EMBED, "of=cells"],
    ),
    "a model that is a pretraining": (
        ["predict", "model=run", "images=photos", "out=new"],
        "'detcon transfer' writes one into the folder of each seed",
    ),
    "a model that was lost": (
        ["predict", "model=lost", "images=photos", "out=new"],
        "remove lost/result.json, and give the command of the transfer again",
    ),
    "a batch of one": ([*ANEW, "batch_size=1"], "should be greater than or equal to 2"),
    "a method that is unknown": (
        [*ANEW, "method.kind=detcon"], "must be one of 'detcon_s', 'detcon_b', 'simclr'",
    ),
    "a precision": ([*ANEW, "loop.precision=16"], "should be 'auto', 'bf16' or '32'"),
    "no GPU": (
        [*KNN, "loop.accelerator=cuda"], "give auto or cpu", [*KNN, "loop.accelerator=auto"],
    ),
    "a run into a folder of others": (
        [*ANEW, "out=photos"], "holds no run (no recipe.yaml); give another out=, or an empty",
    ),
    "a stride": ([*ANEW, "encoder.stride=7"], "stride can be 8, 16 or 32, not 7"),
    "negatives of a part of the batch": (
        [*ANEW, "accumulate=2"], "give method.negatives=1/2 (or ",
        [*ANEW, "accumulate=2", "method.negatives=1/2"],
    ),
    "a plateau of what": (
        [*ANEW, "stop=plateau"], "probing.every=100, or without labels label_free.figure=rankme",
        [*ANEW, "stop=plateau", "label_free.figure=rankme"],
    ),
    "shrunk twice": (
        [*ANEW, "views.reduced_decode=true", "max_side=40"], "leave one of the two out",
        [*ANEW, "views.reduced_decode=true"],
    ),
    "a teacher": (
        [*ANEW, "method.kind=region_distillation", "masks=masks"], "give method.teacher=",
    ),
    "a tool that isn't there": ([*ANEW, "loop.wandb=x"], "or leave it out", ANEW),
    "a split that is there": ([*KNN, "val=0.2"], "has its own; leave it out (it is for coco", KNN),
    "no labels": ([*KNN, "labels=0"], "give numbers of photos, or all, as in labels=50,100,all"),
    "another format": (
        [*KNN, "format=voc_xml"], "d looks like format=folder, by train/labels/0.png",
        [*KNN, "format=folder"],
    ),
    "a format without label maps": (
        [*KNN, "format=nyu"], "formats that have: folder, coco,", [*KNN, "format=folder"],
    ),
    "a task that is near": (
        [*KNN, "task=classification"], "did you mean 'knn_classification'?",
    ),
    "an architecture": (
        [*KNN, "backbone=random"], "give encoder.name=resnet50",
        [*KNN, "backbone=random", "encoder.name=resnet18", "encoder.width=0.0625"],
    ),
    "what nothing can be learnt from": (
        [*ADAPT, "weights=random"], "give trained ones, or pretrain",
    ),
    "a recipe of a part": (
        [*ADAPT, "pretrain=nuclei"], "for a recipe give pretrain.recipe=nuclei\n",
    ),
    "a batch too large for a part": (
        [*ADAPT, "pretrain.batch_size=9"], "choose pretrain.batch_size=6 or less",
    ),
    "names of settings of the pretraining": (
        [*ADAPT, "weights=stripped.pth"], "name a timm model with pretrain.encoder.name=\n",
    ),
    "names of settings of the transfer": (
        [*ADAPT, "data=named"], "or give transfer.task.ignore=1 if it means void",
    ),
    "names of settings of the weights": (
        [*ADAPT, "weights=torn.pth"], "check pretrain.encoder.name and pretrain.encoder.width, or "
        "take what matches: weights.partial=true\n",
    ),
    "the same, of a transfer alone": (
        [*KNN, "backbone=torn.pth"], "or take what matches: backbone_partial=true\n",
        [*KNN, "backbone=torn.pth", "backbone_partial=true"],
    ),
    "names of settings of masks": (
        [*ADAPT, "masks=bands.yaml", "pretrain.batch_size=4"],
        "make them so with 'detcon masks', and give their folder as masks=\n",
    ),
    "names of settings of a probe": (
        [*ANEW, "probing.data=d", "probing.every=4", "probing.labels=9"],
        "probing.labels=9, but there are only 3 training photos; ask for fewer, or leave labels ou",
        [*ANEW, "probing.data=d", "probing.every=4", "probing.labels=2"],
    ),
    "trained among the photos": (
        [*KNN, "out=d/train/images/new"], "give an out= beside it", [*KNN, "out=d/new"],
    ),
    "an encoder that is near": (
        [*ANEW[:3], "method.kind=simclr", "encoder.name=resnet51"], "'resnet51'; near: resnet50, "
    ),
    "no study": (["study", "plan=true"], "name the study's file, as in: detcon study studies/"),
    "adapted among the photos": ([*ADAPT, "out=photos/new"], "give an out= beside it"),
    "a page of others": (
        [*ADAPT, "out=pages"], "wasn't made by detcon; give another out=, or remove it",
    ),
    "no runs": (["report"], "detcon report runs/* out=report.html"),
    "a run that is missing": (["report", "none"], "give folders that pretrain or transfer wrote"),
    "a page's name": (
        ["report", "run", "out=new"], "give a name that ends in .html or .htm",
        ["report", "run", "out=new.html", "pictures=1"],
    ),
    "truth that is missing": (
        ["score", "masks=masks", "truth=none"], "check truth=",
        ["score", "masks=masks", "truth=d/train/labels", "workers=1"],
    ),
    "truth that tells nothing": (
        ["score", "masks=masks", "truth=backbones"], "say what it is with format=",
    ),
    "weights to import": (
        ["import", "b.safetensors", "out=new.safetensors"], "give one of the released checkpoints",
    ),
    "the name of imported weights": (
        ["import", "b.safetensors", "out=new"], "give a name in .safetensors",
    ),
    "scenes into a folder of others": (
        [*SCENES, "out=photos"], "it holds something else; ", SCENES,
    ),
    "small scenes": ([*SCENES, "size=5"], "should be greater than or equal to 32", SCENES),
    "a form of scenes": ([*SCENES, "format=yolo"], "written as folder, coco, voc, cityscapes, nyu"),
    "a demo's page of others": (["demo", "out=pages"], "give another out=, or remove it"),
    "a shell": (["completion", "tcsh"], "bash|zsh|fish", ["completion", "fish"]),
    "a run of another recipe": (
        ["pretrain", "images=photos", "out=run", *TINY, "method.kind=byol", "views.size=64"],
        " and more; give another out=, the old settings, or remove run",
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
    for name, text in {
        "list.txt": "photos/0.png\nphotos/1.png", "twice.txt": "photos/0.png\nphotos/0.png",
        "empty.txt": "\n", "other.csv": "file\nphotos/0.png", "path.csv": "path\nphotos/0.png",
        "pages/report.html": "<p>of somebody</p>", "bands.yaml": "channels: 4",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    shutil.copytree(folder / "d", folder / "same")
    shutil.copytree(folder / "d", folder / "masked")
    for path in (folder / "masked" / "train" / "labels").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    shutil.copytree(folder / "d", folder / "named")
    (folder / "named" / "classes.json").write_text('{"names": ["one"]}')
    torch.manual_seed(0)
    torch.save({"0.weight": torch.ones(2)}, folder / "stripped.pth")
    torn = build_encoder(SMALL).state_dict()
    del torn["layer4.1.conv2.weight"]
    torch.save(torn, folder / "torn.pth")
    for name, recipe in (("b", SMALL), ("b16", SMALL.with_stride(16))):
        place = folder / f"{name}.safetensors"
        save_backbone(place, build_encoder(recipe), recipe, normalisation=Normalisation())
    (folder / "lost").mkdir()
    (folder / "lost" / "result.json").touch()
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
