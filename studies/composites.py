"""Composites: what two views share of their objects, and what pretraining on them learns.

    detcon scenes out=comp/many num=2000 size=160 cutouts=CUTOUTS backgrounds=PHOTOS
    python studies/composites.py count data=comp/many
    python studies/composites.py train data=comp work=runs/comp cutouts=CUTOUTS backgrounds=PHOTOS
    python studies/composites.py neighbours data=comp work=runs/comp
    python studies/composites.py table

`train` pretrains on two sets with the same number of steps. In `many`, 2000 pictures, a cut-out is
in thirty pictures, each of which is a negative of the others. In `once` every cut-out is in one
picture alone. Both are judged on the pictures of `many` that are kept for val. With
`methods=[detcon_s]`, `masks=[exact]`, `stages=[many]`, `seeds=[0]` a process does a part of the
cells.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from cells import Cell, command, is_wanted, print_table, save_cell, shuffle_masks
from torch.nn.functional import normalize

from detcon import MaskStore, load_backbone, make_masks, pool_regions, pretrain, transfer
from detcon.config import parse_overrides
from detcon.data.dataset import PhotoViews
from detcon.data.recipe import ViewsRecipe
from detcon.downstream.tasks.segmentation.labelled import open_labelled
from detcon.formats.folder.layout import FolderLayout
from detcon.formats.writing.pixels import Picture
from detcon.models.backbone_file import Backbone
from detcon.models.recipe import EncoderRecipe
from detcon.photos import open_photos
from detcon.scenes.compose import compose_scene
from detcon.scenes.cutouts import Cutouts, open_cutouts

RESULTS = Path(__file__).parent / "results" / "composites"
REGIMES = ((80, 5, "hard"), (80, 5, "soft"), (80, 10, "hard"), (160, 20, "hard"))
BACKGROUND, EPOCHS = 0, 4
ENCODER = EncoderRecipe(name="resnet18", width=0.5, stride=16)
RATES = {"detcon_s": 4e-3, "detcon_b": 16e-3, "simclr": 16e-3, "byol": 8e-3, "random": 0.0}
TRUE = {"kind": "annotations", "background": True, "ignore": None}
FELZENSZWALB = {"kind": "felzenszwalb", "scale": 200.0, "min_size": 100}
STEPS, LABELS, SIZE, OBJECTS = 256, 200, 160, 4
FINE_TUNING = {"head_channels": 128, "steps": 300, "optimizer.lr": 3e-3, "crop": 160, "workers": 0}
DETECTION = {
    "format": "folder",
    "crop": 192,
    "steps": 300,
    "optimizer.lr": 1e-3,
    "workers": 0,
    "detector": {"channels": 64, "hidden": 256, "mask_layers": 2, "proposals": 100}
    | {"rpn_batch": 64, "box_batch": 64},
}
RECIPES = {  # of transfer, and what is smaller here
    "linear_segmentation": ("folder_linear", {"size": SIZE}),
    "segmentation": ("folder_fcn", {"size": SIZE, **FINE_TUNING}),
    "detection": ("coco_mask_rcnn_small", DETECTION),
}
CELLS = (
    ("many", "random", "exact"),
    ("many", "detcon_s", "exact"),
    ("once", "detcon_s", "exact"),
    ("many", "simclr", "exact"),
    ("many", "detcon_s", "shuffled"),
    ("many", "detcon_s", "felzenszwalb"),
    ("many", "detcon_b", "exact"),
    ("many", "byol", "exact"),
    ("once", "simclr", "exact"),
)


def cells() -> Iterator[Cell]:
    for seed in range(3):
        for stage, method, masks in CELLS:
            for task in RECIPES:
                yield Cell(stage, method, RATES[method], seed, task, LABELS, masks)


def carry_out(cell: Cell, data: Path, work: Path) -> None:
    if (RESULTS / f"{cell.name}.json").exists():
        return
    backbone = "random"
    if cell.method != "random":
        backbone = pretrain_cell(cell, data / cell.stage, work)
    recipe, smaller = RECIPES[cell.task]
    (result,) = transfer(
        f"recipes/transfer/{recipe}.yaml",
        data=data / "many",
        backbone=backbone,
        out=work / "transfer" / cell.name,
        labels=cell.labels,
        seed=cell.seed,
        encoder=ENCODER if backbone == "random" else None,
        **smaller,
    )
    save_cell(RESULTS, cell, result, command("data", "work", "cutouts", "backgrounds"), work)


def pretrain_cell(cell: Cell, data: Path, work: Path) -> Path:
    images = data / "train" / "images"
    out = work / "pretrain" / cell.run
    if (out / "backbone.safetensors").exists():
        return out / "backbone.safetensors"
    batch_size = min(122, len(list(images.iterdir())))
    return pretrain(
        f"recipes/pretrain/{cell.method}_small.yaml",
        images=images,
        masks=store_of(cell.masks, data, work / f"masks-{cell.stage}"),
        out=out,
        steps=STEPS * 122 // batch_size,
        batch_size=batch_size,
        seed=cell.seed,
        workers=0,
        **{"optimizer.lr": cell.lr},
    )


def store_of(masks: str, data: Path, work: Path) -> Path:
    images = data / "train" / "images"
    if masks == "shuffled":
        return shuffle_masks(images, store_of("exact", data, work), work / masks)
    folder = str(data / "train" / "instances")
    generator = {**TRUE, "folder": folder} if masks == "exact" else FELZENSZWALB
    return make_masks(images=images, out=work / masks, generator=generator)


def compose_once(out: Path, cutouts: Cutouts, backgrounds: str) -> None:
    """Pictures that share no cut-out: as many as the cut-outs suffice for."""
    photos = open_photos(backgrounds)
    layout = FolderLayout(out, ("background", *cutouts.names), has_depth=False)
    order = np.random.default_rng(0).permutation(len(cutouts.items))
    for number in range(len(order) // OBJECTS):
        few = tuple(cutouts.items[i] for i in order[number * OBJECTS : (number + 1) * OBJECTS])
        subset = Cutouts(cutouts.root, cutouts.names, few)
        made = compose_scene(subset, photos, 1, number, SIZE, (OBJECTS, OBJECTS))
        layout.save("train", number, Picture(made.rgb, made.instances, made.labels, None))


def count(views: PhotoViews) -> tuple[float, float, float]:
    """Objects drawn a view, those that the other view draws too, and cells an object (median)."""
    drawn, shared, sizes = [], [], []
    for epoch in range(EPOCHS):
        for index in range(min(len(views), 64)):
            sample = views[epoch, index]
            objects = [set(ids.tolist()) - {BACKGROUND} for ids in sample.ids]
            drawn += [len(one) for one in objects]
            shared.append(len(objects[0] & objects[1]))
            for ids, weights, found in zip(sample.ids, sample.weights, objects, strict=True):
                sizes += [weights[ids.tolist().index(i)].sum() for i in found]
    return float(np.mean(drawn)), float(np.mean(shared)), float(np.median(sizes))


@torch.no_grad()
def pooled_objects(backbone: Backbone, data: Path) -> tuple[torch.Tensor, ...]:
    """A vector for each object of val, pooled over its mask; its class, and its picture."""
    labelled = open_labelled(data).val
    encoder = backbone.encoder.eval()
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in (backbone.normalisation.mean, backbone.normalisation.std)
    )
    vectors, classes, pictures = [], [], []
    for number in range(len(labelled.keys)):
        picture = labelled.read(number)
        path = data / "val" / "instances" / Path(picture.key).with_suffix(".png").name
        instances = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        photo = torch.from_numpy(picture.image).permute(2, 0, 1) / 255
        features = encoder(((photo - mean) / std)[None])
        for i in np.unique(instances[instances > 0]):
            mask = (instances == i).astype(np.float32)
            share = cv2.resize(mask, features.shape[:1:-1], interpolation=cv2.INTER_AREA)
            vectors.append(pool_regions(features, torch.from_numpy(share)[None, None])[0, 0])
            classes.append(int(picture.labels[instances == i][0]))
            pictures.append(number)
    return torch.stack(vectors), torch.tensor(classes), torch.tensor(pictures)


def print_neighbours(data: Path, work: Path) -> None:
    """What an object's nearest object is: one of its class elsewhere, or one beside it."""
    print("| pretraining | nearest elsewhere has its class (%) | nearest is beside it (%) |")
    print("|---|---|---|")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sources = {"random": load_backbone("random", encoder=ENCODER)}
    for path in sorted((work / "pretrain").glob("*seed0/backbone.safetensors")):
        sources[path.parent.name] = load_backbone(path)
    for name, backbone in sources.items():
        vectors, classes, pictures = pooled_objects(backbone, data / "many")
        vectors = normalize(vectors - vectors.mean(0), dim=1)
        similarity = (vectors @ vectors.T).fill_diagonal_(-torch.inf)
        beside = pictures[:, None] == pictures
        near = (pictures[similarity.argmax(1)] == pictures).float().mean()
        elsewhere = similarity.masked_fill(beside, -torch.inf).argmax(1)
        same = (classes[elsewhere] == classes).float().mean()
        print(f"| {name} | {100 * same:.1f} | {100 * near:.1f} |", flush=True)


