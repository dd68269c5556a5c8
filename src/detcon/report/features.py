"""Panel of features: their principal components as colours."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from detcon.models.backbone_file import Backbone, load_backbone
from detcon.models.dense_features import dense_features
from detcon.models.recipe import EncoderRecipe
from detcon.photos import open_photos
from detcon.report.draw import data_uri, features_as_rgb, scale_to
from detcon.report.panels import SIDE, Panel, Picture, panel_or_note, some_keys
from detcon.report.runs import Pretraining
from detcon.results.difference import RANDOM

NETWORK_SIDE = 384
"""Photos are resized to this longest side first: small ones would have a handful of cells."""

MOST_BACKBONES = 5


def feature_panel(runs: Sequence[Pretraining], num: int) -> Panel:
    """Photos with the features of each backbone, random weights last."""
    runs = [run for run in runs if run.backbone is not None]
    if not runs:
        return Panel(notes=("No run of this page has a backbone file.",))
    return panel_or_note(_feature_panel, runs, num, what="features")


def _feature_panel(runs: Sequence[Pretraining], num: int) -> Panel:
    backbones = [(run.name, load_backbone(str(run.backbone))) for run in runs[:MOST_BACKBONES]]
    photos = open_photos(runs[0].recipe["images"], backbones[0][1].recipe.in_channels)
    keys = some_keys(photos.keys, num)
    pictures = [photos.read(key) for key in keys]
    backbones.append((RANDOM, random_backbone(backbones[0][1].recipe)))
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
    left_out = [run.name for run in runs[MOST_BACKBONES:]]
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
        notes=(f"Left out, for want of room: {', '.join(left_out)}.",) if left_out else (),
    )


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
