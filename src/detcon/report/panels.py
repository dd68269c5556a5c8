"""The page's pictures: photos with masks, views with regions, features, predictions.

A panel whose data is gone says so in a note; the page is built all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from pydantic import ValidationError

from detcon.data.views import ViewsRecipe
from detcon.masks.store import MaskStore
from detcon.models.backbone_file import load_backbone
from detcon.models.encoders import EncoderRecipe, build_encoder, feature_grid
from detcon.photos import Photos, open_photos, shrink
from detcon.report.draw import (
    data_uri,
    features_as_rgb,
    frame_cuts,
    paint_masks,
    scale_to,
)  # fmt: skip
from detcon.report.features import extract_features, random_backbone
from detcon.report.gather import method_of
from detcon.report.runs import RANDOM, Pretraining
from detcon.report.views import draw_views, paint_views

SIDE = 480
MOST_BACKBONES = 5


@dataclass(frozen=True)
class Picture:
    """One picture with its label."""

    address: str
    label: str
    alt: str


@dataclass(frozen=True)
class ClassColour:
    """An entry of a class legend."""

    name: str
    colour: str


@dataclass(frozen=True)
class Panel:
    """Pictures in rows of `columns`, under one caption; `notes` say what could not be shown."""

    title: str = ""
    columns: int = 4
    pictures: tuple[Picture, ...] = ()
    caption: str = ""
    notes: tuple[str, ...] = ()
    classes: tuple[ClassColour, ...] = ()


def mask_panels(runs: Sequence[Pretraining], num: int) -> list[Panel]:
    """A panel for each collection of photos with each store of masks."""
    panels = []
    for run in _distinct(runs, lambda run: (run.recipe.get("images"), masks_of(run))):
        if masks_of(run):
            panels.append(_or_note(_mask_panel, run, num, what="photos and masks"))
    titled = len(panels) > 1
    names = [masks_of(run) for run in _distinct(runs, masks_of) if masks_of(run)]
    panels = [replace(p, title=str(n)) if titled else p for p, n in zip(panels, names)]
    return panels or [Panel(notes=("No run of this page was pretrained with stored masks.",))]


def _mask_panel(run: Pretraining, num: int) -> Panel:
    photos, store = _open(run)
    pictures = []
    counts = []
    for key in _some_keys(photos, store, num):
        photo, masks = scale_to(photos.read(key), SIDE), store[key]
        counts.append(masks.num_masks)
        name, count = Path(key).name, _counted(masks.num_masks, "mask")
        pictures.append(Picture(data_uri(photo), name, f"photo {name}"))
        painted = paint_masks(photo, masks)
        pictures.append(Picture(data_uri(painted), count, f"{count} on {name}"))
    caption = (
        f"Photos of {run.recipe['images']} and their masks, stored in {masks_of(run)}"
        f"{_made_by(store)}. Neighbouring masks have different colours, which mean nothing else; "
        f"what belongs to no mask keeps its own."
    )
    return Panel(columns=4, pictures=tuple(pictures), caption=caption)


def view_panels(runs: Sequence[Pretraining], num: int, seed: int) -> list[Panel]:
    """A panel for each way of cutting views, of runs with masks where there are any."""
    with_masks = [run for run in runs if masks_of(run)] or list(runs)
    distinct = _distinct(
        with_masks, lambda run: (run.recipe.get("images"), masks_of(run), run.recipe.get("views"))
    )
    panels = [_or_note(_view_panel, run, num, seed, what="views") for run in distinct]
    if len(panels) > 1:
        panels = [replace(p, title=run.name) for p, run in zip(panels, distinct)]
    return panels or [Panel(notes=("There is no pretraining run on this page.",))]


def _view_panel(run: Pretraining, num: int, seed: int) -> Panel:
    photos, store = _open(run)
    recipe = ViewsRecipe.model_validate(run.recipe.get("views") or {})
    grid = feature_grid(build_encoder(_encoder(run)), recipe.size)
    num_regions = _num_regions(run)
    pictures = []
    for number, key in enumerate(_some_keys(photos, store, num)):
        photo = shrink(photos.read(key), run.recipe.get("max_side"))
        masks = None if store is None else store[key]
        rng = np.random.default_rng([seed, number])
        views = draw_views(photo, masks, recipe, grid=grid, rng=rng, num_regions=num_regions)
        shown = (
            _framed(photo, [view.cut for view in views]),
            *paint_views(views, masks, side=SIDE),
        )
        shared = len(set(views[0].ids) & set(views[1].ids))
        labels = [
            Path(key).name,
            *(f"view {n}: {_regions(view.ids, shared)}" for n, view in enumerate(views, start=1)),
        ]
        pictures += [
            Picture(data_uri(one), label, f"{label} of {key}") for one, label in zip(shown, labels)
        ]
    caption = (
        f"Left, the photo with the cuts of its two views; right, the views of {recipe.size} x "
        f"{recipe.size} pixels as the network sees them, colours changed. Outlined: the masks "
        f"among {num_regions} draws in each view. The same number and colour is the same mask, "
        f"whose two regions should get similar embeddings; grey regions were drawn in this view "
        f"only. Inside the network a view is {grid[0]} x {grid[1]} cells."
    )
    return Panel(columns=3, pictures=tuple(pictures), caption=caption)


def _framed(photo: UInt8[np.ndarray, "y x 3"], cuts: Sequence[Any]) -> UInt8[np.ndarray, "_ _ 3"]:
    height, width = photo.shape[:2]
    shares = [
        (c.top / height, c.left / width, (c.top + c.height) / height, (c.left + c.width) / width)
        for c in cuts
    ]
    return frame_cuts(scale_to(photo, SIDE), shares)


def _regions(ids: Sequence[int], shared: int) -> str:
    if not ids:
        return "no mask"
    return f"{_counted(len(ids), 'mask')} drawn, {shared} of them in both views"


def feature_panel(runs: Sequence[Pretraining], num: int) -> Panel:
    """The photos beside the principal components of each backbone's features."""
    runs = [run for run in runs if run.backbone is not None]
    if not runs:
        return Panel(notes=("No run of this page has a backbone file.",))
    return _or_note(_feature_panel, runs, num, what="features")


