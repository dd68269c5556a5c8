"""Tests for detcon.downstream.tasks.detection.data, and windows over photos with objects."""

import functools
import math
import pickle

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from shapes import Shapes, objects_of

from detcon.data.labelled.crops import LabelledCrops
from detcon.data.labelled.examples import Examples
from detcon.data.labelled.window import Window, draw_window, fitted
from detcon.downstream.tasks.detection.data import cut_objects, join_objects, object_split

FILL = (1, 2, 3)


def draw(rng, photo, size, scale):
    return draw_window(rng, photo, size=(size, size), scale=scale, flip=0.5, fit=True)


def found_in(window, boxes, masks=None, size=(40, 60), **options):
    """The objects that are learnt from a photo."""
    classes = options.pop("classes", [0] * len(boxes))
    objects = objects_of(size, boxes, classes, masks, **options)
    return cut_objects(objects, window, masks=masks is not None)


@st.composite
def windows(choose):
    photo = choose(st.tuples(st.integers(8, 50), st.integers(8, 50)))
    seed = choose(st.integers(0, 9999))
    rng = np.random.default_rng(seed)
    return draw(rng, photo, 32, (0.5, 2.0))


@given(windows(), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_photo_boxes_and_masks_stay_together(window, seed):
    """A photo of one bright rectangle: the square shows it where box and mask say it is."""
    rng, (height, width) = np.random.default_rng(seed), window.photo
    top, left = rng.integers(0, height - 3), rng.integers(0, width - 3)
    bottom, right = rng.integers(top + 3, height + 1), rng.integers(left + 3, width + 1)
    mask = np.zeros(window.photo, np.uint8)
    mask[top:bottom, left:right] = 1
    box = [left, top, right, bottom]
    photo = np.repeat(mask[..., None] * 255, 3, 2)
    part = cut_objects(objects_of(window.photo, [box], [1], [mask]), window, masks=True)
    shown = window.cut_photo(photo, (0, 0, 0))[..., 0] > 127
    if not len(part.boxes):
        assert shown.sum() <= 2 * 32  # a sliver of less than a pixel, smoothed
        return
    (square,), (found,) = part.masks.numpy() > 0, part.boxes.numpy()
    assert part.classes.tolist() == [1]
    near = np.ones((2 * math.ceil(max(2, window.factor) / 2) + 1,) * 2)  # corners are smoothed
    edge = cv2.dilate(square.astype(np.uint8), near) - cv2.erode(
        square.astype(np.uint8), near, borderType=cv2.BORDER_REPLICATE
    )
    assert (shown != square)[edge == 0].sum() <= 8  # a sliver along the window's edge
    ys, xs = np.nonzero(square)
    tight = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    assert abs(tight - found).max() <= 1


def test_scaling_and_place_are_those_of_the_protocol():
    rng = np.random.default_rng(0)
    drawn = [draw(rng, (40, 80), 64, (0.8, 1.25)) for _ in range(400)]
    longest = np.array([max(one.scaled) for one in drawn]) / 64
    assert 0.79 < longest.min() < 0.81 and 1.24 < longest.max() <= 1.25  # whole pixels
    assert abs(longest.mean() - 1.025) < 0.02
    assert all(abs(one.scaled[0] - one.scaled[1] / 2) <= 0.5 for one in drawn)
    assert 0.4 < np.mean([one.mirrored for one in drawn]) < 0.6
    larger = [one for one in drawn if one.scaled[1] == 80]
    assert {one.left for one in larger} <= set(range(17)) and all(one.top <= 0 for one in drawn)


def test_what_lies_around_a_small_photo_is_filled():
    window = Window((16, 16), (8, 8), 1.0, (8, 8), top=-3, left=-5)
    square = window.cut_photo(np.full((8, 8, 3), 9, np.uint8), FILL)
    assert (square[3:11, 5:13] == 9).all()
    square[3:11, 5:13] = FILL
    assert (square == FILL).all()


def test_whole_photos_and_back():
    window = fitted((40, 80), (64, 64))
    assert (window.scaled, window.top, window.left, window.mirrored) == ((32, 64), 0, 0, False)
    boxes = np.array([[10, 5, 30, 40]], np.float32)
    np.testing.assert_allclose(window.cut_boxes(boxes), boxes * 0.8)
    np.testing.assert_allclose(window.boxes_back(window.cut_boxes(boxes)), boxes, rtol=1e-6)
    outside = window.boxes_back(np.array([[60.0, 40, 70, 60]]))  # in the margin
    assert outside.tolist() == [[75, 40, 80, 40]]


def test_what_is_not_learnt():
    """Crowds, boxes outside the photo or without area, and what the window leaves nothing of."""
    boxes = [[5, 5, 20, 20], [0, 0, 30, 30], [-30, -9, -2, -1], [9, 9, 9, 30], [39, 9, 60, 30]]
    window = Window((32, 32), (40, 60), 1.0, (40, 60), left=7)
    found = found_in(window, boxes, crowd=[False, True, False, False, False])
    assert found.boxes.tolist() == [[0, 5, 13, 20]]
    assert found.masks is None and join_objects([found]).masks == ()
    corner = np.zeros((40, 60))
    corner[39, 0] = 1  # of the mask, nothing is in the window, though the box is
    found = found_in(window, [[0, 0, 40, 40]], [corner])
    assert found.boxes.shape == (0, 4) and found.masks.shape == (0, 32, 32)
    assert found.classes.dtype == torch.int64


def test_a_photo_without_objects_is_background():
    found = found_in(fitted((40, 60), (64, 64)), [], [])
    assert found.boxes.shape == (0, 4) and found.masks.shape == (0, 64, 64)


def test_crops_come_from_seed_epoch_and_number():
    examples = Examples(object_split(Shapes(6, 0)), range(6))
    drawn = functools.partial(draw, size=64, scale=(0.8, 1.25))
    cut = functools.partial(cut_objects, masks=True)
    crops = LabelledCrops(examples, 3, drawn, cut, join_objects)
    again = pickle.loads(pickle.dumps(crops))
    one, other = crops.batch([(1, 4), (0, 2)]), again.batch([(1, 4), (0, 2)])
    assert torch.equal(one.images, other.images) and one.index.tolist() == [4, 2]
    assert all(torch.equal(a, b) for a, b in zip(one.labels.masks, other.labels.masks, strict=True))
    assert [len(boxes) for boxes in one.labels.boxes] == [len(m) for m in one.labels.masks]
    assert not torch.equal(one.images, crops.batch([(2, 4), (0, 2)]).images)
    assert one.to("cpu").images is not None and one.images.shape == (2, 3, 64, 64)


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels):
    photo = np.full((8, 8, channels), 7, np.uint8)
    square = Window((16, 16), (8, 8), 2.0, (16, 16)).cut_photo(photo, (0,) * channels)
    assert square.shape == (16, 16, channels) and (square == 7).all()
