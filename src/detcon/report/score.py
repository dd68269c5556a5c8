"""`detcon score`: compares mask stores with annotations in a table and on a page."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

import detcon
from detcon.config import load_recipe
from detcon.files import write_whole
from detcon.formats.registry import find_format
from detcon.masks.quality.overlap import TOLERANCE, Bounds, quality
from detcon.masks.quality.scoring import StoreScore, score_stores
from detcon.masks.quality.truth import open_truth
from detcon.masks.store import MaskStore
from detcon.report.output import check_output
from detcon.report.panels import describe_generator
from detcon.report.recipe import ScoreRecipe
from detcon.report.score_page import render_page

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


def score(recipe: str | Path | ScoreRecipe | None = None, /, **overrides: Any) -> Path:
    """Measures stores, and writes a page and its figures.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name: `score(masks=["grid", "fh"], truth="labels")`.

    Returns:
        The page's path; the figures are in the same folder under the same name, ending in `.json`.

    Raises:
        OutputExists: `out` is a file of another origin.
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
    scores = score_stores(
        stores, truth,
        num=settings.num,
        bounds=Bounds(settings.least, settings.most),
        num_workers=settings.workers,
    )  # fmt: skip
    figures = _figures(scores, settings)
    if left_out := _left_out(scores[0]):
        print(left_out, file=sys.stderr)
    write_whole(path.with_suffix(".json"), json.dumps(figures, indent=1, ensure_ascii=False))
    page = render_page(
        scores, truth,
        rows=_rows(figures), heads=[name for name, _, _ in COLUMNS.values()],
        source=_source(settings), images=settings.images, num=settings.pictures,
        least=settings.least, most=settings.most, notes=[left_out] if left_out else [],
    )  # fmt: skip
    write_whole(path, page)
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


def _written(value: float | None, factor: int, digits: int) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"
