"""Tests for detcon.downstream.tasks.depth.data, and labelled crops of depth."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from detcon.data.colour import apply_colour
from detcon.data.labelled.crops import LabelledCrops, batches, join_maps
from detcon.data.labelled.examples import Examples, LabelError
from detcon.data.labelled.window import draw_window
from detcon.downstream.tasks.depth.data import check_measured, cut_depth, depth_split
from detcon.downstream.tasks.depth.recipe import NYU_COLOUR
from detcon.formats.folder.depth import open_depth_folder


@dataclass(frozen=True)
class Ramps:
    """Photos whose grey values are their depth, in patches of 6 pixels; in metres, up to 2.5."""

    holes: bool = False
    keys: tuple[str, ...] = ("a", "b", "c")

    def photo(self, key, channels=3):
        rng = np.random.default_rng(ord(key))
        grey = np.kron(rng.integers(1, 250, (4, 5)), np.ones((6, 6))).astype(np.uint8)
        return np.repeat(grey[..., None], channels, -1)

    def depth(self, key):
        depth = self.photo(key)[..., 0] / 100
        if self.holes:
            depth[0, :5] = (np.nan, np.inf, -np.inf, -1, 0)
        return depth


@dataclass(frozen=True)
class Odd(Ramps):
    def depth(self, key):
        return np.ones((24, 29))


@dataclass(frozen=True)
class Empty(Ramps):
    def depth(self, key):
        return np.zeros((24, 30))


PLAIN = NYU_COLOUR.model_copy(update={"jitter": 0.0, "grey": 0.0})


def crops(maps=Ramps(), seed=0, colour=NYU_COLOUR, fill=(124, 116, 104), **options):
    given = {"size": (16, 20), "scale": (1.0, 1.0), "flip": 0.5} | options
    draw = functools.partial(draw_window, **given)
    examples = Examples(depth_split(maps, "train of data"), range(3))
    return LabelledCrops(examples, seed, draw, cut_depth, join_maps, fill, colour)


@given(st.integers(0, 99), st.integers(8, 40), st.integers(8, 40))
@settings(max_examples=50, deadline=None)
def test_photo_and_depth_cannot_be_cut_apart(epoch, height, width):
    """A photo twice as large shows things half as far away, pixel by pixel."""
    where = crops(size=(height, width), scale=(0.6, 1.7), fill=(0, 0, 0))
    batch = where.batch([(epoch, 1)])
    grey, depth = batch.images[0, 0].double(), batch.labels[0].double()
    assert not grey[depth.isnan()].any()
    factor = np.random.default_rng(np.random.SeedSequence([0, epoch, 1])).uniform(0.6, 1.7)
    same = (grey - 100 * factor * depth.nan_to_num(0)).abs() < 2
    assert same.double().mean() > 0.5 and same[depth.isnan()].all()  # others are edges of patches


def test_the_middle_is_cut_where_asked_for():
    batch = crops(size=(12, 10), place="centre", flip=0.0).batch([(0, 0)])
    assert np.array_equal(batch.images[0].permute(1, 2, 0), Ramps().photo("a")[6:18, 10:20])
    depth = Ramps().depth("a")[6:18, 10:20].astype(np.float32)
    assert np.array_equal(batch.labels[0].numpy(), depth)


def test_holes_stay_holes():
    depth = depth_split(Ramps(holes=True), "train").read(0).labels
    assert np.isnan(depth[0, :5]).all() and np.isfinite(depth[1:]).all()
    batch = crops(Ramps(holes=True), size=(24, 30), flip=0.0).batch([(0, 0)])
    assert batch.labels.isnan().sum() == 5


def test_colours_of_the_protocol():
    """BYOL, appendix D.6: brightness to 0.1255, saturation 0.5 to 1.5, hue 0.2, 30 % grey."""
    drawn = crops().batch([(epoch, 0) for epoch in range(600)]).colour
    brightness, contrast, saturation, hue = drawn[:, :4].T
    assert 0.12 < brightness.abs().max() <= 0.1255
    assert (contrast == 1).all() and 0.19 < hue.abs().max() <= 0.2
    assert 0.5 <= saturation.min() < 0.52 and 1.48 < saturation.max() <= 1.5
    assert sorted(drawn[0, 4:8].tolist()) == [-1, 0, 2, 3]  # all but the contrast
    assert 0.25 < drawn[:, 8].mean() < 0.35 and not drawn[:, 9:].any()


def test_no_change_of_colour_normalises_alone():
    batch = crops(colour=PLAIN).batch([(0, 0)])
    found = apply_colour(batch.images, batch.colour, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    mean = torch.tensor([0.5, 0.4, 0.3])[:, None, None]
    torch.testing.assert_close(found, (batch.images / 255 - mean) / 0.2)


def same(one, other):
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("images", "colour", "index")
    ) and torch.equal(one.labels.nan_to_num(-1), other.labels.nan_to_num(-1))


def take(where, **options):
    defaults = {"batch_size": 4, "first_step": 0, "num_steps": 4}
    return list(batches(where, **(defaults | options)))


def test_batches_depend_on_the_seed_and_the_step_alone():
    whole = take(crops())
    assert whole[0].images.shape == (4, 3, 16, 20) and whole[0].labels.shape == (4, 16, 20)
    for others, rest in ((take(crops(), first_step=2), whole[2:]), (take(crops()), whole)):
        assert all(same(a, b) for a, b in zip(others, rest, strict=True))
    assert not same(take(crops(seed=1))[0], whole[0])


def test_photos_and_depth_shrink_alike_unless_depth_is_to_be_judged():
    small = depth_split(Ramps(), "train", max_side=15).read(0)
    assert small.image.shape == (12, 15, 3) and small.labels.shape == (12, 15)
    assert set(np.unique(small.labels)) <= set(np.unique(Ramps().depth("a").astype(np.float32)))
    whole = depth_split(Ramps(), "val", max_side=15, whole=True).read(0)
    assert whole.image.shape == (12, 15, 3) and whole.labels.shape == (24, 30)


def test_a_depth_map_of_another_size():
    message = (
        r"^the depth map of a in train of d is 24 x 29 pixels, but its photo is 24 x 30 pixels "
        r"\(upright\); a depth map must have exactly the photo's size$"
    )
    with pytest.raises(LabelError, match=message):
        depth_split(Odd(), "train of d").read(0)


def test_a_depth_png_of_another_size(tmp_path):
    wide, narrow = np.zeros((4, 6, 3), np.uint8), np.full((4, 5), 900, np.uint16)
    for part, pixels in (("images", wide), ("depth", narrow)):
        (tmp_path / "train" / part).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "train" / part / "a.png"), pixels)
    message = r"the depth map of a\.png in train is 4 x 5 pixels, but its photo is 4 x 6 pixels"
    with pytest.raises(LabelError, match=message):
        depth_split(open_depth_folder(tmp_path, "train"), "train").read(0)


def test_no_depth_at_all():
    message = r"^no pixel of the depth maps of all 3 validation photos was .*; check the files$"
    with pytest.raises(LabelError, match=message):
        check_measured(Examples(depth_split(Empty(), "val of d"), range(3)), "validation")
    check_measured(Examples(depth_split(Ramps(holes=True), "val of d"), range(3)), "validation")
