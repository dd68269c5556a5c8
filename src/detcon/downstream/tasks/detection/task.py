"""Detection and instance segmentation as a transfer task: a Mask R-CNN, fine-tuned whole."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import UInt8

from detcon.data.labelled.crops import LabelledCrops
from detcon.data.labelled.examples import Example, Examples, LabelledData, watched
from detcon.data.labelled.window import draw_window
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Score
from detcon.downstream.tasks.detection.data import (
    cut_objects,
    join_objects,
    open_object_data,
    resized,
)
from detcon.downstream.tasks.detection.detections import Detections, detect, draw_detections
from detcon.downstream.tasks.detection.mask_rcnn import Detector, build_detector
from detcon.downstream.tasks.detection.recipe import DetectionRecipe
from detcon.downstream.tasks.detection.scoring import (
    Kind,
    coco_results,
    coco_truth,
    evaluate,
    ids_of,
    named_results,
    write_results,
)
from detcon.downstream.training import fine_tune
from detcon.formats.registry import open_objects
from detcon.models.backbone_file import Backbone
from detcon.models.encoders import feature_grid
from detcon.train.environment import is_first_rank, ranks


@dataclass(frozen=True)
class Detection:
    """Finds objects: boxes, classes and, where the data have them, masks."""

    recipe: DetectionRecipe

    @property
    def updates(self) -> int:
        return self.recipe.steps

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        train, val = (
            open_objects(settings.data, settings.format, split) for split in ("train", "val")
        )
        return open_object_data(
            train, val, masks=self.recipe.detector.masks, max_side=settings.size, channels=channels
        )

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> Detector:
        if settings.loop.compile:
            raise ValueError("loop.compile doesn't work with detection; leave it out")
        network = build_detector(
            backbone.encoder,
            backbone.normalisation,
            len(names),
            self.recipe.detector,
            size=self.recipe.crop,
        )
        feature_grid(network.encoder, network.size)  # refuses a size that it can't take
        return network

    def learn(
        self, settings: TransferRecipe, network: Network, train: Examples, folder: Path
    ) -> None:
        draw = functools.partial(
            draw_window,
            size=(self.recipe.crop, self.recipe.crop),
            scale=self.recipe.scale,
            flip=self.recipe.flip,
            fit=True,
        )
        cut = functools.partial(cut_objects, masks=self.recipe.detector.masks)
        crops = LabelledCrops(
            train, settings.seed, draw, cut, join_objects, fill=network.mean_colour
        )
        with torch.random.fork_rng(devices=[]):  # anchors and regions to learn from are drawn
            torch.manual_seed(_seed_of_rank(settings.seed))
            fine_tune(settings, self.recipe, network, crops, folder, observe=_floats)

    def score(
        self, settings: TransferRecipe, network: Network, val: Examples, names: tuple[str, ...]
    ) -> Score:
        assert isinstance(network, Detector)
        pairs = _find_all(network, val)
        ids = ids_of(val.split.source, val.indices, len(names))
        truth = coco_truth([truth for truth, _ in pairs], names, ids)
        figures: dict[str, float | None] = {}
        kinds: tuple[Kind, ...] = ("box", "mask") if self.recipe.detector.masks else ("box",)
        scores = []
        for kind in kinds:
            results = coco_results([found for _, found in pairs], ids, kind)
            reached, per_class = evaluate(truth, results, kind)
            assert reached["AP"] is not None  # there are objects: it was made sure of in `open`
            scores.append(Score(f"AP {kind}", reached["AP"], per_class=per_class))
            figures |= {f"{kind} {name}": figure for name, figure in reached.items()}
            if is_first_rank():
                write_results(Path(settings.out), f"detections_{kind}", results)
        if is_first_rank():
            write_results(Path(settings.out), "truth", truth)
        return replace(scores[-1], figures=figures)

    def predict(self, network: Network, photo: UInt8[np.ndarray, "y x c"]) -> Detections:
        assert isinstance(network, Detector)
        return detect(network, photo)

    def truth(self, example: Example) -> Detections:
        return Detections(example.labels, np.ones(len(example.labels)))

    def draw(
        self, photo: UInt8[np.ndarray, "y x c"], prediction: Detections, names: tuple[str, ...]
    ) -> UInt8[np.ndarray, "y x 3"]:
        return draw_detections(photo, prediction, names)

    def enlarge(self, prediction: Detections, size: tuple[int, int]) -> Detections:
        return replace(prediction, objects=resized(prediction.objects, size))

    def save(
        self, found: Iterable[tuple[str, Detections]], folder: Path, names: tuple[str, ...]
    ) -> None:
        """`predictions.json` in COCO's format of results; photos and classes count from 1."""
        write_results(folder, "predictions", named_results(found, names))


def _seed_of_rank(seed: int) -> int:
    source = np.random.SeedSequence([seed, ranks().rank], spawn_key=(2,))
    return int(source.generate_state(1)[0])


def _find_all(network: Detector, val: Examples) -> list[tuple[Any, Detections]]:
    """The true objects and the detections of all photos; each rank predicts a share."""
    place = ranks()
    share = watched(range(place.rank, len(val), place.world), "scoring")
    examples = (val[number] for number in share)
    pairs = [(one.labels, detect(network, one.image)) for one in examples]
    if place.world == 1:
        return pairs
    shares: list[Any] = [None] * place.world
    dist.all_gather_object(shares, pairs)
    return [shares[number % place.world][number // place.world] for number in range(len(val))]


def _floats(parts: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in parts.items()}
