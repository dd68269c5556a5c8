"""`detcon train-ranker`: trains a ranker of MCG's candidates on annotated photos.

The training set is that of MCG's random forest (arXiv 1503.00848, section 7): from each photo some
random candidates and the best one for each object. The target of a candidate is its best overlap
with an object. Boosted trees with few leaves replace the forest: as good, a hundredth of its size.

Axes: g nodes of all trees, k candidates, f features, n superpixels, t marked regions.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from detcon.config import load_recipe
from detcon.formats.errors import AnnotationError
from detcon.masks.masks import resize_map
from detcon.masks.quality.overlap import Bounds, Truth
from detcon.masks.quality.scoring import draw_keys
from detcon.masks.quality.truth import open_truth
from detcon.masks.recipe import TrainRankerRecipe
from detcon.masks.sources.mcg.candidates import Candidates
from detcon.masks.sources.mcg.choice import add_up
from detcon.masks.sources.mcg.grouping import list_candidates
from detcon.masks.sources.mcg.hierarchy import Tree
from detcon.masks.sources.mcg.scores import Ranker, find_features, save_ranker
from detcon.masks.sources.mcg.superpixels import Superpixels
from detcon.photos import open_photos

_RATE, _LEAST_AT_LEAF = 0.15, 20


def train_ranker(recipe: str | Path | TrainRankerRecipe | None = None, /, **overrides: Any) -> Path:
    """Trains a ranker and writes it; the same photos and settings give the same bytes.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        overrides: Values to lay over it, as on the command line.

    Returns:
        The file, for `MCG(ranker=...)`.

    Raises:
        RecipeError: If the recipe is wrong.
        PhotosError: If there are no photos.
        AnnotationError: If no photo has annotations that could be learned from.
        ValueError: If scikit-learn isn't installed, or a photo's annotation is wrong.
    """
    settings = load_recipe(TrainRankerRecipe, recipe, overrides)
    ensemble = _import_ensemble()
    photos = open_photos(settings.images)
    truth = open_truth(settings.truth, ignore=settings.ignore, background=settings.background)
    keys = draw_keys(truth.annotated(photos.keys), settings.num)
    rng = np.random.default_rng(settings.seed)
    found = [sample(settings, photos.read(key), key, truth[key], rng) for key in keys]
    features = np.concatenate([one for one, _ in found]) if found else np.empty((0, 0))
    if not len(features):
        raise AnnotationError(
            f"nothing to learn from: {len(keys)} of the {len(photos)} photos in {settings.images} "
            f"have annotations in {settings.truth}, and no region of a fitting size is marked in "
            f"them; check images= and truth="
        )
    model = ensemble.GradientBoostingRegressor(
        n_estimators=settings.trees,
        learning_rate=_RATE,
        max_depth=None,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=_LEAST_AT_LEAF,
        random_state=0,
    ).fit(features, np.concatenate([targets for _, targets in found]))
    path = Path(settings.out)
    save_ranker(_to_ranker(model), path)
    return path


def sample(
    settings: TrainRankerRecipe, photo: np.ndarray, key: str, truth: Truth, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "k f"], Float64[np.ndarray, " k"]]:
    """Features and targets of some candidates: random ones, and the best one of each region."""
    superpixels, trees, candidates = list_candidates(settings.generator, photo, key)
    ious = overlaps(superpixels, trees, candidates, truth)
    num = len(candidates.areas)
    chosen = rng.permutation(num)[: settings.samples]
    if not ious.size:
        return np.empty((0, 0), np.float32), np.empty(0)
    chosen = np.union1d(chosen, ious.argmax(1))
    size = (superpixels.labels.shape[0], superpixels.labels.shape[1])
    return find_features(candidates, size)[chosen], ious.max(0)[chosen]


def overlaps(
    superpixels: Superpixels, trees: Sequence[Tree], candidates: Candidates, truth: Truth
) -> Float64[np.ndarray, "t k"]:
    """Intersection over union of each candidate with each marked region within `Bounds`.

    Pixel counts of superpixels are summed up along the trees, so no candidate's mask is needed.
    """
    labels, num = superpixels.labels, len(superpixels.areas)
    counted = np.ones(labels.shape, bool)
    if truth.void is not None:
        counted = ~resize_map(truth.void, labels.shape)
    bounds, regions = Bounds(), [counted]
    for marked in truth.marked:
        for region in marked.at_size(labels.shape).stack():
            if bounds.least <= region.mean() <= bounds.most:
                regions.append(region & counted)
    leaves = [np.bincount(labels[one], minlength=num).astype(float) for one in regions]
    children = np.concatenate([tree.children for tree in trees])
    nodes = np.stack([add_up(one, children) for one in leaves])
    both = nodes[:, candidates.members].sum(2)  # [1+t k]
    sizes = np.array([one.sum() for one in leaves[1:]])[:, None]
    return both[1:] / np.maximum(sizes + both[0] - both[1:], 1)


def _import_ensemble() -> ModuleType:
    try:
        from sklearn import ensemble
    except ImportError as error:
        raise ValueError(
            "training a ranker needs scikit-learn, which isn't installed; "
            "pip install 'detcon[ranker]' (using a ranker needs no extra)"
        ) from error
    return ensemble


def _to_ranker(model: Any) -> Ranker:
    """Converts a `GradientBoostingRegressor` by the public attributes of its trees."""
    trees = [one.tree_ for one in model.estimators_[:, 0]]
    shape = (len(trees), max(tree.node_count for tree in trees))
    ranker = Ranker(
        np.array(float(model.init_.constant_.squeeze())),
        np.full(shape, -1, np.int16),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.int16),
        np.zeros(shape, np.int16),
        np.zeros(shape, np.float32),
    )
    for row, tree in enumerate(trees):
        here = slice(0, tree.node_count)
        inner = tree.children_left >= 0
        ranker.features[row, here] = np.where(inner, tree.feature, -1)
        ranker.thresholds[row, here] = tree.threshold
        ranker.left[row, here] = tree.children_left
        ranker.right[row, here] = tree.children_right
        ranker.values[row, here] = model.learning_rate * tree.value[:, 0, 0]
    return ranker
