"""Pixel for pixel scikit-image's segments, numbers included."""

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from skimage.segmentation import felzenszwalb

from detcon.masks.sources import graph_segments as module
from detcon.masks.sources.graph_segments import segment_photo

SETTINGS = [(1000.0, 1000), (300.0, 300), (100.0, 20), (1000.0, 50), (1.0, 1)]
LEVELS = [range(256), [0, 255], [0, 90, 200], [100, 101, 102], [7]]


def oracle(image, scale, min_size, sigma=0.8):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it wonders at more than 3 channels
        return felzenszwalb(image, scale=scale, sigma=sigma, min_size=min_size)


def assert_equal(image, pairs, sigma=0.8):
    for pair, found in zip(pairs, segment_photo(image, pairs, sigma=sigma), strict=True):
        assert np.array_equal(found, oracle(image, *pair, sigma)), pair


def natural(height, width, channels=3, seed=0):
    """Shapes on smooth noise."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, channels), np.float32)
    for c in range(channels):
        for blur, strength in ((height / 9, 60), (height / 40, 30), (0.7, 6)):
            noise = rng.normal(size=(height, width)).astype(np.float32)
            noise = cv2.GaussianBlur(noise, (0, 0), blur)
            image[..., c] += 128 / 3 + strength * noise / noise.std()
    for _ in range(9):
        y, x = rng.integers(height), rng.integers(width)
        image[y : y + height // 4, x : x + width // 5] += rng.uniform(-90, 90, channels)
    return image.clip(0, 255).astype(np.uint8)


@st.composite
def images(draw, most=24):
    """Any shape; few levels make many links of one cost."""
    shape = draw(st.tuples(st.integers(1, most), st.integers(1, most), st.integers(1, 5)))
    if draw(st.booleans()):
        return draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 3, 90, 200])))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    return rng.choice(np.array(draw(st.sampled_from(LEVELS)), np.uint8), shape)


@given(
    image=images(),
    scale=st.sampled_from([0.0, 1e-9, 0.01, 1.0, 30.0, 1000.0]) | st.floats(0, 2000),
    min_size=st.integers(1, 60),
    sigma=st.sampled_from([0.0, 0.5, 0.8, 3.0, 20.0]) | st.floats(0, 5),
)
@settings(max_examples=300, deadline=None)
def test_any_image(image, scale, min_size, sigma):
    assert_equal(image, [(scale, min_size)], sigma)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7, 8, 9, 17, 140])
def test_any_number_of_channels(channels):
    assert_equal(natural(40, 50, channels), [(300.0, 30), (1.0, 1)])


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 300), (300, 1), (3, 99)])
def test_narrow_images(size):
    assert_equal(natural(300, 300)[: size[0], : size[1]], SETTINGS)


@pytest.mark.parametrize(
    ("size", "seed"), [((120, 160), 0), ((120, 160), 1), ((375, 500), 0), ((480, 360), 1)]
)
def test_natural_images(size, seed):
    assert_equal(natural(*size, seed=seed), SETTINGS)


@pytest.mark.parametrize("levels", LEVELS, ids=["noise", "binary", "three", "near", "constant"])
@pytest.mark.parametrize("sigma", [0.0, 0.8])
def test_links_of_one_cost_are_taken_in_the_order_of_scikit_image(levels, sigma):
    image = np.random.default_rng(1).choice(np.array(levels, np.uint8), (90, 110, 3))
    assert_equal(image, SETTINGS, sigma)
    assert_equal(np.repeat(np.repeat(image, 3, 0), 2, 1), SETTINGS, sigma)


@pytest.mark.parametrize("sigma", [0.0, 0.8])
def test_checkerboards_and_ramps(sigma):
    y, x = np.mgrid[:64, :90]
    for picture in ((y + x) % 2 * 255, (y // 8 + x // 8) % 2 * 99, 2 * x, y + x):
        assert_equal(picture[..., None].astype(np.uint8).repeat(3, 2), SETTINGS, sigma)


def test_a_scale_that_single_precision_loses():
    """A merged segment's limit is then no more than the cost it merged at, and order matters."""
    few = np.random.default_rng(0).choice(np.array([0, 1], np.uint8), (30, 40, 1), p=[0.9, 0.1])
    for image in (few, 0 * few):
        assert_equal(image, [(255 * 2.0**e, m) for e in (-149, -147, -140) for m in (1, 9)], 0.0)


def test_more_than_255_segments():
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    assert_equal(image, [(1.0, 1)], 0.0)
    assert segment_photo(image, [(1.0, 1)], sigma=0.0)[0].max() > 255


def test_many_settings_are_each_alone():
    image = natural(90, 120)
    together = segment_photo(image, SETTINGS)
    for pair, found in zip(SETTINGS, together, strict=True):
        assert np.array_equal(found, segment_photo(image, [pair])[0])
    assert segment_photo(image, []) == []


def test_a_view_of_another_array():
    image = natural(90, 120)
    for view in (image[::-1, ::-1], image[5:, 7:, ::-1], image.transpose(1, 0, 2)):
        assert_equal(view, SETTINGS[:2])


def test_from_several_threads():
    photos = [natural(60, 80, seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda photo: segment_photo(photo, SETTINGS), photos))
    for photo, maps in zip(photos, found, strict=True):
        expected = segment_photo(photo, SETTINGS)
        assert all(np.array_equal(a, b) for a, b in zip(maps, expected, strict=True))


def test_all_links_are_sorted_only_where_ties_could_tell(monkeypatch):
    sorts = []
    order = module._order
    monkeypatch.setattr(module, "_order", lambda costs: sorts.append(costs) or order(costs))
    segment_photo(natural(120, 160), [(1000.0, 1000)])
    assert not sorts
    noise = np.random.default_rng(0).choice(np.uint8([0, 9]), (60, 80, 3))
    segment_photo(noise, [(1.0, 30)], sigma=0.0)
    assert sorts


def test_scikit_image_isnt_imported():
    code = (
        "import sys, numpy as np; from detcon.masks.sources import Felzenszwalb; "
        "Felzenszwalb()(np.zeros((9, 9, 3), np.uint8)); print('skimage' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
