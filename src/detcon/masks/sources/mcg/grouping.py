"""The stages of both kinds of MCG, one after another: contours, superpixels, trees, best masks."""

import cv2
import numpy as np
from jaxtyping import UInt8

from detcon.masks.masks import Masks
from detcon.masks.sources.mcg.aligned import build_aligned
from detcon.masks.sources.mcg.best import Wanted, find_best
from detcon.masks.sources.mcg.contour_maps import read_contours, to_scales
from detcon.masks.sources.mcg.contours import find_contours, to_channels
from detcon.masks.sources.mcg.generator import MCG, MCGFull
from detcon.masks.sources.mcg.hierarchy import Tree, build_tree
from detcon.masks.sources.mcg.ranker import choose_score
from detcon.masks.sources.mcg.superpixels import Superpixels, find_superpixels
from detcon.photos import resize, shrink


def find_masks(settings: MCG | MCGFull, image: UInt8[np.ndarray, "y x c"], key: str) -> Masks:
    """The best masks of a photo; raises what `MCG` and `MCGFull` say."""
    wanted = Wanted(
        num=settings.num,
        nums=(settings.singles, settings.pairs, settings.triplets, settings.quadruplets),
        min_area=settings.min_area,
        max_overlap=settings.max_overlap,
        diversity=settings.diversity,
        score=choose_score(settings.ranker),
    )
    size = (image.shape[0], image.shape[1])
    return find_best(*find_hierarchies(settings, image, key), wanted, size)


def find_hierarchies(
    settings: MCG | MCGFull, image: UInt8[np.ndarray, "y x c"], key: str = ""
) -> tuple[Superpixels, list[Tree]]:
    """Superpixels and the trees that candidates come from.

    Of `MCG` the fine tree and the coarse one; of `MCGFull` the multiscale tree and those of the
    scales, the coarsest first.
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
        contours = [find_contours(to_channels(_scaled(photo, size)))[0] for size in sizes]
    else:
        found = [read_contours(settings.contours, key, image.shape[:2], size) for size in sizes]
        contours = [to_scales(one)[0] for one in found]
    return build_aligned(contours, to_channels(photo))


def _scaled(photo: UInt8[np.ndarray, "y x c"], size: tuple[int, int]) -> np.ndarray:
    """The photo at another size: Lanczos where it grows, as in MCG, else area averages."""
    if size == photo.shape[:2]:
        return photo
    grows = size[0] >= photo.shape[0]
    return resize(photo, (size[1], size[0]), cv2.INTER_LANCZOS4 if grows else cv2.INTER_AREA)
