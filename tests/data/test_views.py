"""Tests for detcon.data.views, cut and regions."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

from detcon.config import RecipeError, load_recipe
from detcon.data.cut import Cut, draw_cut
from detcon.data.recipe import DETCON_S_COLOUR, ViewsRecipe
from detcon.data.regions import region_weights
from detcon.masks.masks import Masks

seeds = st.integers(0, 2**31)


def blocks(rng, size, num=5):
    """Ids of a photo in large patches: the nearest of a few random points."""
    centres = rng.uniform(0, 1, (num, 2)) * size
    places = np.moveaxis(np.indices(size), 0, -1)
    return ((places[:, :, None] - centres) ** 2).sum(-1).argmin(-1)


def away_from_boundaries(labels, pixels):
    side = 2 * pixels + 1
    return maximum_filter(labels, side) == minimum_filter(labels, side)


@pytest.mark.parametrize("resize", ["area", "official"])
def test_photo_and_masks_are_never_cut_apart(resize):
    """A picture whose pixels are its mask ids stays so, for 200 cuts with flips and sizes.

    Three pixels from any boundary: of the photo where the cut enlarges, of the view where it
    shrinks, whichever are larger.
    """
    checked = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        photo_size = tuple(int(n) for n in rng.integers(60, 400, 2))
        size = int(rng.choice([32, 64, 96, 160]))
        ids = blocks(rng, photo_size)
        photo = np.repeat((ids * 50).astype(np.uint8)[..., None], 3, -1)
        cut = draw_cut(rng, photo_size, ViewsRecipe(size=size))
        image, labels = cut.image(photo, size, resize), cut.labels(ids, photo_size, size)
        margin = math.ceil(3 * max(1, cut.height / size, cut.width / size))
        far = cut.labels(away_from_boundaries(ids, margin).astype(int), photo_size, size) == 1
        assert np.array_equal(image[far], np.repeat(labels[far][:, None] * 50, 3, -1)), seed
        checked += far.mean() / 200
    assert checked > 0.5


@pytest.mark.parametrize("resize", ["area", "official"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [24, 64, 160])
def test_photo_and_map_lie_on_each_other_to_a_tenth_of_a_pixel(resize, flip, size):
    """On a ramp, the mean of value minus id shows any shift, as of half a pixel."""
    rows, columns = np.indices((150, 200))
    photo = np.stack([columns, rows, rows], -1).astype(np.uint8)
    cut = Cut(11, 17, 101, 131, flip)
    image = cut.image(photo, size, resize).astype(float)
    for channel, ramp in ((0, columns), (1, rows)):
        inside = np.s_[2:-2, 2:-2]
        shift = (image[..., channel] - cut.labels(ramp, (150, 200), size))[inside]
        assert abs(shift).max() <= 1.5
        assert abs(shift.mean()) < 0.1


@pytest.mark.parametrize("factor", [2, 3])
def test_a_smaller_map_gives_the_same_view_away_from_boundaries(factor):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        ids = blocks(rng, (120, 180))
        small = ids[factor // 2 :: factor, factor // 2 :: factor]
        cut = draw_cut(rng, ids.shape, ViewsRecipe())
        far = away_from_boundaries(ids, factor).astype(int)
        one, two, far = (cut.labels(labels, ids.shape, 64) for labels in (ids, small, far))
        assert np.array_equal(one[far == 1], two[far == 1])
        assert far.mean() > 0.5


def slow_labels(cut, labels, photo_size, size):
    """Each of the view's pixels looks up the map under its centre, in fractions."""
    out = np.empty((size, size), labels.dtype)
    for i in range(size):
        for j in range(size):
            y = (cut.top + (i + 0.5) * cut.height / size) / photo_size[0]
            x = (cut.left + (j + 0.5) * cut.width / size) / photo_size[1]
            row, column = int(y * labels.shape[0] + 1e-9), int(x * labels.shape[1] + 1e-9)
            out[i, size - 1 - j if cut.flip else j] = labels[row, column]
    return out


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_the_views_map_is_the_nearest_by_half_pixel_centres(seed):
    rng = np.random.default_rng(seed)
    photo_size = tuple(int(n) for n in rng.integers(1, 40, 2))
    labels = rng.integers(-1, 9, rng.integers(1, 40, 2))
    cut = draw_cut(rng, photo_size, ViewsRecipe())
    expected = slow_labels(cut, labels, photo_size, 12)
    assert np.array_equal(cut.labels(labels, photo_size, 12), expected)


