"""One contract, every generator."""

import dataclasses
import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.segmentation import felzenszwalb, slic

from detcon.masks import MaskGenerator, Masks
from detcon.masks.sources import (
    MCG,
    Displaced,
    Felzenszwalb,
    FromAnnotations,
    FromCallable,
    Grid,
    MCGFull,
    Slic,
    WholeImage,
)

GENERATORS = [
    WholeImage(),
    Grid(),
    Grid(rows=1, columns=3),
    Felzenszwalb(scale=50.0, min_size=5),
    Felzenszwalb(scale=50.0, min_size=5, max_side=7),
    Slic(),
    Slic(num=6, compactness=0.1, sigma=0.5, max_side=9),
    FromCallable("skimage.segmentation:quickshift", {"max_dist": 20.0}),
    MCG(),
    MCG(num=3, max_side=20, min_area=0.0, singles=30, pairs=20, triplets=10, quadruplets=5),
    MCGFull(max_side=24),
    MCGFull(num=3, scales=(1.0, 0.5), pairs=20, triplets=10, quadruplets=5),
]
images = array_shapes(min_dims=2, max_dims=2, min_side=5, max_side=40).flatmap(
    lambda shape: arrays(np.uint8, (*shape, 3), elements=st.sampled_from([0, 90, 200]))
)


@pytest.mark.parametrize("generate", GENERATORS, ids=str)
@given(image=images)
@settings(max_examples=20, deadline=None)
def test_contract(generate, image):
    before = image.copy()
    masks = generate(image)
    assert isinstance(generate, MaskGenerator) and isinstance(masks, Masks)
    assert masks.size == image.shape[:2]
    assert masks.ids.tolist() == list(range(masks.num_masks)), "no gaps"
    assert masks.stack().any((1, 2)).all(), "no mask is empty"
    assert np.array_equal(masks.patterns, generate(image, "a/b.jpg").patterns), "same image, same"
    assert np.array_equal(image, before), "the image is left alone"


@pytest.mark.parametrize(
    "generate", [*GENERATORS, FromAnnotations("labels"), Displaced("labels", 0.1)], ids=str
)
def test_a_generator_is_its_fields(generate):
    assert pickle.loads(pickle.dumps(generate)) == generate
    assert type(generate)(**dataclasses.asdict(generate)) == generate
    with pytest.raises(dataclasses.FrozenInstanceError):
        generate.kind = "other"


def test_grid_cells_are_even():
    areas = np.bincount(Grid(2, 3)(np.zeros((7, 8, 3), np.uint8)).labels.ravel())
    assert areas.tolist() == [12, 12, 8, 9, 9, 6] and sum(areas) == 56


def test_a_grid_of_one_number_is_square():
    assert Grid(3) == Grid(3, 3) and Grid() == Grid(5, 5)


def test_grid_says_when_it_has_no_cells():
    with pytest.raises(ValueError, match="at least one row and one column, got 0 x 2"):
        Grid(0, 2)


def photo(height, width):
    small = np.random.default_rng(3).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def test_felzenszwalb_is_scikit_image_at_the_official_settings():
    image = photo(120, 160)
    assert Felzenszwalb() == Felzenszwalb(scale=1000.0, min_size=1000, sigma=0.8, max_side=None)
    expected = felzenszwalb(image, scale=1000, min_size=1000)
    assert np.array_equal(Felzenszwalb()(image).labels, expected) and expected.max() > 0


def test_felzenszwalb_may_work_on_a_smaller_picture():
    masks = Felzenszwalb(100.0, 20, max_side=40)(photo(120, 160))
    assert masks.size == (120, 160) and masks.labels.shape == (30, 40) and masks.num_masks > 1


def test_slic_is_scikit_images():
    image = photo(60, 80)
    expected = slic(image, n_segments=20, compactness=5.0, start_label=0)
    assert np.array_equal(Slic(20, 5.0, max_side=None)(image).labels, expected)
    assert 10 < Slic(20)(image).num_masks < 30
    small = Slic(20, max_side=40)(image)
    assert small.size == (60, 80) and small.labels.shape == (30, 40)


@pytest.mark.parametrize("channels", [1, 4])
def test_slic_takes_any_channels(channels):
    assert Slic(4)(np.repeat(photo(20, 30)[..., :1], channels, 2)).num_masks > 1


@pytest.mark.parametrize(
    "asked, sentence",
    [
        ({"num": 0}, "num of slic must be at least 1, got 0"),
        ({"sigma": -1.0}, "sigma of slic must be at least 0, got -1.0"),
        ({"compactness": 0.0}, "compactness of slic must be above 0, got 0.0"),
    ],
)
def test_slic_says_what_is_out_of_range(asked, sentence):
    with pytest.raises(ValueError, match=sentence):
        Slic(**asked)


def test_more_than_255_segments_neither_wrap_nor_merge():
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    masks = Felzenszwalb(scale=1.0, min_size=1, sigma=0.0)(image)
    assert masks.num_masks == masks.labels.max() + 1 > 255


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
@pytest.mark.parametrize("max_side", [None, 3])
def test_felzenszwalb_copes_with_any_shape(shape, max_side):
    masks = Felzenszwalb(max_side=max_side)(np.zeros((*shape, 3), np.uint8))
    assert masks.size == shape and masks.num_masks == 1


@pytest.mark.parametrize(
    "name, value", [("scale", -1.0), ("min_size", 0), ("sigma", float("nan")), ("max_side", 0)]
)
def test_felzenszwalb_says_what_is_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} of felzenszwalb must .*, got {value}"):
        Felzenszwalb(**{name: value})
