"""Tests for detcon.data.labelled: windows, crops and the order of examples, on label maps."""

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from detcon.data.labelled.crops import LabelledCrops, batches, join_maps, order
from detcon.data.labelled.examples import Example, Examples
from detcon.data.labelled.window import draw_window
from detcon.downstream.tasks.segmentation.data import cut_labels, open_label_data

SCALE = (0.5, 2.0)
VALUES = np.array([10, 90, 170, 250], np.uint8)


def patches(rng, y=24, x=30):
    """A picture whose colours are its labels, in patches of 6 pixels."""
    labels = np.kron(rng.integers(0, 4, (y // 6, x // 6)), np.ones((6, 6))).astype(np.uint8)
    return Example("p", np.repeat(VALUES[labels][..., None], 3, -1), labels)


def random_crop(picture, rng, *, size, scale=SCALE, flip=0.5, fill=(0, 0, 0)):
    window = draw_window(rng, picture.labels.shape, size=size, scale=scale, flip=flip)
    return window.cut_photo(picture.image, fill), cut_labels(picture.labels, window)


def crops_of(examples, size, seed):
    draw = functools.partial(draw_window, size=size, scale=SCALE, flip=0.5)
    return LabelledCrops(examples, seed, draw, cut_labels, join_maps)


@given(st.integers(0, 2**32), st.integers(8, 70), st.integers(8, 70))
@settings(max_examples=100, deadline=None)
def test_photo_and_labels_cannot_be_cut_apart(seed, height, width):
    rng = np.random.default_rng(seed)
    image, labels = random_crop(patches(rng), rng, size=(height, width), fill=(0, 0, 0))
    assert image.shape == (height, width, 3) and labels.shape == (height, width)
    nearest = np.abs(image[..., :1].astype(int) - VALUES).argmin(-1)
    inside = labels != 255
    padded = np.pad(labels.astype(int), 3, constant_values=255)  # an edge may be a boundary
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7))
    flat = inside & (windows.min((-1, -2)) == windows.max((-1, -2)))
    assert np.array_equal(nearest[flat], labels[flat])
    assert not image[~inside].any()


def test_a_small_picture_lies_whole_in_the_window():
    rng = np.random.default_rng(0)
    picture = patches(rng)
    _, labels = random_crop(picture, rng, size=(60, 80), scale=(1.0, 1.0), flip=0.0)
    assert (labels != 255).sum() == picture.labels.size
    rows, columns = np.nonzero(labels != 255)
    part = labels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert np.array_equal(part, picture.labels)


def test_flips_as_often_as_asked():
    picture = patches(np.random.default_rng(1))
    rng = np.random.default_rng(0)
    flipped = [
        not np.array_equal(
            random_crop(picture, rng, size=(24, 30), scale=(1.0, 1.0), flip=0.25)[1], picture.labels
        )
        for _ in range(400)
    ]
    assert 60 < sum(flipped) < 140


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 5))
def test_every_picture_comes_once_an_epoch(num, batch_size, seed):
    steps = list(order(num, batch_size, seed, range(num)))
    places = [place for step in steps for place in step]
    assert sorted(places) == [(epoch, i) for epoch in range(batch_size) for i in range(num)]
    later = list(order(num, batch_size, seed, range(2, num)))
    assert later == steps[2:]


def take(crops, **options):
    return list(batches(crops, batch_size=4, num_steps=5, **({"first_step": 0} | options)))


def test_batches_depend_on_the_seed_and_the_step_alone(squares):
    split = open_label_data(squares).train
    crops = crops_of(Examples(split, range(6)), (16, 24), seed=3)
    whole = take(crops)
    assert whole[0].images.shape == (4, 3, 16, 24) and whole[0].labels.dtype == torch.uint8
    for others, rest in ((take(crops, first_step=2), whole[2:]), (take(crops, workers=1), whole)):
        assert all(torch.equal(a.images, b.images) for a, b in zip(others, rest, strict=True))
        assert all(torch.equal(a.labels, b.labels) for a, b in zip(others, rest, strict=True))
    halves = [take(crops, rank=rank, world=2) for rank in (0, 1)]
    for left, right, both in zip(*halves, whole, strict=True):
        assert torch.equal(torch.cat([left.images, right.images]), both.images)
    other = take(crops_of(crops.examples, (16, 24), seed=4))
    assert not torch.equal(other[0].images, whole[0].images)


def test_a_batch_that_ranks_cannot_share(squares):
    pictures = Examples(open_label_data(squares).train, range(6))
    with pytest.raises(ValueError, match="cannot divide batch_size=4 among 3 processes"):
        take(crops_of(pictures, (8, 8), seed=0), world=3)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_picture_keeps_its_sentence(squares, tmp_path, workers):
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    pictures = Examples(open_label_data(data).train, range(12), memory=0)  # read each time
    (data / "train/images/03.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^cannot read [^\n]*03\.png: the file is empty[^\n]*$"):
        take(crops_of(pictures, (8, 8), seed=0), workers=workers)
