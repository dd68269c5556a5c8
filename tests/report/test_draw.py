"""Tests for detcon.report.draw, .views and .figures."""

import base64

import cv2
import numpy as np
import pytest
import scipy.signal
from hypothesis import example, given, settings, strategies as st

from detcon.data.recipe import ViewsRecipe
from detcon.masks import Masks
from detcon.report import figures
from detcon.report.draw import (
    COLOURS,
    data_uri,
    features_as_rgb,
    frame_cuts,
    mask_colours,
    number_regions,
    paint_masks,
    paint_regions,
    scale_to,
)
from detcon.report.figures import looks, moving_average, plot_curves, thinned
from detcon.report.plots import COLLAPSE, QUALITY
from detcon.report.views import draw_views, paint_views
from detcon.results.difference import RANDOM

RNG = np.random.default_rng(0)


def photo(size=(60, 80)):
    return RNG.integers(0, 256, (*size, 3)).astype(np.uint8)


def test_long_curves_stay_small_and_keep_their_extremes():
    values = RNG.normal(size=10_000).tolist()
    steps, kept = thinned(range(10_000), values)
    assert len(kept) <= 800 and min(kept) == min(values) and max(kept) == max(values)
    assert kept == [values[step] for step in steps] and steps == sorted(set(steps))
    address = plot_curves({"a": (range(10_000), values)}, looks(["a"]), label="x")
    assert len(address) < 100_000, "a page has a dozen of them for each run"


@given(st.integers(0, 2**31))
@example(12949)  # where large masks first, each in turn, would need eight colours
@settings(max_examples=25, deadline=None)
def test_masks_that_touch_differ_in_colour(seed):
    """Four colours suffice for any map in the plane; in this order, six always do."""
    rng = np.random.default_rng(seed)
    points = rng.random((12, 2)) * 40
    place = np.stack(np.mgrid[:40, :40], -1)[:, :, None]
    labels = ((place - points) ** 2).sum(-1).argmin(-1)
    colours = mask_colours(Masks.from_labels(labels))
    for one, other in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        for a, b in set(zip(one.ravel().tolist(), other.ravel().tolist())):
            assert a == b or colours[a] != colours[b]


def test_renumbering_masks_keeps_every_id_a_colour():
    labels = np.array([[-1, 3], [700, 3]])
    assert set(mask_colours(Masks.from_labels(labels))) == {3, 700}


def test_what_belongs_to_no_mask_keeps_its_colours():
    labels = np.full((60, 80), -1)
    labels[20:40, 20:60] = 5
    picture = photo()
    painted = paint_masks(picture, Masks.from_labels(labels))
    changed = (painted != picture).any(-1)
    assert changed[25:35, 25:55].mean() > 0.9
    changed[15:45, 15:65] = False
    assert not changed.any(), "beyond the outline nothing changes"


def test_overlapping_masks_are_all_drawn():
    stack = np.zeros((2, 60, 80), bool)
    stack[0, 5:40, 5:40] = stack[1, 20:55, 20:75] = True
    picture = np.full((60, 80, 3), 128, np.uint8)
    painted = paint_masks(picture, Masks.from_stack(stack)).astype(int)
    inside = [painted[10, 10], painted[50, 70], painted[30, 30]]
    assert len({tuple(colour) for colour in inside}) == 3, "each alone, and both together"


@pytest.mark.parametrize("draw", [
    lambda p, r: paint_regions(p, r, COLOURS[:1]),
    lambda p, r: number_regions(p, r, ["1"]),
    lambda p, r: frame_cuts(p, [(0.0, 0.0, 1.0, 1.0), (0.2, 0.1, 0.5, 0.9)]),
])  # fmt: skip
def test_drawing_leaves_the_picture_alone(draw):
    picture = photo()
    before, region = picture.copy(), np.zeros((1, 30, 40), bool)
    region[0, 5:20, 5:20] = True
    drawn = draw(picture, region)
    assert np.array_equal(picture, before) and not np.array_equal(drawn, before)


def test_nothing_to_draw_is_no_error():
    picture, none = photo(), np.zeros((0, 60, 80), bool)
    assert np.array_equal(paint_regions(picture, none, []), picture)
    assert np.array_equal(number_regions(picture, none, []), picture)
    empty = np.zeros((1, 60, 80), bool)
    assert np.array_equal(number_regions(picture, empty, ["1"]), picture)


def test_scaling_keeps_proportions():
    assert scale_to(photo((60, 80)), 200).shape == (150, 200, 3)
    assert scale_to(photo((60, 80)), 20).shape == (15, 20, 3)


def test_a_flat_picture_survives_its_address():
    values = [[i, 20 * i, 255 - i] for i in range(12)]
    flat = np.array(values, np.uint8).reshape(3, 4, 3)
    address = data_uri(flat, photo=False)
    kind, _, coded = address.partition(",")
    assert kind == "data:image/png;base64"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(coded), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(decoded, flat)


def test_components_are_fitted_over_all_maps_together():
    """Two halves of a map get the colours that the whole gets."""
    features = RNG.normal(size=(8, 6, 10))
    (whole,), share = features_as_rgb([features])
    (left, right), same = features_as_rgb([features[:, :, :5], features[:, :, 5:]])
    assert np.array_equal(np.concatenate([left, right], 1), whole)
    assert share == pytest.approx(same) and 0 < share < 1


