"""`detcon score`: compares mask stores with annotations.

Writes a table of figures, and a page with the best and the worst photos.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from rich.table import Table

import detcon
from detcon.config import load_recipe
from detcon.files import write_whole
from detcon.formats.recognising import AUTO
from detcon.formats.registry import find_format
from detcon.masks.quality.overlap import TOLERANCE, Bounds, quality
from detcon.masks.quality.scoring import StoreScore, score_stores
from detcon.masks.quality.truth import AnnotatedTruth, TruthSource, open_truth
from detcon.masks.store import MaskStore
from detcon.notes import counted, say
from detcon.photos import Photos, UnreadablePhoto, open_photos
from detcon.report.draw import data_uri, paint_masks, scale_to
from detcon.report.output import check_output, render
from detcon.report.panels import SIDE, Panel, Picture, describe_generator
from detcon.report.recipe import ScoreRecipe

COLUMNS = {  # field of Quality: its name, its unit's factor and digits
    "average_best_overlap": ("best overlap", 1, 3),
    "recall_50": ("recall at 0.5", 1, 3),
    "recall_70": ("recall at 0.7", 1, 3),
    "covering": ("covering", 1, 3),
    "boundary_f": ("boundary F", 1, 3),
    "masks": ("masks", 1, 1),
    "area": ("area, %", 100, 1),
    "lost": ("lost, %", 100, 1),
}
"""The figures of a store in the order of the table."""

_GREY = 200  # drawn for photos that cannot be read


def score(recipe: str | Path | ScoreRecipe | None = None, /, **overrides: Any) -> Path:
    """Measures stores, and writes a page and its figures.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name: `score(masks=["grid", "fh"], truth="labels")`.

    Returns:
        The page's path; the figures are in the same folder under the same name, ending in `.json`.

    Raises:
        OutputExists: `out` is a file that detcon didn't make.
        ValueError: Stores or annotations that can't be opened, that share no photo, or that are
            of photos of different sizes.
    """
    settings = load_recipe(ScoreRecipe, recipe, overrides)
    path = Path(settings.out)
    check_output(path, suffixes=(".html", ".htm"))
    stores = [MaskStore(folder) for folder in settings.masks]
    truth = open_truth(
        settings.truth,
        format=settings.format, split=settings.split, regions=settings.regions,
        ignore=settings.ignore, background=settings.background,
    )  # fmt: skip
    if settings.format == AUTO and isinstance(truth, AnnotatedTruth):
        settings = settings.model_copy(update={"format": truth.format})
    bounds = Bounds(settings.least, settings.most)
    scores = score_stores(
        stores, truth, num=settings.num, bounds=bounds, num_workers=settings.workers
    )
    figures = _figures(scores, settings)
    if left_out := _left_out(scores[0]):
        say(left_out)
    write_whole(path.with_suffix(".json"), json.dumps(figures, indent=1, ensure_ascii=False))
    write_whole(path, _page(scores, truth, settings, figures, left_out))
    return path


def score_table(settings: ScoreRecipe) -> Table:
    """The figures that were written, a store a row, for the terminal."""
    figures = json.loads(Path(settings.out).with_suffix(".json").read_text())
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("masks", overflow="fold")
    for name, _, _ in COLUMNS.values():
        table.add_column(name, justify="right")
    for row in _rows(figures):
        table.add_row(*row)
    return table


def _figures(scores: Sequence[StoreScore], settings: ScoreRecipe) -> dict[str, Any]:
    return {
        "detcon": detcon.__version__,
        "truth": _source(settings),
        "num_photos": len(scores[0].tallies),
        "num_not_annotated": len(scores[0].not_annotated),
        "least": settings.least,
        "most": settings.most,
        "boundary_tolerance": TOLERANCE,
        "stores": [
            {
                "store": str(score.store.folder),
                "made_by": describe_generator(score.store.header),
                **asdict(score.quality()),
                "photos": {key: asdict(quality(one)) for key, one in score.tallies.items()},
            }
            for score in scores
        ],
    }


def _source(settings: ScoreRecipe) -> str:
    """`data/coco (coco, val)`: what the truth is, for people."""
    if settings.format is None:
        return settings.truth
    split = f", {settings.split}" if find_format(settings.format).takes("split") else ""
    return f"{settings.truth} ({settings.format}{split})"


def _left_out(score: StoreScore) -> str:
    """Says that photos have no annotation; "" if all have."""
    missing = score.not_annotated
    if not missing:
        return ""
    whole = len(missing) + len(score.tallies)
    return (
        f"{len(missing)} of {whole} photos have no annotation and were left out, such as "
        f"{', '.join(missing[:3])}."
    )


def _rows(figures: dict[str, Any]) -> list[list[str]]:
    stores = figures["stores"]
    names = [Path(store["store"]).name for store in stores]
    if len(set(names)) < len(names):
        names = [store["store"] for store in stores]
    return [
        [name, *(_written(store[field], *how[1:]) for field, how in COLUMNS.items())]
        for name, store in zip(names, stores)
    ]


def _outcome(figures: dict[str, Any]) -> str:
    """What came out, in a sentence; "" where no region counted."""
    names = [row[0] for row in _rows(figures)]
    found = [
        (store["average_best_overlap"], name, store["recall_50"])
        for name, store in zip(names, figures["stores"])
        if store["average_best_overlap"] is not None
    ]
    if not found:
        return ""
    overlap, name, recall = max(found)
    which = f"Best of {len(found)}, {name}: on" if len(found) > 1 else "On"
    return (
        f"{which} average a marked region's best mask overlaps it by {overlap:.3f}; "
        f"{100 * recall:.0f} % of the regions have one that overlaps by at least 0.5."
    )


def _written(value: float | None, factor: int, digits: int) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def _page(
    scores: Sequence[StoreScore],
    truth: TruthSource,
    settings: ScoreRecipe,
    figures: dict[str, Any],
    left_out: str,
) -> str:
    """The page: the table, and the best and the worst photos."""
    ranked = _ranked(scores)
    num = min(settings.pictures, (len(ranked) + 1) // 2)
    photos, note = _photos(scores[0], settings.images)
    best, worst = ranked[:num], ranked[max(num, len(ranked) - num) :][::-1]
    sections = {
        name: _panel(keys, scores, truth, photos)
        for name, keys in (("The best photos", best), ("The worst photos", worst))
        if keys
    }
    return render(
        "score.html.j2",
        figures=figures,
        outcome=_outcome(figures),
        heads=[name for name, _, _ in COLUMNS.values()],
        rows=zip(_rows(figures), figures["stores"]),
        sections=sections,
        notes=[*filter(None, [left_out, note if sections else ""])],
    )


def _ranked(scores: Sequence[StoreScore]) -> list[str]:
    """Photos with regions to find, best first, by the mean over stores of the best overlap."""
    means = {}
    for key in scores[0].tallies:
        found = [quality(score.tallies[key]).average_best_overlap for score in scores]
        values = [value for value in found if value is not None]
        if values:
            means[key] = sum(values) / len(values)
    return sorted(means, key=lambda key: (-means[key], key))


def _photos(score: StoreScore, images: str | None) -> tuple[Photos | None, str]:
    """The photos, or why they can't be shown."""
    header = score.store.header
    try:
        return open_photos(images or header["source"], header.get("channels", 3)), ""
    except ValueError as error:
        if images:
            raise
        return None, f"The photos themselves cannot be shown: {error}; name them with images=."