def print_counts(data: Path) -> None:
    images = data / "train" / "images"
    store = MaskStore(store_of("exact", data, data.parent / f"{data.name}-masks"))
    photos = open_photos(images)
    print(f"{np.mean([store[key].num_masks for key in photos.keys]):.1f} masks a photo")
    titles = ("view", "grid", "pooling", "objects a view", "also in the other", "cells an object")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    for size, grid, pooling in REGIMES:
        recipe = ViewsRecipe(size=size, pooling=pooling)
        figures = count(PhotoViews(photos, store, recipe, grid=(grid, grid), seed=0))
        row = " | ".join(f"{figure:.2f}" for figure in figures)
        print(f"| {size} px | {grid} x {grid} | {pooling} | {row} |")


def main() -> None:
    verb, *words = sys.argv[1:]
    settings = parse_overrides(words)
    if verb == "table":
        return print_table(RESULTS)
    data = Path(settings["data"])
    if verb == "count":
        return print_counts(data)
    if verb == "neighbours":
        return print_neighbours(data, Path(settings["work"]))
    if not (data / "once").exists():
        compose_once(data / "once", open_cutouts(settings["cutouts"]), settings["backgrounds"])
    for cell in cells():
        if is_wanted(cell, settings):
            carry_out(cell, data, Path(settings["work"]))


if __name__ == "__main__":
    main()
