"""Tests for detcon.masks.sources.mcg: each stage compared with a plain one, and objects found."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from detcon.masks.sources import MCG, Felzenszwalb, Grid
from detcon.masks.sources.mcg.candidates import find_candidates
from detcon.masks.sources.mcg.choice import choose
from detcon.masks.sources.mcg.contours import find_contours, to_channels
from detcon.masks.sources.mcg.hierarchy import Region, build_tree, define_tree, difference
from detcon.masks.sources.mcg.superpixels import find_superpixels, measure_superpixels
from detcon.scenes.raycast import render_scene


def picture(height, width, channels=3, seed=0):
    """Rectangles on noise."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 120, (height, width, channels), dtype=np.uint8)
    for _ in range(6):
        y, x = rng.integers(height), rng.integers(width)
        image[y : y + height // 3, x : x + width // 4] += rng.integers(0, 130, channels, np.uint8)
    return image


def stages(image, nums=(60, 40, 20, 10)):
    channels = to_channels(image)
    contours = find_contours(channels)
    superpixels = find_superpixels(contours, channels)
    trees = [build_tree(superpixels, strengths) for strengths in superpixels.strengths]
    return contours, superpixels, trees, find_candidates(superpixels, trees, nums)


def leaves_of(trees):
    """Which superpixels each node of all trees has [g n]."""
    found = []
    for tree in trees:
        num = (len(tree.heights) + 1) // 2
        below = np.zeros((len(tree.heights), num), bool)
        below[:num] = np.eye(num)
        for node in range(num, len(below)):
            below[node] = below[tree.children[node]].any(0)
        found.append(below)
    return np.concatenate(found)


def insides_of(trees, candidates):
    """Which superpixels each candidate has [k n]; its members are disjoint."""
    leaves = leaves_of(trees)
    parts = np.where((candidates.members >= 0)[..., None], leaves[candidates.members], False)
    assert parts.sum(1).max() == 1
    return parts.any(1)


sizes = st.tuples(st.integers(1, 30), st.integers(1, 30))


@given(sizes, st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_pixel_flows_to_its_lowest_neighbour(size, seed):
    relief = np.random.default_rng(seed).integers(0, 5, size).astype(np.float32)
    superpixels = find_superpixels(np.stack([relief, relief + 1]), relief[None])
    labels = superpixels.labels
    order = {place: rank for rank, place in enumerate(np.argsort(relief.ravel(), kind="stable"))}
    for y in range(size[0]):
        for x in range(size[1]):
            around = [(y, x), (y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            there = [(v, u) for v, u in around if 0 <= v < size[0] and 0 <= u < size[1]]
            assert labels[y, x] == labels[min(there, key=lambda p: order[p[0] * size[1] + p[1]])]
    assert np.array_equal(np.unique(labels), np.arange(len(superpixels.areas)))
    assert cv2.connectedComponents((labels == 0).astype(np.uint8), connectivity=4)[0] == 2
    assert np.array_equal(superpixels.areas, np.bincount(labels.ravel()))
    between = (labels[1:] != labels[:-1]).sum() + (labels[:, 1:] != labels[:, :-1]).sum()
    assert superpixels.lengths.sum() == between
    assert np.allclose(superpixels.strengths[1] - superpixels.strengths[0], superpixels.lengths)


def test_histograms_are_soft_and_of_each_channel():
    channels = np.array([[[0, 0.5, 1, 1]], [[0.1, 0.1, 0.1, 0.3]]], np.float32)  # c y x
    superpixels = measure_superpixels(
        np.array([[0, 0, 1, 1]], np.int32), np.zeros((0, 1, 4), np.float32), channels
    )
    expected = np.zeros((2, 2, 16))
    expected[0, 0, [0, 7, 8]] = 0.5, 0.25, 0.25  # 0.5 is half way between bins 7 and 8 of 15
    expected[0, 1, [1, 2]] = 0.5, 0.5
    expected[1, 0, 15] = 1
    expected[1, 1, [1, 2, 4, 5]] = 0.25, 0.25, 0.25, 0.25
    assert np.allclose(superpixels.histograms, expected.reshape(2, 32), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_kernel_merges_as_defined(seed):
    _, superpixels, trees, _ = stages(picture(20, 26, seed=seed))
    for strengths, tree in zip(superpixels.strengths, trees, strict=True):
        defined = define_tree(superpixels, strengths)
        assert np.array_equal(tree.children, defined.children)
        assert np.array_equal(tree.parents, defined.parents)
        assert np.allclose(tree.heights, defined.heights, rtol=1e-6)
        assert (tree.heights[tree.parents[:-1]] >= tree.heights[:-1]).all()


def test_the_difference_of_two_regions_by_hand():
    black, white = np.eye(2)[0], np.eye(2)[1]
    small, large = Region(32.0, black), Region(1024.0, white)
    by_hand = 0.3 * 32**0.1 * (0.085 + np.sqrt(2)) ** 0.375
    assert difference(small, large, 0.3) == pytest.approx(by_hand, rel=1e-12)
    assert difference(small, Region(9.0, black), 1.0) == pytest.approx(9**0.1 * 0.085**0.375)


@pytest.mark.parametrize("seed", range(3))
def test_candidates_are_connected_and_none_comes_twice(seed):
    nums = (60, 40, 20, 10)
    _, superpixels, trees, candidates = stages(picture(40, 50, seed=seed), nums)
    insides = insides_of(trees, candidates)
    assert len(np.unique(insides, axis=0)) == len(insides), "none twice"
    assert not insides.all(1).any(), "the whole photo is none"
    sizes = np.bincount((candidates.members >= 0).sum(1), minlength=5)[1:]
    assert (sizes <= 2 * np.array(nums)).all() and sizes[1:].all()
    assert np.array_equal(insides @ superpixels.areas, candidates.areas)
    for inside, box_area in zip(insides, candidates.box_areas, strict=True):
        mask = inside[superpixels.labels].astype(np.uint8)
        num, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        assert num == 2 and box_area == stats[1, 2] * stats[1, 3]


def test_all_nodes_are_single_regions():
    _, _, trees, candidates = stages(picture(20, 20), (10**4, 0, 0, 0))
    expected = np.unique(leaves_of(trees), axis=0)
    assert len(candidates.areas) == len(expected) - 1, "all but the whole photo"


@pytest.mark.parametrize("diversity, max_overlap", [(0.0, 1.0), (0.4, 0.5), (1.0, 0.3)])
def test_the_choice_is_that_of_maximal_marginal_relevance(diversity, max_overlap):
    _, superpixels, trees, candidates = stages(picture(40, 50))
    insides = insides_of(trees, candidates)
    scores = np.random.default_rng(0).random(len(insides))
    scores[::7] = -np.inf
    found, worth = choose(
        superpixels, trees, candidates, scores,
        num=9, diversity=diversity, max_overlap=max_overlap, most=0.8,
    )  # fmt: skip
    overlaps, chosen, marginals = np.zeros(len(insides)), [], []
    left = scores > -np.inf
    while len(chosen) < 9 and left.any():
        marginal = (1 - diversity) * np.where(left, scores, 0) - diversity * overlaps
        marginal[~left] = -np.inf
        best = int(marginal.argmax())
        left[best] = False
        whole = without_holes(insides[best], superpixels)
        alike = overlap_of(np.array([*chosen, whole]), whole, superpixels.areas)[:-1]
        if whole @ superpixels.areas > 0.8 * 2000 or (alike > min(max_overlap, 0.9499)).any():
            continue
        chosen.append(whole)
        marginals.append(marginal[best])
        overlap = overlap_of(insides, whole, superpixels.areas)
        overlaps, left = np.maximum(overlaps, overlap), left & (overlap <= min(max_overlap, 0.9499))
    assert np.array_equal(found.T, chosen) and np.allclose(worth, marginals)


def overlap_of(insides, other, areas):
    return (insides & other) @ areas / ((insides | other) @ areas)


def without_holes(inside, superpixels):
    """Pixels that the photo's edge can't be reached from, over sides, but through the mask."""
    mask = inside[superpixels.labels]
    _, parts = cv2.connectedComponents((~np.pad(mask, 1)).astype(np.uint8), connectivity=4)
    filled = parts[1:-1, 1:-1] != parts[0, 0]
    return np.array([filled[superpixels.labels == one].all() for one in range(len(inside))])


def test_a_ring_is_filled_and_a_frame_is_no_mask():
    image = np.full((120, 160, 3), (90, 120, 60), np.uint8)
    image[30:90, 40:100] = (200, 60, 40)
    image[42:78, 52:88] = (90, 120, 60)
    image[:3] = image[-3:] = 0
    image[:, :3] = image[:, -3:] = 0
    stack = MCG(min_area=0.01)(image).stack()
    ring = np.zeros((120, 160), bool)
    ring[30:90, 40:100] = True
    assert max((mask & ring).sum() / (mask | ring).sum() for mask in stack) > 0.9
    for mask in stack:
        assert mask.mean() <= 0.8
        _, parts = cv2.connectedComponents((~np.pad(mask, 1)).astype(np.uint8), connectivity=4)
        assert parts.max() == 1, "no holes"


def test_masks_are_ranked_differ_and_are_large_enough():
    masks = MCG(num=10, min_area=0.01, max_overlap=0.4)(picture(150, 200))
    stack = masks.stack().reshape(masks.num_masks, -1).astype(float)
    assert masks.num_masks == 10 and masks.scores is not None
    assert (np.diff(masks.scores) <= 0).all(), "descending"
    assert stack.mean(1).min() >= 0.01
    both = stack @ stack.T
    overlaps = both / (stack.sum(1)[:, None] + stack.sum(1) - both)
    assert overlaps[~np.eye(10, dtype=bool)].max() <= 0.4
    few = MCG(num=4, min_area=0.01, max_overlap=0.4)(picture(150, 200))
    assert np.array_equal(few.stack(), masks.stack()[:4]), "the first ones are the best ones"


def test_objects_of_scenes_are_found():
    scenes = [render_scene(0, index, 128) for index in range(6)]
    found = {
        generate: np.mean([abo(generate(one.rgb), one.instances) for one in scenes])
        for generate in (MCG(), Felzenszwalb(300.0, 300), Grid(4))
    }
    assert found[MCG()] > found[Felzenszwalb(300.0, 300)] + 0.05
    assert found[MCG()] > found[Grid(4)] + 0.15


def abo(masks, instances):
    stack = masks.stack()
    regions = [instances == number for number in np.unique(instances[instances > 0])]
    overlaps = [(stack & r).sum((1, 2)) / (stack | r).sum((1, 2)) for r in regions]
    return np.mean([overlap.max() for overlap in overlaps])


def test_a_photo_on_its_own_colour_is_one_outline():
    image = np.full((90, 120, 3), (90, 120, 60), np.uint8)
    image[30:70, 20:60] = (200, 60, 40)
    first = MCG()(image).stack()[0]
    truth = np.zeros((90, 120), bool)
    truth[30:70, 20:60] = True
    assert (first & truth).sum() / (first | truth).sum() > 0.9


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 1), (2, 2, 5), (400, 300, 1)])
def test_any_shape_and_plain_photos(shape):
    masks = MCG()(np.full(shape, 7, np.uint8))
    assert masks.size == shape[:2] and masks.num_masks == 1 and masks.stack().all()
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    masks = MCG()(noise)
    assert masks.size == shape[:2] and masks.num_masks >= 1 and masks.stack().any((1, 2)).all()


def test_the_same_from_several_threads():
    photos = [picture(60, 80, seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(MCG(), photos))
    for photo, masks in zip(photos, found, strict=True):
        again = MCG()(photo)
        assert np.array_equal(masks.stack(), again.stack())
        assert np.array_equal(masks.scores, again.scores)


def test_works_on_a_smaller_picture():
    image = cv2.resize(picture(60, 80), (320, 240), interpolation=cv2.INTER_NEAREST)
    assert MCG()(image).patterns.shape == (192, 256)
    assert MCG(max_side=None)(image).patterns.shape == (240, 320)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_grey_and_bands(channels):
    masks = MCG(max_side=64)(picture(96, 128, channels))
    assert masks.num_masks > 3 and masks.patterns.shape == (48, 64)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("num", 0, "num of mcg must be at least 1, got 0"),
        ("max_side", 0, "max_side of mcg must be at least 1, got 0"),
        ("singles", 1, "singles of mcg must be at least 2, got 1"),
        ("pairs", -1, "pairs of mcg must be at least 0, got -1"),
        ("min_area", 1.5, "min_area of mcg must be from 0 to 1, got 1.5"),
        ("diversity", float("nan"), "diversity of mcg must be from 0 to 1, got nan"),
    ],
)
def test_says_what_is_out_of_range(name, value, message):
    with pytest.raises(ValueError, match=message):
        MCG(**{name: value})
