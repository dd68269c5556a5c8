"""Small run folders, as pretraining and transfer leave them."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import yaml

from detcon.masks import Felzenszwalb
from detcon.masks.fill import make_masks
from detcon.models.backbone_file import Normalisation, save_backbone
from detcon.models.encoders import EncoderRecipe, build_encoder

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


def write_pretraining(folder: Path, *, images: Path, masks: Path | None, kind: str, seed: int = 0):
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
                "seconds": step * 0.21,
                "embedding_std": 0.4 + 0.5 * done,
                "effective_rank": 4 + 50 * done + rng.normal(0, 0.8),
                "positive_similarity": 0.3 + 0.5 * done,
                "negative_similarity": 0.25 - 0.2 * done,
                "without_positive": 0.22 + rng.normal(0, 0.02),
                "accuracy": 0.9 * done,
            }
            file.write(json.dumps(row) + "\n")
    torch.manual_seed(seed)
    encoder = build_encoder(ENCODER)
    path = folder / "backbone.safetensors"
    save_backbone(path, encoder, ENCODER, normalisation=Normalisation())
    return path


def write_transfer(
    folder: Path, *, backbone: str, values: list[float], labels: int | None = 20
) -> Path:
    folder.mkdir(parents=True)
    recipe = {"backbone": backbone, "data": "labelled", "labels": labels, "seeds": len(values)}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    rng = np.random.default_rng(1)
    pictures = [scene(rng) for _ in range(2)]
    for seed, value in enumerate(values):
        place = folder / f"seed{seed}"
        place.mkdir()
        result = {
            "task": "segmentation", "metric": "mIoU", "value": value, "seed": seed, "steps": 300,
            "labels": labels, "backbone": backbone, "recipe": "0123456789ab",
            "versions": {"torch": "2.9.0"}, "seconds": 12.5,
            "per_class": {"floor": value + 5, "wall": value - 5, "lamp": None},
        }  # fmt: skip
        (place / "result.json").write_text(json.dumps(result))
        (place / "metrics.jsonl").write_text(json.dumps({"step": 300, "loss": 0.5}) + "\n")
        for number, (photo, truth) in enumerate(pictures):
            colours = np.array(
                [(200, 200, 200), (0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0)]
            )
            strip = np.concatenate([photo, colours[truth], colours[truth[::-1]]], 1)
            write_picture(place / "predictions" / f"{number}.png", strip.astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def collection(tmp_path_factory) -> SimpleNamespace:
    """Six photos and their masks."""
    root = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(0)
    for number in range(6):
        write_picture(root / "photos" / f"{number:03d}.png", scene(rng)[0])
    make_masks(
        images=str(root / "photos"), out=str(root / "masks"), workers=1,
        generator=Felzenszwalb(scale=300, min_size=60),
    )  # fmt: skip
    return SimpleNamespace(photos=root / "photos", masks=root / "masks")


@pytest.fixture
def runs(tmp_path, collection) -> SimpleNamespace:
    """Two pretraining runs and the transfer of both and of random weights, three seeds each."""
    root = tmp_path / "runs"
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
