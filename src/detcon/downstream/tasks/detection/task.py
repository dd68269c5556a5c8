"""Detection and instance segmentation as a transfer task: a Mask R-CNN, fine-tuned whole."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist

from detcon.data.labelled.examples import (
    Example,
    Examples,
    LabelError,
    LabelledData,
    same_names,
    watched,
)
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Drawing, Names, Photo, PhotosOfSizes, Score
from detcon.downstream.tasks.detection.data import (
    cut_objects,
    join_objects,
    object_split,
    objects_of,
    resized,
)
from detcon.downstream.tasks.detection.detecting import detect
from detcon.downstream.tasks.detection.detections import Detections, draw_detections
from detcon.downstream.tasks.detection.mask_rcnn import LEVELS, Detector, build_detector
from detcon.downstream.tasks.detection.recipe import COARSEST, DetectionRecipe
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
from detcon.formats.objects import Objects
from detcon.formats.registry import open_objects
from detcon.models.backbone_file import Backbone
from detcon.models.encoders import feature_grid
from detcon.notes import counted, note
from detcon.train.environment import is_first_rank, ranks

COUNTED, LISTED = 1000, 12
"""Photos whose objects are counted, and classes that are listed, before training."""
_UNNAMED = re.compile(r"class \d+")


@dataclass(frozen=True)
class Detection:
    """Finds objects: boxes, classes and, where the data have them, masks."""

    recipe: DetectionRecipe

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        masks = bool(self.recipe.detector.masks)
        train, val = (
            open_objects(settings.data, settings.format, split, holdout=settings.holdout)
            for split in ("train", "val")
        )
        splits = (object_split(one, masks, settings.size, channels) for one in (train, val))
        return LabelledData(*splits, names=same_names(train, val))

    def check(self, train: Examples, val: Examples, names: Names) -> None:
        masks = bool(self.recipe.detector.masks)
        for some, name in ((train, "training"), (val, "validation")):
            keys, source = map(some.key, range(len(some))), some.split.source
            if all(objects_of(source, key, masks=masks).crowd.all() for key in keys):
                raise LabelError(
                    f"none of the {len(some)} {name} photos has an object that isn't a crowd; "
                    f"annotate some, or correct the folder"
                )
        keys = list(map(train.key, range(len(train))))
        first = [train.split.source.objects(key) for key in keys[:COUNTED]]
        _tell_classes(first, len(keys), names)
        _tell_small(first, self.recipe)

    def build(self, settings: TransferRecipe, backbone: Backbone, names: Names) -> Detector:
        if settings.loop.compile:
            raise ValueError("loop.compile doesn't work with detection; leave it out")
        normalisation, own = backbone.normalisation, self.recipe
        network = build_detector(
            backbone.encoder, normalisation, len(names), own.detector, size=own.crop
        )
        feature_grid(network.encoder, network.size)  # refuses a size that it can't take
        return network

    def learn(
        self, settings: TransferRecipe, network: Detector, train: Examples, folder: Path
    ) -> None:
        cut = partial(cut_objects, masks=bool(self.recipe.detector.masks))
        own = {"cut": cut, "join": join_objects, "observe": _floats, "fit": True}
        fine_tune(settings, self.recipe, network, train, folder, **own)

    def score(
        self, settings: TransferRecipe, network: Detector, val: Examples, names: Names
    ) -> Score:
        pairs = _find_all(network, val)
        ids = ids_of(val.split.source, val.indices, len(names))
        truth = coco_truth([truth for truth, _ in pairs], names, ids)
        written: dict[str, Any] = {"truth": truth}
        figures: dict[str, float | None] = {}
        kinds: tuple[Kind, ...] = ("box", "mask") if self.recipe.detector.masks else ("box",)
        scores = []
        for kind in kinds:
            results = coco_results([found for _, found in pairs], ids, kind)
            reached, per_class = evaluate(truth, results, kind)
            assert reached["AP"] is not None  # there are objects: it was made sure of in `open`
            scores.append(Score(f"AP {kind}", reached["AP"], per_class=per_class))
            figures |= {f"{kind} {name}": figure for name, figure in reached.items()}
            written[f"detections_{kind}"] = results
        for name, content in written.items() if is_first_rank() else ():
            write_results(Path(settings.out), name, content)
        return replace(scores[-1], figures=figures)

    def predict(self, network: Detector, photos: PhotosOfSizes) -> list[Detections]:
        return detect(network, photos)

    def truth(self, example: Example) -> Detections:
        return Detections(example.labels, np.ones(len(example.labels)))

    def draw(self, photo: Photo, prediction: Detections, names: Names) -> Drawing:
        return draw_detections(photo, prediction, names)

    def enlarge(self, prediction: Detections, size: tuple[int, int]) -> Detections:
        return replace(prediction, objects=resized(prediction.objects, size))

    def save(self, prediction: Detections, key: str, folder: Path, names: Names) -> list[Any]:
        return named_results(key, prediction, names)

    def finish(self, rows: Mapping[str, list[Any]], folder: Path, names: Names) -> None:
        """`predictions.json` in COCO's format of results; photos and classes count from 1."""
        numbered = enumerate(rows.values(), start=1)
        results = [{"image_id": number, **one} for number, found in numbered for one in found]
        write_results(folder, "predictions", results)

    def objects(self, prediction: Detections, names: Names) -> Detections:
        return prediction