def _feature_panel(runs: Sequence[Pretraining], num: int) -> Panel:
    photos = open_photos(runs[0].recipe["images"])
    keys = _some_keys(photos, None, num)
    pictures = [photos.read(key) for key in keys]
    backbones = [(run.name, load_backbone(str(run.backbone))) for run in runs[:MOST_BACKBONES]]
    backbones.append((RANDOM, random_backbone(backbones[0][1].recipe)))
    columns = [
        [Picture(data_uri(scale_to(p, SIDE)), Path(k).name, k) for k, p in zip(keys, pictures)]
    ]
    shares = []
    for name, backbone in backbones:
        maps, share = features_as_rgb(extract_features(backbone, pictures))
        shares.append(f"{name} {100 * share:.0f} %")
        columns.append([
            Picture(data_uri(_cells(rgb, photo), photo=False), name, f"features of {name}, {key}")
            for rgb, photo, key in zip(maps, pictures, keys)
        ])  # fmt: skip
    left_out = [run.name for run in runs[MOST_BACKBONES:]]
    notes = (f"Left out, for want of room: {', '.join(left_out)}.",) if left_out else ()
    caption = (
        f"The first three principal components of the last feature map as red, green and blue, "
        f"one square a cell; fitted for each backbone over its {len(keys)} pictures together, so "
        f"within a column equal colours are similar features. Between columns colours can't be "
        f"compared. Share of the variance in the three: {', '.join(shares)}."
    )
    rows = [picture for row in zip(*columns) for picture in row]
    return Panel(columns=len(columns), pictures=tuple(rows), caption=caption, notes=notes)


def _cells(
    colours: UInt8[np.ndarray, "h w 3"], photo: UInt8[np.ndarray, "y x 3"]
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Feature cells as squares, in the proportions of the photo."""
    height, width = scale_to(photo, SIDE).shape[:2]
    return np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))


def masks_of(run: Pretraining) -> str | None:
    """The mask store of a run, or None where its method looks at whole images."""
    masks = run.recipe.get("masks")
    whole = method_of(run.recipe) in ("simclr", "byol", "supervised")
    return None if whole or masks in (None, "none", "") else str(masks)


def _num_regions(run: Pretraining) -> int:
    method = run.recipe.get("method")
    return int(method.get("num_regions", 16)) if isinstance(method, Mapping) else 16


def _open(run: Pretraining) -> tuple[Photos, Any]:
    if not run.recipe.get("images"):
        raise ValueError(f"the recipe of {run.folder} names no images")
    store = masks_of(run)
    return open_photos(run.recipe["images"]), None if store is None else MaskStore(store)


def _encoder(run: Pretraining) -> EncoderRecipe:
    return EncoderRecipe.model_validate(run.recipe.get("encoder") or {})


def _some_keys(photos: Photos, store: Any, num: int) -> list[str]:
    """Up to `num` photos, spread evenly over those that have masks."""
    keys = [key for key in photos.keys if store is None or key in store]
    places = np.linspace(0, len(keys) - 1, min(num, len(keys))).round().astype(int)
    return [keys[i] for i in places]


def _or_note(make: Callable[..., Panel], *args: Any, what: str) -> Panel:
    """The panel, or a note why it can't be made: data that went since, or of another version."""
    try:
        return make(*args)
    except ValidationError as error:
        reason = f"the recipe doesn't fit this version of detcon ({error.errors()[0]['msg']})"
    except (OSError, ValueError) as error:
        reason = str(error)
    return Panel(notes=(f"The {what} cannot be shown: {reason.rstrip('.')}.",))


def _made_by(store: Any) -> str:
    generator = dict(store.header.get("generator") or {})
    kind = str(generator.pop("kind", "")).replace("_", " ")
    settings = ", ".join(f"{k} {v}" for k, v in generator.items() if v is not None)
    return f", made by {kind}{f' ({settings})' if settings else ''}" if kind else ""


def _counted(num: int, what: str) -> str:
    return f"{num} {what}{'' if num == 1 else 's'}"


def _distinct(runs: Sequence[Pretraining], key: Callable[[Pretraining], Any]) -> list[Pretraining]:
    first: dict[str, Pretraining] = {}
    for run in runs:
        first.setdefault(repr(key(run)), run)
    return list(first.values())
