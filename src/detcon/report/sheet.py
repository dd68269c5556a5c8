"""`detcon show`: a contact sheet of photos, their masks and two views of each."""

import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from detcon.config import load_recipe
from detcon.files import write_whole
from detcon.masks import Masks
from detcon.masks.store import MaskStore
from detcon.masks.store.resume import say_newer_photos
from detcon.models.backbone_file import Backbone, load_backbone
from detcon.notes import counted, note
from detcon.ops.labels import check_cells
from detcon.photos import Photos, check_outside, open_photos
from detcon.report.draw import frame_cuts, paint_masks, scale_to
from detcon.report.features import paint_features, random_backbone
from detcon.report.output import MARK, check_output
from detcon.report.panels import SIDE, describe_generator, regions_in_words, some_keys
from detcon.report.recipe import ShowRecipe
from detcon.report.views import draw_views, paint_views
from detcon.results.difference import RANDOM

_INCHES = 2.3
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": "#1f2328",
    "text.parse_math": False,  # names may hold $
}


Labelled = tuple[UInt8[np.ndarray, "_ _ 3"], str]
"""A picture, and the text below it."""


def show(recipe: str | Path | ShowRecipe | None = None, /, **overrides: Any) -> Path:
    """Draws photos, their masks and two views of each on one sheet.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name: `show(images="photos", masks=["grid", "felzenszwalb"])`.

    Returns:
        The sheet's path, a PNG or JPEG.

    Raises:
        OutputExists: `out` is a file that detcon didn't make.
        ValueError: Photos or masks that can't be opened, stores without masks for the photos,
            views that don't divide into cells of the encoder's grid.
    """
    settings = load_recipe(ShowRecipe, recipe, overrides)
    path = Path(settings.out)
    check_output(path, suffixes=(".png", ".jpg"))
    check_outside(path, settings.images)
    size = (settings.views.size, settings.views.size)
    grid = (max(1, size[0] // settings.stride), max(1, size[1] // settings.stride))
    check_cells(size, grid)
    photos = open_photos(settings.images, settings.channels)
    stores = [MaskStore(folder) for folder in settings.masks]
    for store in stores:
        say_newer_photos(store, photos)
    keys = _keys(photos, stores, settings)
    pictures = [photos.read(key) for key in keys]
    rows = [
        _row(picture, key, [store[key] for store in stores], settings, grid)
        for picture, key in zip(pictures, keys)
    ]
    columns = []
    for name, backbone in _backbones(settings).items():
        drawn, share = paint_features(backbone, pictures, [scale_to(p, SIDE) for p in pictures])
        columns.append(f"features of {name}")
        text = f"three components:\n{100 * share:.0f} % of the variance"
        rows = [[*row, (picture, text)] for row, picture in zip(rows, drawn)]
    named = [f"masks: {describe_generator(s.header) or s.folder.name}" for s in stores]
    first = ", regions of the first masks" if len(stores) > 1 else ""
    scale = f"{size[0]} x {size[1]} pixels, stride {settings.stride}"
    views = [f"view {n}, {scale}{first}" for n in (1, 2)]
    titles = ["photo and cuts", *named, *views, *columns]
    write_whole(path, _sheet(rows, titles, "jpg" if path.suffix.lower() == ".jpg" else "png"))
    note(
        f"views of {scale}; to see masks at the scale of a run, give views.size= and stride= as "
        f"views.size and encoder.stride in its recipe"
    )
    return path


def _backbones(settings: ShowRecipe) -> dict[str, Backbone]:
    """The backbones to draw, by their names in the sheet; random weights are like the first."""
    found: dict[str, Backbone] = {}
    for source in settings.backbone:
        if source == "random":
            if not found:
                raise ValueError(
                    "backbone=random has no architecture; name a file before it: A,random"
                )
            found[RANDOM] = random_backbone(next(iter(found.values())).recipe)
        else:
            backbone = load_backbone(source)
            is_run = Path(source).name == "backbone.safetensors"
            found[Path(source).parent.name if is_run else Path(source).name] = backbone
    return found


def _text(name: str) -> str:
    """The name of a file, which need not be text."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _keys(photos: Photos, stores: Sequence[MaskStore], settings: ShowRecipe) -> list[str]:
    """Photos that all stores know, the others are counted; another seed shows others."""
    for store in stores:
        missing = store.missing(photos.keys)
        if len(missing) == len(photos):
            raise ValueError(
                f"the mask store {store.folder} knows none of the {len(photos)} photos of "
                f"{settings.images}; give the folder that its masks were made of"
            )
        if missing:
            note(
                f"{counted(len(missing), 'photo')} of {len(photos)} not drawn, without an entry in "
                f"the mask store {store.folder}, the first is {missing[0]}"
            )
    keys = [key for key in photos.keys if all(key in store for store in stores)]
    if not keys:
        raise ValueError(
            f"no photo of {settings.images} is in all of masks={','.join(settings.masks)}; draw "
            f"each store on a sheet of its own"
        )
    if settings.seed == 0:
        return some_keys(keys, settings.num)
    rng = np.random.default_rng(settings.seed)
    return sorted(rng.permutation(keys)[: settings.num].tolist())


def _row(
    photo: UInt8[np.ndarray, "y x c"],
    key: str,
    masks: Sequence[Masks],
    settings: ShowRecipe,
    grid: tuple[int, int],
) -> list[Labelled]:
    """The photo with the cuts of its views, its masks, and the views."""
    first = masks[0] if masks else None
    seed = [settings.seed, *os.fsencode(key)]
    views = draw_views(
        photo, first, settings.views,
        grid=grid, rng=np.random.default_rng(seed), num_regions=settings.num_regions,
    )  # fmt: skip
    large = scale_to(photo, SIDE)
    shared = len(set(views[0].ids) & set(views[1].ids))
    height, width = photo.shape[:2]
    framed = frame_cuts(large, [view.place for view in views])
    drawn = [regions_in_words(view.ids, shared).replace(", ", ",\n") for view in views]
    return [
        (framed, f"{_text(Path(key).name)}\n{width} x {height} pixels"),
        *((paint_masks(large, m), counted(m.num_masks, "mask")) for m in masks),
        *zip(paint_views(views, first, side=SIDE), drawn),
    ]


_CAPTION = (
    "Frames on the photo are the cuts of the two views. Neighbouring masks have different colours. "
    "In the views, the same number and colour is the same mask, sampled in both; grey outlines "
    "were sampled in one view only."
)


_ORIGIN = {
    "png": {"metadata": {"Software": MARK}},
    "jpg": {"pil_kwargs": {"comment": MARK, "quality": 80}},
}


def _sheet(
    rows: Sequence[Sequence[Labelled]], titles: Sequence[str], kind: Literal["png", "jpg"]
) -> bytes:
    """All rows as one picture, with its origin in its first bytes."""
    columns = len(titles)
    highest = [max(p.shape[0] / p.shape[1] for p, _ in row) for row in rows]
    height = sum(_INCHES * h + 0.5 for h in highest) + 1.0  # with room for text
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_INCHES * columns, height), layout="constrained", dpi=130)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes, row in zip(grid, rows):
            for place, (picture, label) in zip(axes, row):
                place.imshow(picture, interpolation="none")
                place.set_axis_off()
                place.set_anchor("N")
                place.text(
                    0, -0.03, label, transform=place.transAxes, va="top", fontsize=9.5,
                    color="#57606a",
                )  # fmt: skip
        for place, title in zip(grid[0], titles):
            place.set_title(textwrap.fill(title, 28), loc="left", fontsize=10.5)
        figure.supxlabel(_CAPTION, fontsize=10, color="#57606a", x=0.01, ha="left", wrap=True)
        written = io.BytesIO()
        figure.savefig(written, format=kind, **_ORIGIN[kind])
    return written.getvalue()