def _tell_classes(first: Sequence[Objects], num: int, names: Names) -> None:
    """Says how many objects each class has: a misspelt name is a class of its own.

    Those of the first photos are counted: to read the annotations of all `num` may take long.
    """
    counts = Counter(names[number] for one in first for number in one.classes.tolist())
    which = f"first {COUNTED:,} of {num:,}" if num > COUNTED else f"{num:,}"
    photos = "training photo" if num == 1 else "training photos"
    # a class 0 without a name and without objects is the background of a labelled folder
    known = [name for name in names if counts[name] or name != "class 0"]
    rarest = f", the rarest of {len(known)} classes" if len(known) > LISTED else ""
    listed = sorted(known, key=lambda name: counts[name])[:LISTED]
    told = ", ".join(f"{name}: {counts[name]:,}" for name in listed)
    bare = sum(not len(one) for one in first)
    without = f"; {counted(bare, 'photo')} without any" if bare else ""
    lost = "; a class without objects can't be learnt: is its name misspelt?"
    named = [name for name in listed if not _UNNAMED.fullmatch(name)]
    is_lost = num <= COUNTED and any(not counts[name] for name in named)
    note(f"objects in the {which} {photos}{rarest}: {told}{without}{lost if is_lost else ''}")


def _tell_small(first: Sequence[Objects], recipe: DetectionRecipe) -> None:
    """Says so if most objects are far below the smallest anchors, so that few can be found."""
    sides = [
        np.sqrt(np.prod(one.boxes[:, 2:] - one.boxes[:, :2], axis=1)) / max(one.size)
        for one in first
    ]
    side = recipe.crop * float(np.median(np.concatenate(sides)))
    anchor = recipe.detector.anchor * LEVELS[0]
    if side < anchor / 2:
        larger = COARSEST * math.ceil(recipe.crop * anchor / 2 / max(side, 1.0) / COARSEST)
        note(
            f"half of the objects are smaller than {side:.0f} px, where the photo is shrunk to the "
            f"square of {recipe.crop} px that the detector sees, and its smallest anchors have "
            f"{anchor:.0f} px: few can be found. Give task.crop={larger} (and a size= as large), "
            f"for {(larger / recipe.crop) ** 2:.0f} times the time, or "
            f"task.detector.anchor={max(1, round(side / LEVELS[0]))}"
        )


def _find_all(network: Detector, val: Examples) -> list[tuple[Any, Detections]]:
    """The true objects and the detections of all photos; each rank predicts a share."""
    place = ranks()
    share = watched(range(place.rank, len(val), place.world), "scoring")
    examples = (val[number] for number in share)
    pairs = [(one.labels, detect(network, [one.image])[0]) for one in examples]
    if place.world == 1:
        return pairs
    shares: list[Any] = [None] * place.world
    dist.all_gather_object(shares, pairs)
    return [shares[number % place.world][number // place.world] for number in range(len(val))]


def _floats(parts: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in parts.items()}