def test_three_dimensional_features_are_held_whole():
    mixing = RNG.normal(size=(16, 3))
    features = np.einsum("cd,dhw->chw", mixing, RNG.normal(size=(3, 5, 7)))
    assert features_as_rgb([features])[1] == pytest.approx(1)


def test_features_that_do_not_vary_are_no_error():
    pictures, share = features_as_rgb([np.ones((4, 2, 3))])
    assert pictures[0].shape == (2, 3, 3) and share == 0


def test_a_view_shows_the_masks_where_they_are():
    """A photo that is black but for one white mask: the region is where the view is white."""
    labels = np.zeros((90, 120), int)
    labels[30:70, 40:90] = 1
    white = np.repeat((labels[..., None] * 255).astype(np.uint8), 3, 2)
    plain = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "grey": 0, "blur": 0}
    recipe = ViewsRecipe.model_validate({"size": 96, "area": (0.4, 1), "colour": [plain, plain]})
    for seed in range(10):
        rng = np.random.default_rng(seed)
        views = draw_views(white, Masks.from_labels(labels), recipe, grid=(6, 6), rng=rng)
        for view in views:
            if 1 in view.ids:
                region = view.regions[view.ids.index(1)]
                assert ((view.picture[..., 0] > 127) != region).mean() < 0.02


def test_the_same_mask_has_the_same_colour_in_both_views():
    labels = np.zeros((64, 64), int)
    labels[:, 32:] = 1
    recipe = ViewsRecipe(size=64, area=(0.9, 1.0), flip=1.0)
    masks = Masks.from_labels(labels)
    rng = np.random.default_rng(0)
    views = draw_views(np.full((64, 64, 3), 128, np.uint8), masks, recipe, grid=(2, 2), rng=rng)
    assert views[0].ids == views[1].ids == (0, 1)
    colours = mask_colours(masks)
    for picture in paint_views(views, masks, side=200):
        for i, column in ((1, 1), (0, 198)):
            assert np.abs(picture[100, column].astype(int) - colours[i]).max() < 40


def test_whole_image_views_need_no_masks():
    views = draw_views(photo(), None, ViewsRecipe(size=32), grid=(1, 1), rng=RNG)
    assert views[0].ids == () and paint_views(views, None, side=64)[0].shape == (64, 64, 3)


def test_looks_differ_and_random_weights_are_grey():
    chosen = looks([RANDOM, *"abcdef"])
    assert len({look.colour for look in chosen.values()}) == 7
    assert len({(look.colour, look.dash) for look in looks("abcdefghijkl").values()}) == 13
    assert chosen[RANDOM] == looks([])[RANDOM]


def test_a_figure_is_the_same_bytes_again():
    curves = {"a": (list(range(100)), [float(i % 7) for i in range(100)])}
    one, other = (plot_curves(curves, looks("a"), label="loss (nats)") for _ in range(2))
    assert one == other and one.startswith("data:image/svg+xml;base64,")


def test_a_small_fall_of_a_rank_does_not_look_like_a_collapse(monkeypatch):
    seen = []
    monkeypatch.setattr(figures, "_address", lambda figure, key: seen.append(figure) or "")
    curves = {"a": ((0, 10), (158.0, 152.0))}
    for zero in (False, True):
        plot_curves(curves, looks("a"), label="directions", zero=zero)
    (near, _), (bottom, top) = (figure.axes[0].get_ylim() for figure in seen)
    assert near > 100 and bottom == 0 and top > 158
    assert {one.name for one in (*QUALITY, *COLLAPSE) if one.zero} == {
        "rankme", "lidar", "embedding_std", "effective_rank"
    }  # fmt: skip


def test_moving_average_of_a_line_is_the_line():
    assert moving_average([0.0, 1.0, 2.0, 3.0, 4.0], 1)[1:-1] == [1, 2, 3]
    assert moving_average([5.0], 3) == [5.0]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.integers(0, 20))
def test_moving_average_is_the_mean_of_each_window(values, width):
    windows = [values[max(0, i - width) : i + width + 1] for i in range(len(values))]
    assert moving_average(values, width) == pytest.approx([np.mean(w) for w in windows], abs=1e-9)


def test_moving_average_of_a_long_curve():
    """The work was quadratic: 25 s for these 40,000 values."""
    values = RNG.normal(size=40_000)
    found = moving_average(values.tolist(), 2_000)
    window = np.full(4_001, 1 / 4_001)
    assert np.allclose(found[2_000:-2_000], scipy.signal.fftconvolve(values, window, "valid"))


def test_halves_of_a_view_are_shown_without_an_overlap():
    masks = Masks.from_labels(np.arange(64 * 64).reshape(64, 64) // 2048)
    recipe = ViewsRecipe.model_validate({"size": 64, "area": (0.9, 1.0), "second": "halves"})
    one, two = draw_views(photo(), masks, recipe, grid=(4, 4), rng=np.random.default_rng(0))
    assert one.ids == two.ids == (0, 1) and np.array_equal(one.picture, two.picture)
    assert not (one.regions & two.regions).any() and one.regions.any((1, 2)).all()
    assert paint_views((one, two), masks, side=64)[0].shape == (64, 64, 3)
