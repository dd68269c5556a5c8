"""Panel of features: their principal components as colours."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import ValidationError

from detcon.config import recorded
from detcon.models.backbone_file import Backbone, BackboneError, load_backbone
from detcon.models.dense_features import dense_features
from detcon.models.recipe import EncoderRecipe
from detcon.models.sources import is_at_hand
from detcon.photos import open_photos
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.start import open_start
from detcon.report.draw import data_uri, features_as_rgb, scale_to
from detcon.report.panels import SIDE, Panel, Picture, panel_or_note, some_keys
from detcon.report.runs import Pretraining, backbone_name
from detcon.results.difference import RANDOM

NETWORK_SIDE = 384
"""Photos are resized to this longest side first: small ones would have a handful of cells."""

MOST_BACKBONES = 5


def feature_panel(runs: Sequence[Pretraining], num: int) -> Panel:
    """Photos with the features of each backbone: starts first, random weights last."""
    runs = [run for run in runs if run.backbone is not None]
    if not runs:
        return Panel(notes=("No run of this page has a backbone file.",))
    return panel_or_note(_feature_panel, runs, num, what="features")


def _feature_panel(runs: Sequence[Pretraining], num: int) -> Panel:
    starts, notes = _starts(runs)
    shown, others = runs[: MOST_BACKBONES - len(starts)], runs[MOST_BACKBONES - len(starts) :]
    backbones = [(run.name, load_backbone(str(run.backbone))) for run in shown]
    photos = open_photos(runs[0].recipe["images"], backbones[0][1].recipe.in_channels)
    keys = some_keys(photos.keys, num)
    pictures = [photos.read(key) for key in keys]
    backbones = [*starts, *backbones, (RANDOM, random_backbone(backbones[0][1].recipe))]
    large = [scale_to(picture, SIDE) for picture in pictures]
    names = [Path(key).name for key in keys]
    columns = [[Picture(data_uri(p), n, f"photo {n}") for p, n in zip(large, names)]]
    shares = []
    for name, backbone in backbones:
        drawn, share = paint_features(backbone, pictures, large)
        addresses = [data_uri(picture, photo=False) for picture in drawn]
        columns.append(
            [Picture(a, name, f"features of {key}, {name}") for a, key in zip(addresses, keys)]
        )
        shares.append(f"{name} {100 * share:.0f}\u00a0%")
    if others:
        notes.append(f"Left out, for want of room: {', '.join(run.name for run in others)}.")
    caption = (
        f"The first three principal components of the last feature map as red, green and blue, one "
        f"square a cell; fitted for each backbone over its {len(keys)} pictures together: in one "
        f"backbone's pictures equal colours are similar features. Colours of different backbones "
        f"can't be compared. Share of the variance that the three hold: {', '.join(shares)}."
    )
    return Panel(
        columns=len(columns),
        pictures=tuple(picture for row in zip(*columns) for picture in row),
        caption=caption,
        notes=tuple(notes),
    )


def _starts(runs: Sequence[Pretraining]) -> tuple[list[tuple[str, Backbone]], list[str]]:
    """The weights that runs began with, each once, and notes on those that can't be shown."""
    starts: dict[str, Backbone] = {}
    notes: dict[str, str] = {}
    own = [str(run.backbone.resolve()) for run in runs if run.backbone is not None]
    for run in runs:
        given = run.recipe.get("weights")
        source = str(given.get("source") or "") if isinstance(given, Mapping) else ""
        if not source or source in notes or str(Path(source).resolve()) in own:
            continue
        name = f"{backbone_name(source, runs)} (start)"
        try:
            if name not in starts:
                starts[name] = _start(run, source)
        except (OSError, ValueError) as error:  # also a recipe of another version
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            notes[source] = f"The start of {run.name} isn't shown: {reason.rstrip('.')}."
    return list(starts.items()), list(notes.values())


def _start(run: Pretraining, source: str) -> Backbone:
    if not is_at_hand(source):
        raise BackboneError(f"{source} isn't at hand")
    _, start = open_start(recorded(PretrainRecipe, run.recipe))
    assert start is not None, "it is there"
    return start


def paint_features(
    backbone: Backbone,
    photos: Sequence[UInt8[np.ndarray, "_ _ c"]],
    shown: Sequence[UInt8[np.ndarray, "_ _ 3"]],
) -> tuple[list[UInt8[np.ndarray, "_ _ 3"]], float]:
    """Features of photos as colours, a square a cell, in the sizes of the photos as shown.

    The colours are the first three principal components over all photos; the second value is the
    share of the variance that these hold.
    """
    found = [dense_features(backbone, photo, side=NETWORK_SIDE) for photo in photos]
    maps, share = features_as_rgb(found)
    nearest = cv2.INTER_NEAREST_EXACT
    sizes = [(picture.shape[1], picture.shape[0]) for picture in shown]
    return [cv2.resize(m, size, interpolation=nearest) for m, size in zip(maps, sizes)], share  # pyright: ignore


def random_backbone(recipe: EncoderRecipe, seed: int = 0) -> Backbone:
    """The same architecture with fresh weights, leaving torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_backbone("random", encoder=recipe)
