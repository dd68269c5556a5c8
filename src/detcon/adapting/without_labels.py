"""What can be said of adapted weights without labels, in sentences."""

from collections.abc import Mapping
from pathlib import Path

import torch

from detcon.downstream.label_free import AGREEMENT, LIDAR, RANKME
from detcon.models.backbone_file import load_backbone
from detcon.models.encoders import build_encoder
from detcon.photos import open_photos
from detcon.pretraining.parts import open_label_free, open_masks
from detcon.pretraining.recipe import PretrainRecipe
from detcon.results.history import read_history

_UNKNOWN = "No labelled data were given (data=), so whether adapting helped isn't known."

_MEANING = (
    "None of these figures says that features got better. Few neighbours kept: the weights changed "
    "much, for better or worse. RankMe and LiDAR count the directions in which features differ: "
    "far fewer than at the start are a bad sign, as many or more say nothing. Some tens of "
    "labelled photos, given as data=, would tell."
)

Figures = Mapping[str, float]


def without_labels(adapted: Path, fresh: Figures) -> list[str]:
    """The sentences of the page, from the log of the run that made the `adapted` backbone.

    Args:
        adapted: The backbone; the log lies beside it.
        fresh: `figures_of_fresh`; may be empty.
    """
    rows = [row for row in read_history(adapted.parent).rows if AGREEMENT in row]
    if len(rows) < 2:
        return [_UNKNOWN]
    start, end = rows[0], rows[-1]
    kept = (
        f"Regions kept {100 * end[AGREEMENT]:.0f} % of the nearest neighbours that they had by "
        f"the start's features"
    )
    ranks = [
        f"{name} went from {start[figure]:.1f} to {end[figure]:.1f}"
        + (f" (fresh weights: {fresh[figure]:.1f})" if figure in fresh else "")
        for name, figure in (("RankMe", RANKME), ("LiDAR", LIDAR))
        if figure in start and figure in end
    ]
    return [_UNKNOWN, f"{'; '.join([kept, *ranks])}.", _MEANING]


def figures_of_fresh(plan: PretrainRecipe, adapted: Path) -> dict[str, float]:
    """RankMe and LiDAR of the same network with fresh weights, on the same photos and views."""
    made = load_backbone(adapted)
    recipe = plan.model_copy(update={"encoder": made.recipe, "normalisation": made.normalisation})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        fresh = build_encoder(made.recipe, run_own=True)
    photos = open_photos(plan.images, made.recipe.in_channels)
    figures = open_label_free(recipe, photos, open_masks(plan), fresh)
    return {} if figures is None else figures.measure(fresh)
