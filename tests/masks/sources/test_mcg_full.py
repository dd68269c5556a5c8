"""The reference MCG: aligned scales, and what higra says of them."""

import sys

import cv2
import higra
import numpy as np
import pytest
from test_mcg import leaves_of, picture

from detcon import make_masks
from detcon.config import load_recipe
from detcon.masks.recipe import MasksRecipe
from detcon.masks.sources import MCGFull
from detcon.masks.sources.mcg.aligned import MissingHigra, _across, build_aligned
from detcon.masks.sources.mcg.contours import find_contours, to_channels
from detcon.masks.sources.mcg.grouping import find_hierarchies


def test_a_single_scale_is_higras_hierarchy():
    channels = to_channels(picture(30, 40))
    contours = find_contours(channels)[0]
    superpixels, trees = build_aligned([contours], channels)
    assert len(trees) == 2, "the mean, and the scale"
    saliency = boundary_heights(superpixels, trees[1])
    labels = superpixels.labels.ravel().astype(np.int64)
    graph = higra.get_4_adjacency_graph((30, 40))
    sources, targets = graph.edge_list()
    tree, heights = higra.mean_pb_hierarchy(
        graph,
        higra.weight_graph(graph, contours.astype(float), higra.WeightFunction.mean),
        edge_orientations=_across(contours).astype(float).ravel()[sources],
    )
    expected = higra.saliency(tree, heights)
    found = saliency[labels[sources], labels[targets]]
    assert np.allclose(found, expected)


def boundary_heights(superpixels, tree):
    """The height at which two superpixels are first together [n n]."""
    inside, num = leaves_of([tree]), len(superpixels.areas)
    found = np.full((num, num), np.inf)
    np.fill_diagonal(found, 0)
    for node in range(len(tree.heights)):
        both = np.ix_(inside[node], inside[node])
        found[both] = np.minimum(found[both], tree.heights[node])
    return found


def test_coarser_scales_have_the_finest_borders():
    image = picture(40, 60)
    superpixels, trees = find_hierarchies(MCGFull(scales=(2.0, 1.0, 0.5)), image)
    assert superpixels.labels.shape == (40, 60) and len(trees) == 4
    num = len(superpixels.areas)
    assert superpixels.areas.min() >= 1
    for tree in trees:
        assert len(tree.heights) == 2 * num - 1 and tree.parents[-1] == -1
        assert (tree.heights[tree.parents[:-1]] >= tree.heights[:-1]).all()
        for node in range(num, 2 * num - 1):
            assert (tree.parents[tree.children[node]] == node).all()
    heights = [boundary_heights(superpixels, tree) for tree in trees[1:]]
    between = np.array([[one[a, b] for a, b in superpixels.ends] for one in heights])
    assert np.allclose(superpixels.strengths[0] / superpixels.lengths, between.mean(0))


def test_objects_are_found_and_masks_are_ranked():
    image = np.full((90, 120, 3), (90, 120, 60), np.uint8)
    image[30:70, 20:60] = (200, 60, 40)
    masks = MCGFull(scales=(1.0, 0.5))(image)
    truth = np.zeros((90, 120), bool)
    truth[30:70, 20:60] = True
    first = masks.stack()[0]
    assert (first & truth).sum() / (first | truth).sum() > 0.9
    assert masks.scores is not None and (np.diff(masks.scores) <= 0).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 2, 1), (12, 13, 5)])
def test_any_shape_and_plain_photos(shape):
    masks = MCGFull()(np.full(shape, 7, np.uint8))
    assert masks.size == shape[:2] and masks.num_masks == 1 and masks.stack().all()
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    masks = MCGFull()(noise)
    assert masks.size == shape[:2] and masks.num_masks >= 1 and masks.stack().any((1, 2)).all()


def test_a_recipe_makes_a_store(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(2):
        cv2.imwrite(str(photos / f"{seed}.png"), picture(30, 40, seed=seed))
    recipe = load_recipe(
        MasksRecipe,
        "recipes/masks/mcg_full.yaml",
        {"images": str(photos), "out": str(tmp_path / "masks")},
    )
    assert recipe.generator == MCGFull()
    assert make_masks(recipe, workers=1).is_dir()


def test_says_which_extra_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "higra", None)
    with pytest.raises(MissingHigra, match=r"need higra, .* pip install 'detcon\[mcg\]'"):
        MCGFull()(picture(20, 20))


@pytest.mark.parametrize("scales", [(), (1.0, 2.0), (1.0, 1.0), (1.0, 0.0)])
def test_says_what_scales_are(scales):
    with pytest.raises(ValueError, match="factors above 0, the finest first, got"):
        MCGFull(scales=scales)
