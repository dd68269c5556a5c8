"""The page of `detcon score`: its table, and the best and the worst photos."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from detcon.masks.quality.overlap import quality
from detcon.masks.quality.scoring import StoreScore
from detcon.masks.quality.truth import TruthSource
from detcon.photos import Photos, UnreadablePhoto, open_photos
from detcon.report.draw import data_uri, paint_masks, scale_to
from detcon.report.output import render
from detcon.report.panels import SIDE, Panel, Picture, counted, describe_generator

_GREY = 200  # of photos that can't be had


def render_page(
    scores: Sequence[StoreScore],
    truth: TruthSource,
    *,
    rows: Sequence[Sequence[str]],
    heads: Sequence[str],
    source: str,
    images: str | None,
    num: int,
    least: float,
    most: float,
    notes: Sequence[str] = (),
) -> str:
    """The page as text.

    Args:
        scores: Of one or more stores, over the same photos.
        truth: What they were compared with.
        rows: The table: for each store its name and its figures, as text.
        heads: The names of the figures.
        source: What the user called the truth.
        images: The photos; None for those that the first store was made of.
        num: How many of the best and of the worst photos are shown.
        least: Smallest region looked for, as a share of the photo.
        most: Largest region looked for.
        notes: What else a reader should know of the figures.
    """
    ranked = _ranked(scores)
    num = min(num, (len(ranked) + 1) // 2)
    photos, note = _photos(scores[0], images)
    best, worst = ranked[:num], ranked[max(num, len(ranked) - num) :][::-1]
    sections = [
        (name, _panel(keys, scores, truth, photos))
        for name, keys in (("The best photos", best), ("The worst photos", worst))
        if keys
    ]
    return render(
        "score.html.j2",
        source=source,
        num_photos=len(scores[0].tallies),
        least=f"{100 * least:g} %",
        most=f"{100 * most:g} %",
        heads=heads,
        rows=[(row, describe_generator(s.store.header)) for row, s in zip(rows, scores)],
        sections=sections,
        notes=[*notes, *([note] if note and sections else [])],
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
