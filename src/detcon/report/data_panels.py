"""Panels of the data: photos with their masks, and views with their regions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from detcon.data.recipe import ViewsRecipe
from detcon.masks import Masks
from detcon.masks.store import MaskStore
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.notes import counted
from detcon.photos import Photos, open_photos, shrink
from detcon.report.draw import data_uri, frame_cuts, paint_masks, scale_to
from detcon.report.panels import (
    SIDE,
    Panel,
    Picture,
    describe_generator,
    panel_or_note,
    regions_in_words,
    some_keys,
)
from detcon.report.runs import Pretraining, method_of
from detcon.report.views import View, draw_views, paint_views


def mask_panels(runs: Sequence[Pretraining], num: int) -> list[Panel]:
    """A panel for each collection of photos with each store of masks."""
    runs = _distinct([run for run in runs if masks_of(run)], "images", "masks")
    panels = [panel_or_note(_mask_panel, run, num, what="photos and masks") for run in runs]
    if len(panels) > 1:
        panels = [replace(p, title=str(masks_of(run))) for p, run in zip(panels, runs)]
    return panels or [Panel(notes=("No run of this page was pretrained with stored masks.",))]


def _mask_panel(run: Pretraining, num: int) -> Panel:
    photos, store = _open(run)
    assert store is not None, "only runs with masks come here"
    pictures = []
    for key in _keys(photos, store, num):
        photo, masks = scale_to(photos.read(key), SIDE), store[key]
        name, count = Path(key).name, counted(masks.num_masks, "mask")
        painted = paint_masks(photo, masks)
        pictures.append(Picture(data_uri(photo), name, f"photo {name}"))
        pictures.append(Picture(data_uri(painted), count, f"{count} on {name}"))
    generator = describe_generator(store.header)
    made_by = f", made by {generator}" if generator else ""
    caption = (
        f"Photos of {run.recipe['images']} and their masks, stored in {store.folder}{made_by}. "
        f"Neighbouring masks have different colours, which mean nothing else; what belongs to no "
        f"mask keeps its own."
    )
    return Panel(columns=4, pictures=tuple(pictures), caption=caption)


def view_panels(runs: Sequence[Pretraining], num: int, seed: int) -> list[Panel]:
    """A panel for each way of cutting views, of runs with masks where there are any."""
    runs = [run for run in runs if masks_of(run)] or runs
    runs = _distinct(runs, "images", "masks", "views")
    panels = [panel_or_note(_view_panel, run, num, seed, what="views") for run in runs]
    if len(panels) > 1:
        panels = [replace(p, title=run.name) for p, run in zip(panels, runs)]
    return panels


def _view_panel(run: Pretraining, num: int, seed: int) -> Panel:
    photos, store = _open(run)
    recipe = ViewsRecipe.model_validate(run.recipe.get("views") or {})
    encoder = build_encoder(EncoderRecipe.model_validate(run.recipe.get("encoder") or {}))
    method, grid = run.recipe.get("method"), feature_grid(encoder, recipe.size)
    num_regions = int(method.get("num_regions", 16)) if isinstance(method, Mapping) else 16
    pictures = []
    for number, key in enumerate(_keys(photos, store, num)):
        photo = shrink(photos.read(key), run.recipe.get("max_side"))
        masks = None if store is None else store[key]
        rng = np.random.default_rng([seed, number])
        views = draw_views(photo, masks, recipe, grid=grid, rng=rng, num_regions=num_regions)
        pictures += _view_row(key, photo, masks, views)
    caption = (
        f"Left, the photo with the cuts of its two views; right, the views of {recipe.size} x "
        f"{recipe.size} pixels as the network sees them, colours changed."
    )
    if store is not None:
        caption += (
            f" Outlined: the masks among {num_regions} samples in each view. The same number and "
            f"colour is the same mask, whose two regions should get similar embeddings; grey "
            f"regions were sampled in this view only. Inside the network a view is {grid[0]} x "
            f"{grid[1]} cells."
        )
    return Panel(columns=3, pictures=tuple(pictures), caption=caption)


def _view_row(
    key: str, photo: UInt8[np.ndarray, "y x c"], masks: Masks | None, views: tuple[View, View]
) -> list[Picture]:
    """The photo with its cuts, and both views."""
    framed = frame_cuts(scale_to(photo, SIDE), [view.place for view in views])
    name = Path(key).name
    row = [Picture(data_uri(framed), name, f"{name} with the cuts of two views")]
    shared = len(set(views[0].ids) & set(views[1].ids))
    for number, picture in enumerate(paint_views(views, masks, side=SIDE), start=1):
        drawn = "whole view" if masks is None else regions_in_words(views[number - 1].ids, shared)
        label = f"view {number}: {drawn}"
        row.append(Picture(data_uri(picture), label, f"{label}, of {name}"))
    return row


def masks_of(run: Pretraining) -> str | None:
    """The mask store of a run, or None where its method looks at whole images."""
    masks = run.recipe.get("masks")
    whole = method_of(run.recipe) in ("simclr", "byol", "supervised")
    return None if whole or masks in (None, "none", "") else str(masks)


def _open(run: Pretraining) -> tuple[Photos, MaskStore | None]:
    store = masks_of(run)
    channels = (run.recipe.get("encoder") or {}).get("in_channels", 3)
    photos = open_photos(run.recipe["images"], channels)
    return photos, None if store is None else MaskStore(store)


def _keys(photos: Photos, store: MaskStore | None, num: int) -> list[str]:
    """Up to `num` photos that have masks."""
    keys = [key for key in photos.keys if store is None or key in store]
    if not keys:
        raise ValueError(f"none of the {len(photos)} photos of {photos.source} has masks there")
    return some_keys(keys, num)


def _distinct(runs: Sequence[Pretraining], *settings: str) -> list[Pretraining]:
    """The first run with each combination of values of these settings."""
    first: dict[str, Pretraining] = {}
    for run in runs:
        values = {name: run.recipe.get(name) for name in settings} | {"masks": masks_of(run)}
        first.setdefault(repr(values), run)
    return list(first.values())
