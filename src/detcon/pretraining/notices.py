"""What a user is told before the first step of a pretraining, and where it waits for data."""

from collections.abc import Iterator

import numpy as np

from detcon.data.dataset import PhotoViews
from detcon.methods.recipe import WithMasks, kinds_with_masks
from detcon.models.recipe import RESNETS
from detcon.pretraining.parts import Parts, num_without_masks, passes_of_a_step
from detcon.pretraining.recipe import PretrainRecipe
from detcon.workers import num_cores

_TRIED = 16
"""Photos whose masks are counted in their views before training."""
MUCH = 0.4
"""The share of a run's time above which it is told what its figures without labels take."""


def notices(parts: Parts) -> Iterator[str]:
    """Sentences for the user before the first step."""
    channels, views, settings = parts.photos.channels, parts.views, parts.settings
    if settings.masks is not None and not isinstance(settings.method, WithMasks):
        yield (
            f"masks={settings.masks} isn't used: {settings.method.kind} takes whole photos; to "
            f"learn from masks give method.kind={kinds_with_masks()}"
        )
    if settings.warm_heads and settings.weights is None:
        yield (
            f"warm_heads={settings.warm_heads} without weights= keeps the encoder's random weights "
            f"for so many steps; leave it out, or give weights="
        )
    if channels != 3:
        yield f"photos of {channels} channels: changes of saturation and hue, and grey, are off"
    if views is not None and (num := num_without_masks(views)):
        yield f"{num:,} of {len(views):,} photos have no masks: nothing is learnt from them"
    if views is not None and views.store is not None:
        yield _masks_shown(parts, views)
    every = parts.measure_every()
    if settings.probing is None and every is not None:
        measured = (parts.steps // every + 1) * parts.passes_to_measure()
        share = measured / max(1, measured + parts.steps * passes_of_a_step(settings))
        if share > MUCH:
            yield (
                f"figures without labels take about {share:.0%} of the time; label_free=null "
                f"leaves them out"
            )
    if views is not None and views.left_out:
        yield (
            f"left out {len(views.left_out)} photos that couldn't be read when the masks were "
            f"made, the first is {views.left_out[0]}"
        )


def advice_if_waiting(settings: PretrainRecipe, ranks_here: int) -> str:
    """Advice if the training waits for data; what this run may still change comes first."""
    cores = num_cores() // ranks_here
    ways = []
    if settings.workers < cores:
        ways.append(f"stop it and go on with workers={cores} (now {settings.workers})")
    if settings.max_side is None and not settings.views.reduced_decode:
        ways.append("start again with max_side= or views.reduced_decode=true for large photos")
    if settings.discovery is not None:
        ways.append(
            "start again with a larger discovery.every=, since finding masks counts as waiting"
        )
    ways.append("put the photos on a faster disk")
    return ", or ".join(ways)


def _masks_shown(parts: Parts, views: PhotoViews) -> str:
    """How many masks a view tells apart: small ones win no cell of a coarse grid."""
    settings, (rows, columns) = parts.settings, parts.grid
    tried = np.unique(np.linspace(0, len(views) - 1, _TRIED).astype(int)).tolist()
    shown = [len(set(ids) - {-1}) for one in tried for ids in views[0, one].ids.tolist()]
    text = (
        f"a view of {settings.views.size} px has {rows} x {columns} cells and shows "
        f"{np.mean(shown):.1f} masks on average (of {len(tried)} photos)"
    )
    few = sum(number < 2 for number in shown)
    if 2 * few < len(shown):
        return text
    encoder = settings.encoder
    finer = encoder.name in RESNETS and encoder.stride > 8
    cells = f"encoder.stride={encoder.stride // 2}, or " if finer else ""
    return (
        f"{text}; {few} of {len(shown)} views show one or none, in which no region is told from "
        f"another: give {cells}a larger views.size="
    )
