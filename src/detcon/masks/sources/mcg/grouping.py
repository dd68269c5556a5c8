"""The stages of both kinds of MCG, one after another: contours, superpixels, trees, masks.

Axes: y x pixels, c channels, k candidates.
"""

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from detcon.masks.masks import Masks, find_patterns
from detcon.masks.sources.mcg.aligned import build_aligned
from detcon.masks.sources.mcg.candidates import Candidates, find_candidates
from detcon.masks.sources.mcg.choice import choose
from detcon.masks.sources.mcg.contour_maps import read_contours, to_scales
from detcon.masks.sources.mcg.contours import find_contours, to_channels
from detcon.masks.sources.mcg.generator import MCG, MCGFull
from detcon.masks.sources.mcg.hierarchy import Tree, build_tree
from detcon.masks.sources.mcg.scores import Scorer, choose_score
from detcon.masks.sources.mcg.superpixels import Superpixels, find_superpixels
from detcon.photos import resize, shrink

_MOST = 0.8  # of the photo's area; larger regions would win by their outline alone


def find_masks(settings: MCG | MCGFull, image: UInt8[np.ndarray, "y x c"], key: str) -> Masks:
    """The best masks of a photo, the best one first; of a plain photo, one that covers it."""
    scorer = choose_score(settings.ranker)
    superpixels, trees, candidates = list_candidates(settings, image, key)
    scores = _allowed_scores(candidates, superpixels.labels.shape, settings.min_area, scorer)
    inside, worth = choose(
        superpixels, trees, candidates, scores,
        num=settings.num, diversity=settings.diversity, max_overlap=settings.max_overlap,
        most=_MOST,
    )  # fmt: skip
    size = (image.shape[0], image.shape[1])
    if not len(worth):
        return Masks.from_stack(np.ones((1, *superpixels.labels.shape), bool), np.zeros(1), size)
    membership, patterns = find_patterns(inside.T)
    return Masks(size, patterns.astype(np.int16)[superpixels.labels], membership, worth)


def list_candidates(
    settings: MCG | MCGFull, image: UInt8[np.ndarray, "y x c"], key: str
) -> tuple[Superpixels, list[Tree], Candidates]:
    """Superpixels of a photo, their trees, and the candidates that masks are chosen from."""
    superpixels, trees = find_hierarchies(settings, image, key)
    nums = (settings.singles, settings.pairs, settings.triplets, settings.quadruplets)
    return superpixels, trees, find_candidates(superpixels, trees, nums)


def find_hierarchies(
    settings: MCG | MCGFull, image: UInt8[np.ndarray, "y x c"], key: str = ""
) -> tuple[Superpixels, list[Tree]]:
    """Superpixels and their trees.

    Those of `MCG` are the fine and the coarse tree; those of `MCGFull` the multiscale tree and one
    for each scale, the coarsest first.
    """
    if isinstance(settings, MCGFull):
        return _aligned_hierarchies(settings, image, key)
    channels = to_channels(shrink(image, settings.max_side))
    if settings.contours is None:
        contours = find_contours(channels)
    else:
        shape = (channels.shape[1], channels.shape[2])
        contours = to_scales(read_contours(settings.contours, key, image.shape[:2], shape))
    superpixels = find_superpixels(contours, channels)
    return superpixels, [build_tree(superpixels, one) for one in superpixels.strengths]


def _aligned_hierarchies(
    settings: MCGFull, image: UInt8[np.ndarray, "y x c"], key: str
) -> tuple[Superpixels, list[Tree]]:
    photo = shrink(image, settings.max_side)
    sizes = [
        (max(2, round(photo.shape[0] * scale)), max(2, round(photo.shape[1] * scale)))
        for scale in settings.scales
    ]
    if settings.contours is None:
        contours = [find_contours(to_channels(_resized(photo, size)))[0] for size in sizes]
    else:
        found = [read_contours(settings.contours, key, image.shape[:2], size) for size in sizes]
        contours = [to_scales(one)[0] for one in found]
    return build_aligned(contours, to_channels(photo))


def _resized(photo: UInt8[np.ndarray, "y x c"], size: tuple[int, int]) -> np.ndarray:
    """The photo at another size: Lanczos where it grows, as in MCG, else area averages."""
    if size == photo.shape[:2]:
        return photo
    grows = size[0] >= photo.shape[0]
    return resize(photo, (size[1], size[0]), cv2.INTER_LANCZOS4 if grows else cv2.INTER_AREA)


def _allowed_scores(
    candidates: Candidates, size: tuple[int, int], min_area: float, scorer: Scorer
) -> Float64[np.ndarray, " k"]:
    """Scores with a best of 1; -inf for regions that are too small, too large or without contrast.

    `size` is that of the map of superpixels, `min_area` a share of it.
    """
    shares = candidates.areas / (size[0] * size[1])
    allowed = (shares >= min_area) & (shares <= _MOST) & (candidates.ends > 0)
    if not allowed.any():
        return np.full(len(allowed), -np.inf)
    scores = scorer(candidates, size)
    return np.where(allowed, scores / (scores[allowed].max() or 1.0), -np.inf)