def slow_regions(stack, none, grid, pooling, min_cells):
    """The weights of every mask that is present: one cell, one mask, one pixel at a time."""
    (h, w), (k, y, x) = grid, stack.shape
    cells = stack.reshape(k, h, y // h, w, x // w)
    share = cells.mean((2, 4))
    if pooling == "soft":
        return {i: share[i] for i in range(k) if share[i].sum() >= min_cells - 1e-9}
    if none is None:
        won = share >= 0.5
    else:
        votes = np.concatenate([none.reshape(1, h, y // h, w, x // w).mean((2, 4)), share])
        won = votes.argmax(0) == np.arange(1, k + 1)[:, None, None]
    return {i: won[i].astype(float) for i in range(k) if won[i].any()}


def check(ids, weights, expected, grid):
    if not expected:
        assert (ids == -1).all()
        assert (weights == 1).all()
        return
    assert set(ids.tolist()) <= set(expected)
    for one, weight in zip(ids.tolist(), weights, strict=True):
        np.testing.assert_allclose(weight, expected[one], atol=1e-6)


@st.composite
def options(draw):
    grid = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size = grid[0] * draw(st.integers(1, 5)), grid[1] * draw(st.integers(1, 5))
    pooling = draw(st.sampled_from(["hard", "soft"]))
    min_cells = draw(st.sampled_from([0.25, 0.5, 1.0, 2.0]))
    return grid, size, pooling, min_cells, np.random.default_rng(draw(seeds))


@given(options())
@settings(max_examples=200, deadline=None)
def test_disjoint_masks_equal_a_slow_reference(case):
    grid, size, pooling, min_cells, rng = case
    labels = rng.integers(-1, int(rng.integers(1, 5)), size)
    ids, weights = region_weights(
        labels, None, grid, rng=rng, pooling=pooling, min_cells=min_cells, num_regions=40
    )
    stack = labels == np.arange(5)[:, None, None]
    check(ids, weights, slow_regions(stack, labels == -1, grid, pooling, min_cells), grid)


@given(options())
@settings(max_examples=200, deadline=None)
def test_overlapping_masks_equal_a_slow_reference(case):
    grid, size, pooling, min_cells, rng = case
    stack = rng.random((4, *size)) < rng.uniform(0, 1, (4, 1, 1))
    masks = Masks.from_stack(stack)
    ids, weights = region_weights(
        masks.patterns,
        masks.membership,
        grid,
        rng=rng,
        pooling=pooling,
        min_cells=min_cells,
        num_regions=40,
    )
    check(ids, weights, slow_regions(stack, None, grid, pooling, min_cells), grid)


@given(seeds, st.sampled_from(["hard", "soft"]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_an_absent_mask_is_never_sampled(seed, pooling, overlapping):
    rng = np.random.default_rng(seed)
    labels = blocks(rng, (60, 80), num=12) - 1
    stack = labels == np.arange(11)[:, None, None]
    masks = Masks.from_stack(stack) if overlapping else Masks.from_labels(labels)
    cut = draw_cut(rng, masks.size, ViewsRecipe())
    ids, weights = cut.weights(masks, masks.size, 32, (4, 4), rng=rng, pooling=pooling)
    seen = cut.labels(labels, masks.size, 32)
    for one, weight in zip(ids.tolist(), weights, strict=True):
        assert one in seen
        assert weight.sum() > 0


def test_present_masks_are_equally_likely_whatever_their_size():
    labels = np.repeat([0, 1, 1, 1, 1, 1, 2, 3], 8)[None].repeat(8, 0)
    rng = np.random.default_rng(0)
    ids, _ = region_weights(labels, None, (1, 8), rng=rng, num_regions=40_000)
    assert np.bincount(ids) == pytest.approx([10_000] * 4, abs=450)


def test_the_weights_are_pooled_from_the_cut_itself():
    """Hard weights say where the shrunk map of the view has the id."""
    rng = np.random.default_rng(0)
    labels = blocks(rng, (90, 70))
    cut = draw_cut(rng, labels.shape, ViewsRecipe())
    ids, weights = cut.weights(Masks.from_labels(labels), labels.shape, 32, (4, 4), rng=rng)
    cells = cut.labels(labels, labels.shape, 32).reshape(4, 8, 4, 8).swapaxes(1, 2).reshape(16, 64)
    winner = np.array([np.bincount(cell).argmax() for cell in cells]).reshape(4, 4)
    assert np.array_equal(weights, winner == ids[:, None, None])


@given(seeds, st.sampled_from(["hard", "soft"]))
@settings(max_examples=50, deadline=None)
def test_renaming_masks_renames_the_regions_and_nothing_else(seed, pooling):
    labels = blocks(np.random.default_rng(seed), (32, 32)) - 1
    names = np.array([-1, 7, 300, 70_000, 2**24])  # in order, so that ties stay where they are
    one, two = (
        region_weights(x, None, (4, 4), rng=np.random.default_rng(1), pooling=pooling)
        for x in (labels, names[labels + 1])
    )
    assert np.array_equal(names[one[0] + 1], two[0])
    assert np.array_equal(one[1], two[1])


def test_no_mask_votes_like_any_other():
    labels = np.array([[-1, -1, 0, -1], [-1, 0, 0, 0]])
    rng = np.random.default_rng(0)
    ids, weights = region_weights(labels, None, (1, 2), rng=rng, num_regions=1)
    assert ids.tolist() == [0]
    assert weights.tolist() == [[[0, 1]]]


@pytest.mark.parametrize("pooling", ["hard", "soft"])
def test_a_view_without_masks_is_pooled_whole(pooling):
    nothing = np.full((4, 4), -1)
    rng = np.random.default_rng(0)
    ids, weights = region_weights(nothing, None, (2, 2), rng=rng, num_regions=3, pooling=pooling)
    assert ids.tolist() == [-1, -1, -1]
    assert (weights == np.ones((3, 2, 2))).all()


def test_a_sliver_is_absent_in_soft_pooling():
    labels = np.zeros((8, 8), int)
    labels[0, :7] = 1  # 7 of the 16 pixels of a cell: less than half a cell
    drawn = [
        set(region_weights(labels, None, (2, 2), rng=rng, pooling="soft", min_cells=least)[0])
        for rng, least in ((np.random.default_rng(0), 0.5), (np.random.default_rng(0), 7 / 16))
    ]
    assert drawn == [{0}, {0, 1}]


def test_statistics_of_cuts():
    recipe, size = ViewsRecipe(), (300, 400)
    rng = np.random.default_rng(0)
    cuts = [draw_cut(rng, size, recipe) for _ in range(4000)]
    area = np.array([cut.height * cut.width / (300 * 400) for cut in cuts])
    aspect = np.array([cut.width / cut.height for cut in cuts])
    assert np.mean([cut.flip for cut in cuts]) == pytest.approx(0.5, abs=0.03)
    assert area.min() >= 0.078
    assert area.max() <= 1
    # uniform up to where clipping begins: with an aspect of 3/4, height 300 is reached at 0.5625
    assert np.mean(area < 0.54) == pytest.approx((0.54 - 0.08) / 0.92, abs=0.03)
    small = area < 0.54
    logs = np.log(aspect[small]) / np.log(4 / 3)
    assert logs.mean() == pytest.approx(0, abs=0.05)
    assert logs.std() == pytest.approx(1 / 3**0.5, abs=0.03)
    assert abs(logs).max() < 1.03
    assert all(0 <= c.top <= 300 - c.height and 0 <= c.left <= 400 - c.width for c in cuts)
    assert any(c.height == 300 for c in cuts), "clipped to the photo, not drawn again"
    spots = np.array([c.left / (400 - c.width) for c in cuts if c.width < 390])
    assert spots.mean() == pytest.approx(0.5, abs=0.03)


@given(seeds, st.integers(1, 5), st.integers(1, 500))
@settings(max_examples=100, deadline=None)
def test_a_cut_of_any_photo_lies_inside_it(seed, height, width):
    cut = draw_cut(np.random.default_rng(seed), (height, width), ViewsRecipe())
    assert 1 <= cut.height <= height - cut.top
    assert 1 <= cut.width <= width - cut.left
    photo = np.zeros((height, width, 3), np.uint8)
    assert cut.image(photo, 16).shape == (16, 16, 3)


def test_flipping_mirrors_photo_and_map():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    plain, mirrored = (Cut(2, 3, 16, 16, flip) for flip in (False, True))
    assert np.array_equal(plain.image(photo, 16)[:, ::-1], mirrored.image(photo, 16))
    labels = photo[..., 0].astype(int)
    one, two = (cut.labels(labels, (20, 30), 16) for cut in (plain, mirrored))
    assert np.array_equal(one[:, ::-1], two)


def cubic_matrix(num_in, num_out, a):
    """Bicubic interpolation at half-pixel centres, edges repeated, as a matrix."""
    matrix = np.zeros((num_out, num_in))
    for i in range(num_out):
        centre = (i + 0.5) * num_in / num_out - 0.5
        for j in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            x = abs(centre - j)
            near, far = (
                ((a + 2) * x - (a + 3)) * x * x + 1,
                ((a * x - 5 * a) * x + 8 * a) * x - 4 * a,
            )
            matrix[i, min(max(j, 0), num_in - 1)] += near if x < 1 else far
    return matrix


@pytest.mark.parametrize("size", [16, 48])
def test_the_official_resize_is_opencvs_bicubic(size):
    """What the docstring says of OpenCV: a = -0.75, half-pixel centres, edges repeated."""
    photo = np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8)
    view = Cut(0, 0, 40, 24, False).image(photo, size, "official")
    down, across = cubic_matrix(40, size, -0.75), cubic_matrix(24, size, -0.75)
    expected = np.einsum("iy,yxc,jx->ijc", down, photo.astype(float), across).clip(0, 255)
    assert abs(view - expected).max() < 1


def test_area_averages_when_shrinking_more_than_twice():
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    means = photo.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert abs(Cut(0, 0, 64, 64, False).image(photo, 16) - means).max() <= 0.5
    twice = Cut(0, 0, 32, 32, False)
    assert np.array_equal(twice.image(photo, 16, "area"), twice.image(photo, 16, "official"))


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ({"area": (0.5, 0.1)}, r"'area' cannot be \[0.5, 0.1\]: give the least, above 0, and then"),
        ({"area": (0.1, 1.5)}, "a view cannot be larger than its photo"),
        ({"flip": 1.5}, "'flip' cannot be 1.5: input should be less than or equal to 1"),
        ({"colour": "detcon_x"}, "known colours are detcon_b, detcon_s, none"),
        ({"resise": "area"}, "there is no setting 'resise'; did you mean 'resize'"),
    ],
)
def test_says_what_a_recipe_cannot_be(override, text):
    with pytest.raises(RecipeError, match=text):
        load_recipe(ViewsRecipe, None, override)


def test_colours_by_name():
    assert load_recipe(ViewsRecipe, None, {"colour": "detcon_s"}).colour == DETCON_S_COLOUR


def test_views_are_contiguous_rgb_bytes():
    photo = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    view = Cut(1, 1, 20, 20, True).image(photo, 32)
    assert view.dtype == np.uint8
    assert np.array_equal(view, cv2.flip(Cut(1, 1, 20, 20, False).image(photo, 32), 1))
