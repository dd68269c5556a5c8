"""Tests for detcon.data.colour."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from detcon.data import colour as module
from detcon.data.colour import NUM_PARAMETERS, apply_colour, draw_colour
from detcon.data.recipe import DETCON_B_COLOUR, DETCON_S_COLOUR, ColourRecipe

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRONG = ColourRecipe(
    brightness=0.8, contrast=0.8, saturation=1.0, hue=0.5, grey=0.2, blur=0.7, solarize=0.3
)


def in_hsv(image, change):
    out = np.empty_like(image)
    for place in np.ndindex(image.shape[:2]):
        out[place] = colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*image[place])))
    return out


def slow_blur(image, sigma):
    """A plain separable convolution with zeros outside, one output at a time."""
    size = image.shape[0]
    radius = int(size / 10 / 2)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(image, padding)
        image = sum(tap * np.take(padded, range(t, t + size), axis) for t, tap in enumerate(taps))
    return image


def slow_apply(image, parameters):
    """dm_pix, one photo at a time, in float64, by way of HSV."""
    x = image.astype(np.float64) / 255
    amounts, order = parameters[:4].astype(np.float64), parameters[4:8].astype(int)
    grey, sigma, solarize = parameters[8:].astype(np.float64)
    for which in order:
        if which == 0:
            x = x + amounts[0]
        elif which == 1:
            mean = x.mean((0, 1))
            x = (x - mean) * amounts[1] + mean
        elif which == 2:
            x = in_hsv(x, lambda h, s, v: (h, np.clip(s * amounts[2], 0, 1), v))
        elif which == 3:
            x = in_hsv(x, lambda h, s, v: ((h + amounts[3]) % 1.0, s, v))
        x = x.clip(0, 1)
    if grey:
        x = np.repeat((x @ [0.2989, 0.5870, 0.1140])[..., None], 3, -1)
    if sigma:
        x = slow_blur(x, sigma)
    if solarize:
        x = np.where(x < 0.5, x, 1 - x)
    return (x.clip(0, 1) - MEAN) / STD


def photos(rng, num, size):
    """Noise, flat grey, pure colours and black: where saturation and hue have their corners."""
    images = rng.integers(0, 256, (num, size, size, 3), dtype=np.uint8)
    images[:, : size // 4] = images[:, : size // 4, :, :1]
    images[:, size // 4 : size // 3] = rng.choice([0, 255], images[:, size // 4 : size // 3].shape)
    images[:, -1] = 0
    return images


def both(images, parameters):
    fast = apply_colour(
        torch.from_numpy(images.transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(parameters),
        mean=MEAN,
        std=STD,
    )
    slow = np.stack([slow_apply(*pair) for pair in zip(images, parameters, strict=True)])
    return fast.numpy(), slow.transpose(0, 3, 1, 2)


@given(st.integers(0, 2**31), st.sampled_from([12, 20, 45]))
@settings(max_examples=20, deadline=None)
def test_equals_dm_pix_one_photo_at_a_time(seed, size):
    rng = np.random.default_rng(seed)
    parameters = np.stack([draw_colour(rng, STRONG) for _ in range(4)])
    fast, slow = both(photos(rng, 4, size), parameters)
    np.testing.assert_allclose(
        fast * np.array(STD)[:, None, None], slow * np.array(STD)[:, None, None], atol=1e-5
    )


@pytest.mark.parametrize("which", range(4))
def test_each_operation_alone(which):
    rng = np.random.default_rng(which)
    parameters = np.stack([draw_colour(rng, STRONG) for _ in range(8)])
    parameters[:, 4:] = 0
    parameters[:, 4:8] = (which, -1, -1, -1)
    fast, slow = both(photos(rng, 8, 16), parameters)
    np.testing.assert_allclose(fast, slow, atol=4e-5)


@given(
    st.integers(0, 2**31),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([STRONG, *DETCON_B_COLOUR]),
)
@settings(max_examples=60, deadline=None)
def test_what_a_cpu_does_is_what_other_devices_do(seed, size, recipe):
    """Of any size, with any amounts, in any order, each of the operations or only some."""
    rng = np.random.default_rng(seed)
    parameters = np.stack([draw_colour(rng, recipe) for _ in range(6)])
    parameters[:3, :4] = rng.uniform((-1, 0, 0, -2), (1, 3, 3, 2), (3, 4))
    order = rng.permuted(np.tile(np.arange(4), (3, 1)), axis=1)
    parameters[:3, 4:8] = np.where(rng.random((3, 4)) < 0.7, order, -1)
    images = rng.integers(0, 256, (6, 3, *size), dtype=np.uint8)
    images[::2] //= 8  # nearly black, where the hue is worst determined
    images, parameters = torch.from_numpy(images), torch.from_numpy(parameters)
    one = apply_colour(images, parameters, mean=MEAN, std=STD)
    two = module._changed_on_device(images, parameters, MEAN, STD)
    std = torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(one * std, two * std, atol=1e-5, rtol=0)


def test_views_may_lie_in_the_memory_anyhow():
    parameters = torch.from_numpy(draws(STRONG, 4))
    images = torch.randint(0, 256, (4, 16, 24, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    one = apply_colour(images, parameters, mean=MEAN, std=STD)
    assert torch.equal(one, apply_colour(images.contiguous(), parameters, mean=MEAN, std=STD))


def test_oblong_views_are_blurred_along_both_sides():
    parameters = torch.zeros(1, NUM_PARAMETERS)
    parameters[:, 4:8], parameters[:, 9] = -1, 1.5
    image = torch.zeros(1, 3, 40, 60, dtype=torch.uint8)
    image[..., 20, 30] = 255
    out = apply_colour(image, parameters, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))[0, 0]
    assert out[18:23, 28:33].sum() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(out[18:23, 30], out[20, 28:33])


def test_no_change_is_normalisation():
    image = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    unchanged = draw_colour(np.random.default_rng(0), ColourRecipe(jitter=0, grey=0, blur=0))
    parameters = torch.from_numpy(np.stack([unchanged, unchanged]))
    out = apply_colour(image, parameters, mean=MEAN, std=STD)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    torch.testing.assert_close(out, (image / 255 - mean) / std)


def test_no_value_is_ever_asked_of_the_device():
    """A meta tensor has none, so any `.item()`, and whatever else would wait, raises."""
    parameters = torch.from_numpy(draws(STRONG, 16))
    images = torch.empty(16, 3, 32, 32, device="meta", dtype=torch.uint8)
    module._changed_on_device(images, parameters, MEAN, STD)


def test_stays_exact_under_autocast():
    rng = np.random.default_rng(0)
    images = torch.from_numpy(photos(rng, 3, 32).transpose(0, 3, 1, 2).copy())
    parameters = torch.from_numpy(np.stack([draw_colour(rng, STRONG) for _ in range(3)]))
    plain = apply_colour(images, parameters, mean=MEAN, std=STD)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(apply_colour(images, parameters, mean=MEAN, std=STD), plain)


def draws(recipe, num=4000):
    rng = np.random.default_rng(0)
    return np.stack([draw_colour(rng, recipe) for _ in range(num)])


@pytest.mark.parametrize(
    ("recipe", "blur", "solarize"),
    [
        (DETCON_B_COLOUR[0], 1.0, 0.0),
        (DETCON_B_COLOUR[1], 0.1, 0.2),
        (DETCON_S_COLOUR[0], 1.0, 0.0),
        (DETCON_S_COLOUR[1], 0.0, 0.0),
    ],
)
def test_how_often(recipe, blur, solarize):
    drawn = draws(recipe)
    assert (drawn[:, 4:8] >= 0).all(1).mean() == pytest.approx(0.8, abs=0.03)
    assert (drawn[:, 4:8] >= 0).any(1).mean() == pytest.approx(0.8, abs=0.03), "all or none"
    assert drawn[:, 8].mean() == pytest.approx(0.2, abs=0.03)
    assert (drawn[:, 9] > 0).mean() == pytest.approx(blur, abs=0.03)
    assert drawn[:, 10].mean() == pytest.approx(solarize, abs=0.03)


@pytest.mark.parametrize(
    ("recipe", "strengths"),
    [(DETCON_B_COLOUR[1], (0.4, 0.4, 0.2, 0.1)), (DETCON_S_COLOUR[0], (0.8, 0.8, 0.8, 0.2))],
)
def test_how_strongly(recipe, strengths):
    amounts = draws(recipe)[:, :4] - (0, 1, 1, 0)
    assert abs(amounts).max(0) == pytest.approx(strengths, rel=0.01)
    assert amounts.mean(0) == pytest.approx((0, 0, 0, 0), abs=0.03)
    sigma = draws(DETCON_B_COLOUR[0])[:, 9]
    assert (sigma.min(), sigma.max()) == pytest.approx((0.1, 2.0), abs=0.01)


def test_every_order_is_equally_likely():
    orders = draws(ColourRecipe(jitter=1.0), 4800)[:, 4:8]
    found, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(found) == 24
    assert counts.min() > 130


def test_an_operation_of_no_strength_is_left_out():
    orders = draws(ColourRecipe(hue=0.0, jitter=1.0), 100)[:, 4:8]
    assert (np.sort(orders, axis=1) == (-1, 0, 1, 2)).all()


def test_what_is_decided_does_not_shift_later_draws():
    """So that two recipes with one seed still see the same cuts and regions."""
    after = []
    for recipe in (DETCON_B_COLOUR[0], DETCON_S_COLOUR[1], ColourRecipe(jitter=0.0, blur=0.0)):
        rng = np.random.default_rng(0)
        draw_colour(rng, recipe)
        after.append(rng.random())
    assert len(set(after)) == 1