def _panel(
    keys: Sequence[str], scores: Sequence[StoreScore], truth: TruthSource, photos: Photos | None
) -> Panel:
    pictures = []
    for key in keys:
        size = scores[0].store[key].size
        photo, name = _photo(photos, key, size), Path(key).name
        pictures.append(Picture(data_uri(photo), key, f"photo {name}"))
        for score in scores:
            masks, found = score.store[key], quality(score.tallies[key])
            label = (
                f"{score.store.folder.name}: {counted(masks.num_masks, 'mask')}, best overlap "
                f"{found.average_best_overlap:.2f}"
            )
            painted = paint_masks(photo, masks)
            pictures.append(Picture(data_uri(painted), label, f"masks of {name}, {label}"))
        marked = truth[key].marked
        first, num_people = marked[0], len(marked)
        people = f", one of {num_people} people" if num_people > 1 else ""
        label = f"truth: {counted(first.num_masks, 'region')}{people}"
        painted = paint_masks(photo, first)
        pictures.append(Picture(data_uri(painted), label, f"{label}, of {name}"))
    return Panel(columns=len(scores) + 2, pictures=tuple(pictures), caption=_CAPTION)


_CAPTION = (
    "Left the photo, then its masks, right what was marked. Neighbouring masks have different "
    "colours, which mean nothing else; what belongs to no mask keeps its own."
)


def _photo(photos: Photos | None, key: str, size: tuple[int, int]) -> UInt8[np.ndarray, "y x 3"]:
    try:
        if photos is not None:
            return scale_to(photos.read(key), SIDE)
    except UnreadablePhoto:
        pass
    return scale_to(np.full((*size, 3), _GREY, np.uint8), SIDE)
