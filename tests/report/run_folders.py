"""Small run folders, as pretraining and transfer leave them."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
import yaml

from detcon.downstream.pictures import write_png
from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.palette import class_colours

ENCODER = EncoderRecipe(name="resnet18", width=0.25, stride=16)
ENVIRONMENT = {
    "command": "detcon pretrain images=photos out=runs/x",
    "python": "3.12.1",
    "versions": {"torch": "2.9.0", "numpy": "2.1.0"},
    "device": "cpu",
    "cores": 2,
}


def scene(rng: np.random.Generator, size: tuple[int, int] = (96, 128)) -> tuple:
    """A photo of three coloured solids on a floor, and the class of each pixel."""
    height, width = size
    labels = np.zeros(size, np.uint8)
    labels[height // 2 :] = 1
    photo = np.where(labels[..., None] == 1, (150, 120, 90), (190, 205, 220)).astype(np.float32)
    for kind in (2, 3, 4):
        y, x = rng.integers(height // 4, height - 10), rng.integers(10, width - 10)
        rows, columns = np.mgrid[:height, :width]
        radius = rng.integers(10, 22)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        photo[inside] = rng.integers(30, 230, 3)
        photo[inside] *= (0.7 + 0.6 * (columns / width))[inside][:, None]
        labels[inside] = kind
    return np.clip(photo + rng.normal(0, 4, photo.shape), 0, 255).astype(np.uint8), labels


def write_picture(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)


def write_pretraining(
    folder: Path,
    *,
    images: Path,
    masks: Path | None,
    kind: str,
    seed: int = 0,
    probe: str | None = None,
):
    folder.mkdir(parents=True)
    method = {"kind": kind, **({"num_regions": 8} if kind.startswith("detcon") else {})}
    recipe = {
        "images": str(images),
        "masks": None if masks is None else str(masks),
        "out": str(folder),
        "method": method,
        "encoder": ENCODER.model_dump(),
        "views": {"size": 64, "area": [0.2, 1.0], "colour": "detcon_s"},
        "batch_size": 32,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    rng = np.random.default_rng(seed)
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(10, 801, 10):
            done = step / 800
            row = {
                "step": step,
                "loss": 7 - 3 * done + rng.normal(0, 0.1) + (kind == "simclr"),
                "lr": 0.3 * math.cos(done * 1.57),
                "images_per_second": 180 + rng.normal(0, 8),
                "data_wait": abs(rng.normal(0.02, 0.01)),
                "memory": 1.5 + 0.01 * step,
                "seconds": step * 0.21,
                "embedding_std": 0.4 + 0.5 * done,
                "effective_rank": 4 + 50 * done + rng.normal(0, 0.8),
                "positive_similarity": 0.3 + 0.5 * done,
                "negative_similarity": 0.25 - 0.2 * done,
                "without_positive": 0.22 + rng.normal(0, 0.02),
                "accuracy": 0.9 * done,
            }
            file.write(json.dumps(row) + "\n")
            if probe is not None and step % 200 == 0:
                figures = {"step": step + 5, probe: 20 + 30 * done, "probe_seconds": 3.0}
                file.write(json.dumps(figures) + "\n")
    torch.manual_seed(seed)
    encoder = build_encoder(ENCODER)
    path = folder / "backbone.safetensors"
    save_backbone(path, encoder, ENCODER, normalisation=Normalisation())
    return path


def write_transfer(
    folder: Path, *, backbone: str, values: list[float], labels: int | None = 20
) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    pictures = [scene(rng) for _ in range(2)]
    for seed, value in enumerate(values):
        place = folder / f"seed{seed}"
        place.mkdir()
        recipe = {"backbone": backbone, "data": "labelled", "labels": labels, "seed": seed}
        (place / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        result = {
            "task": "segmentation", "metric": "mIoU", "unit": "%", "value": value, "seed": seed,
            "steps": 300, "labels": labels, "backbone": backbone, "backbone_sha256": None,
            "recipe": "0123456789ab", "versions": {"torch": "2.9.0"}, "seconds": 12.5,
            "figures": {"pixel accuracy": 71.5, "nothing": None},
            "per_class": {"wall": value + 5, "floor": value - 5, "box": value, "cone": value,
                          "lamp": None},
        }  # fmt: skip
        (place / "result.json").write_text(json.dumps(result))
        (place / "metrics.jsonl").write_text(json.dumps({"step": 300, "loss": 0.5}) + "\n")
        for number, (photo, truth) in enumerate(pictures):
            drawn = class_colours()[truth]
            picture = np.concatenate([photo, drawn, np.roll(drawn, 5 * seed + 5, 1)], axis=1)
            write_png(place / "predictions" / f"{number}.png", picture)
    return folder


def write_runs(root: Path, collection: SimpleNamespace) -> SimpleNamespace:
    """Two pretraining runs and the transfer of both and of random weights, three seeds each."""
    ours = write_pretraining(
        root / "one", images=collection.photos, masks=collection.masks, kind="detcon_s", seed=1
    )
    theirs = write_pretraining(
        root / "two", images=collection.photos, masks=None, kind="simclr", seed=2
    )
    write_transfer(root / "seg_ours", backbone=str(ours), values=[40.0, 42.5, 41.1])
    write_transfer(root / "seg_theirs", backbone=str(theirs), values=[38.2, 39.9, 37.7])
    write_transfer(root / "seg_random", backbone="random", values=[30.1, 28.4, 29.3])
    return SimpleNamespace(folder=root, ours=root / "one", theirs=root / "two")
