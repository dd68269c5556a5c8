"""One photo stops all: every source takes photos of any size, down to a single pixel."""

import cv2
import numpy as np
import pytest

from detcon.masks.sources import (
    MCG,
    Clusters,
    Displaced,
    Felzenszwalb,
    FromAnnotations,
    FromCallable,
    Grid,
    MCGFull,
    SegmentAnything,
    Slic,
    WholeImage,
)

SHAPES = [(1, 1), (1, 2), (2, 1), (1, 500), (500, 1), (4, 4), (3, 40), (2, 300)]
SOURCES = {
    "whole": WholeImage,
    "grid": Grid,
    "grid_of_columns": lambda: Grid(1, 9),
    "felzenszwalb": Felzenszwalb,
    "felzenszwalb_shrunk": lambda: Felzenszwalb(max_side=3),
    "slic": Slic,
    "slic_large": lambda: Slic(max_side=None),
    "mcg": MCG,
    "mcg_large": lambda: MCG(max_side=None, pairs=20, triplets=10, quadruplets=5),
    "mcg_full": MCGFull,
    "mcg_full_of_a_scale": lambda: MCGFull(scales=(0.5,)),
}


def photo(shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def assert_masks_of(masks, shape):
    assert masks.size == shape and masks.num_masks >= 1
    assert masks.ids.tolist() == list(range(masks.num_masks)), "no gaps"
    assert masks.stack().any((1, 2)).all(), "no mask is empty"
    assert masks.at_size().patterns.shape == shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_any_size(make, shape):
    assert_masks_of(make()(photo(shape)), shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_size_of_a_network(shape, backbone):
    assert_masks_of(Clusters(backbone=backbone, side=64)(photo(shape)), shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_size_of_segment_anything(shape, tmp_path):
    pytest.importorskip("transformers")
    from test_segment_anything import save_sam

    save_sam(tmp_path)
    generate = SegmentAnything(str(tmp_path), points=2, min_rating=0.0, min_stability=0.0)
    assert_masks_of(generate(photo(shape)), shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_size_of_annotations(shape, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full(shape, 3, np.uint8))
    for generate in (FromAnnotations(str(tmp_path)), Displaced(str(tmp_path), 0.1)):
        masks = generate(photo(shape), "a.jpg")
        assert masks.size == shape and masks.ids.tolist() == [3]


def ids_of_rows(image):
    """A source of a user's own."""
    return np.repeat(np.arange(len(image))[:, None], image.shape[1], 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_size_of_a_function(shape):
    assert_masks_of(FromCallable("test_small_photos:ids_of_rows")(photo(shape)), shape)


def test_a_small_photo_has_a_grid_of_as_many_cells_as_fit():
    assert Grid(5)(photo((3, 40))).num_masks == 3 * 5
    assert Grid(5)(photo((1, 1))).labels.tolist() == [[0]]
    assert Grid(2, 3)(photo((2, 2))).labels.tolist() == [[0, 1], [2, 3]]
