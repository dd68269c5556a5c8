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
from detcon.report.runs import RANDOM, Pretraining

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
        found = [dense_features(backbone, picture, side=NETWORK_SIDE) for picture in pictures]
        maps, share = features_as_rgb(found)
        addresses = [_squares(colours, photo.shape[:2]) for colours, photo in zip(maps, large)]
        columns.append(
            [Picture(a, name, f"features of {key}, {name}") for a, key in zip(addresses, keys)]
        )
        shares.append(f"{name} {100 * share:.0f}\u00a0%")
    left_out = [run.name for run in runs[MOST_BACKBONES:]]
    caption = (
        f"The first three principal components of the last feature map as red, green and blue, "
        f"one square a cell; fitted for each backbone over its {len(keys)} pictures together: in "
        f"one backbone's pictures equal colours are similar features. Colours of different "
        f"backbones can't be compared. Share of the variance that the three hold: "
        f"{', '.join(shares)}."
    )
    return Panel(
        columns=len(columns),
        pictures=tuple(picture for row in zip(*columns) for picture in row),
        caption=caption,
        notes=(f"Left out, for want of room: {', '.join(left_out)}.",) if left_out else (),
    )


def _squares(colours: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> str:
    """Feature cells enlarged to the size of the photo, as a data URI."""
    large = cv2.resize(colours, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return data_uri(np.asarray(large), photo=False)


def random_backbone(recipe: EncoderRecipe, seed: int = 0) -> Backbone:
    """The same architecture with fresh weights, leaving torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_backbone("random", encoder=recipe)
