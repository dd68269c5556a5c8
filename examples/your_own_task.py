"""A transfer task of your own: count the objects in a photo, by a linear layer on frozen features.

python examples/your_own_task.py, or from the command line, with this file's folder in PYTHONPATH:

    detcon transfer task=own task.function=your_own_task:Counting data=DIR backbone=FILE out=DIR
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from detcon import load_model, make_scenes, transfer
from detcon.data.labelled.examples import (
    Example,
    Examples,
    LabelError,
    LabelledData,
    LabelledSplit,
    keep,
    watched,
)
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Score
from detcon.formats.format import ObjectSets
from detcon.formats.registry import open_objects
from detcon.models.backbone_file import Backbone


@dataclass(frozen=True)
class Counting:
    """Predicts a number, the same way for every format that has objects."""

    penalty: float = 1.0  # task.options.penalty
    objects = None  # predictions are no objects that could be corrected by hand

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        def split(name: str) -> LabelledSplit:
            photos = open_objects(settings.data, settings.format, name, holdout=settings.holdout)
            return LabelledSplit(photos, counted, keep, settings.size, channels)

        return LabelledData(split("train"), split("val"))

    def check(self, train: Examples, val: Examples, names: tuple[str, ...]) -> None:
        if len({example.labels for example in train}) == 1:
            raise LabelError("all training photos have as many objects; give more of them")

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> Network:
        head = nn.Linear(backbone.channels, 1)
        return Network(backbone.encoder, head, backbone.normalisation)

    def learn(
        self, settings: TransferRecipe, network: Network, train: Examples, folder: Path
    ) -> None:
        """Ridge regression, in closed form."""
        rows = [pooled(network, example.image) for example in watched(train, "features")]
        x, y = torch.stack(rows), torch.tensor([float(one.labels) for one in train]).to(rows[0])
        centred = x - x.mean(0)
        square = centred.T @ centred + self.penalty * torch.eye(x.shape[1]).to(x)
        weight = torch.linalg.solve(square, centred.T @ (y - y.mean()))
        network.head.weight.data[0] = weight
        network.head.bias.data[0] = y.mean() - x.mean(0) @ weight

    def score(
        self, settings: TransferRecipe, network: Network, val: Examples, names: tuple[str, ...]
    ) -> Score:
        """In per cent, the more the better: the figure that tables and pages show."""
        found = [self.predict(network, [example.image])[0] for example in watched(val, "scoring")]
        errors = np.abs(np.round(found) - [example.labels for example in val])
        figures = {"within one": 100 * float((errors <= 1).mean())}
        return Score("right counts", 100 * float((errors == 0).mean()), figures=figures)

    @torch.no_grad()
    def predict(self, network: Network, photos: Sequence[np.ndarray]) -> list[float]:
        return [float(network.head(pooled(network, photo))) for photo in photos]

    def truth(self, example: Example) -> float:
        return float(example.labels)

    def draw(self, photo: np.ndarray, prediction: float, names: tuple[str, ...]) -> np.ndarray:
        place, font = (2, photo.shape[0] - 4), cv2.FONT_HERSHEY_SIMPLEX
        return cv2.putText(photo.copy(), f"{prediction:.1f}", place, font, 0.5, (255, 255, 0), 1)

    def enlarge(self, prediction: float, size: tuple[int, int]) -> float:
        return prediction

    def save(self, prediction: float, key: str, folder: Path, names: tuple[str, ...]) -> float:
        return round(prediction, 2)

    def finish(self, rows: Mapping[str, Any], folder: Path, names: tuple[str, ...]) -> None:
        (folder / "counts.json").write_text(json.dumps(rows, indent=1))


def counted(photos: ObjectSets, key: str, channels: int) -> tuple[np.ndarray, int]:
    """A photo and the number of its objects."""
    return photos.photo(key, channels), len(photos.objects(key))


@torch.no_grad()
def pooled(network: Network, photo: np.ndarray) -> torch.Tensor:
    """The mean of a photo's features."""
    batch = torch.from_numpy(photo)[None].permute(0, 3, 1, 2).to(network.device)
    return network.features(batch).mean((0, 2, 3))


def main() -> None:
    scenes = make_scenes(out="example-scenes", num=40, size=64, workers=1)
    task = {"kind": "own", "function": "your_own_task:Counting", "options": {"penalty": 10.0}}
    encoder = {"name": "resnet18", "width": 0.25}
    transfer(task=task, data=scenes, backbone="random", encoder=encoder, out="example-counting")
    model = load_model("example-counting/seed0", task="your_own_task:Counting")
    photo = sorted((scenes / "val" / "images").iterdir())[0]
    print(f"{photo.name}: about {model.predict(photo):.1f} objects")


if __name__ == "__main__":
    main()
