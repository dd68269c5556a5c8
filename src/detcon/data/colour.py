"""Changes of colour: drawn in the worker, applied in batches on the training device.

A view's changes are one vector of NUM_PARAMETERS numbers, which stays on the CPU:

    0..3    brightness (added), contrast (factor), saturation (factor), hue (turns, added)
    4..7    which of the four comes first, second, third, fourth; -1 where none does; none twice
    8       1 if grey
    9       the blur's standard deviation in pixels; 0 if there is none
    10      1 if solarized

The operations are those of dm_pix, which the official code uses, and of TensorFlow: brightness is
added, and contrast is about the mean of each channel. torchvision's differ in both.

Axes: b images, p parameters, y x pixels.
"""

import operator
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn.functional import pad, threshold

from detcon.data.colour_cpu import change_colours
from detcon.data.recipe import ColourRecipe

NUM_PARAMETERS = 11
_ORDER, _GREY, _SIGMA, _SOLARIZE = slice(4, 8), 8, 9, 10


def draw_colour(rng: np.random.Generator, recipe: ColourRecipe) -> Float32[np.ndarray, " p"]:
    """Draws the changes of one view's colours; always takes 13 draws from `rng`.

    Returns:
        The parameters, in the layout at the top of this file.
    """
    draws = rng.random(13).tolist()
    strengths = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    amounts = [
        unchanged + (2 * draw - 1) * strength
        for unchanged, draw, strength in zip((0, 1, 1, 0), draws[:4], strengths, strict=True)
    ]
    often = (recipe.jitter, recipe.grey, recipe.blur, recipe.solarize)
    jitter, grey, blur, solarize = map(operator.lt, draws[4:8], often)
    order = sorted(range(4), key=draws[8:12].__getitem__)
    order = [which if jitter and strengths[which] > 0 else -1 for which in order]
    least, greatest = recipe.blur_sigma
    sigma = least + draws[12] * (greatest - least) if blur else 0.0
    return np.array([*amounts, *order, grey, sigma, solarize], dtype=np.float32)


@torch.no_grad()
def apply_colour(
    images: UInt8[Tensor, "b c y x"],
    colour: Float[Tensor, "b p"],
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> Float32[Tensor, "b c y x"]:
    """Changes the colours of a batch of views and normalises them. Draws nothing.

    In order: the four of `colour` in each photo's own order, grey, blur, solarize, clip to 0..1,
    normalise (`postprocess` in the official code's `augmentations.py`). On a CPU the loops of
    `detcon.data.colour_cpu` do it, in one thread; elsewhere an operation takes all its photos at
    once.

    Args:
        images: Views, on the training device. Where they aren't RGB, saturation, hue and grey
            are left out.
        colour: Their parameters, on the CPU, where it is decided which photos an operation
            touches: nothing ever waits for the device.
        mean: Subtracted from each channel, in 0..1.
        std: What each channel is divided by.
    """
    if images.device.type != "cpu":
        with torch.autocast(images.device.type, enabled=False):
            return _changed_on_device(images, colour, mean, std)
    out = torch.empty(images.shape, dtype=torch.float32)
    parameters = colour.numpy().astype(np.float32)
    change_colours(
        images.contiguous().numpy(),
        parameters[:, :4].copy(),
        parameters[:, _ORDER].astype(np.int64),
        parameters[:, _GREY] != 0,
        parameters[:, _SIGMA].copy(),
        parameters[:, _SOLARIZE] != 0,
        np.array(mean, np.float32),
        np.array(std, np.float32),
        out.numpy(),
    )
    return out


def _changed_on_device(
    images: UInt8[Tensor, "b c y x"], colour: Tensor, mean: Sequence[float], std: Sequence[float]
) -> Float32[Tensor, "b c y x"]:
    x = images / 255
    order = colour[:, _ORDER].tolist()
    is_rgb = x.shape[1] == 3
    jitter = (_brighten, _contrast, _saturate, _turn_hue) if is_rgb else (_brighten, _contrast)
    for place in range(4):
        for which, operation in enumerate(jitter):
            rows = [i for i, wanted in enumerate(order) if wanted[place] == which]
            _at(x, rows, operation, colour[:, which])
    if is_rgb:
        _at(x, _rows(colour[:, _GREY]), _grey, colour[:, _GREY])
    _at(x, _rows(colour[:, _SIGMA]), _blur, colour[:, _SIGMA])
    _at(x, _rows(colour[:, _SOLARIZE]), _solarize, colour[:, _SOLARIZE])
    x.clamp_(0, 1)
    for channel, middle, spread in zip(x.unbind(1), mean, std, strict=True):
        channel.sub_(middle).div_(spread)
    return x


def _rows(chosen: Float[Tensor, " b"]) -> list[int]:
    return [i for i, value in enumerate(chosen.tolist()) if value]


def _at(
    x: Float32[Tensor, "b c y x"],
    rows: list[int],
    operation: Callable[[Tensor, Tensor], None],
    amount: Float[Tensor, " b"],
) -> None:
    """Applies an operation, which works in place, to some photos of a batch."""
    if not rows:
        return
    index = torch.tensor(rows)
    amount = amount[index, None, None, None].to(x.device, non_blocking=True)
    if len(rows) == len(x):
        operation(x, amount)
        return
    index = index.to(x.device, non_blocking=True)
    some = x[index]
    operation(some, amount)
    x[index] = some


def _brighten(x: Tensor, delta: Tensor) -> None:
    x.add_(delta).clamp_(0, 1)


def _contrast(x: Tensor, factor: Tensor) -> None:
    mean = x.mean((2, 3), keepdim=True)
    x.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def _saturate(x: Tensor, factor: Tensor) -> None:
    """Scales and clips the saturation of HSV, where value and hue stay.

    With v the largest channel, saturation is s = (v - smallest) / v. Scaling it by k moves every
    channel to v - (v - rgb) * k, and clipping it at 1 means k <= 1 / s.
    """
    red, green, blue = x.split(1, dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    factor = torch.minimum(value / chroma.clamp_(min=1e-12), factor)
    x.sub_(value).mul_(factor).add_(value)


def _turn_hue(x: Tensor, turns: Tensor) -> None:
    """Turns the hue in HSV, where value and chroma stay.

    The hue counts sixths of a turn from red. Each channel is a trapezoid of it, centred at 0, 2
    and 4 sixths, between the smallest and the largest channel. Selections are written as
    blends by 0 or 1: `torch.where` costs ten times as much on a CPU.
    """
    red, green, blue = x.split(1, dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - low
    below = (value - x).div_(chroma.clamp(min=1e-12))  # how far each channel is below the largest
    r, g, b = below.split(1, dim=1)
    not_red, not_green = (r * 1e30).clamp_(max=1), (g * 1e30).clamp_(max=1)
    from_green = torch.lerp((r - b).add_(2), (g - r).add_(4), not_green)
    hue = torch.lerp(b - g, from_green, not_red).add_(6 * turns)
    hue.sub_((hue / 6).floor_(), alpha=6)
    torch.sub(hue, 3, out=red).abs_().sub_(1)
    torch.sub(hue, 2, out=green).abs_().neg_().add_(2)
    torch.sub(hue, 4, out=blue).abs_().neg_().add_(2)
    x.clamp_(0, 1).mul_(chroma).add_(low)


def _grey(x: Tensor, _: Tensor) -> None:
    red, green, blue = x.split(1, dim=1)
    x.copy_(red * 0.2989 + green * 0.5870 + blue * 0.1140)


def _blur(x: Tensor, sigma: Tensor) -> None:
    """A Gaussian of radius int(side / 20), zeros outside, as two products with banded matrices."""
    _, channels, height, width = x.shape
    radius = int(height / 10 / 2)
    across = _band(width, radius, sigma[:, :, 0])
    down = across if height == width else _band(height, radius, sigma[:, :, 0])
    x.copy_(down[:, None] @ (x.flatten(1, 2) @ across).unflatten(1, (channels, height)))


def _band(size: int, radius: int, sigma: Float32[Tensor, "b 1 1"]) -> Float32[Tensor, "b n n"]:
    """A matrix with the Gaussian's weights around i in row i; zeros outside."""
    taps = torch.arange(-radius, radius + 1, device=sigma.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (taps / sigma[:, 0]) ** 2)
    weights /= weights.sum(-1, keepdim=True)
    weights = threshold(weights, 1e-12, 0.0)  # denormal numbers would slow the products down
    reach = size - 1 - radius
    padded = pad(weights, (reach, reach))  # [b 2*size-1], centred
    return padded.unfold(1, size, 1).flip(1)


def _solarize(x: Tensor, _: Tensor) -> None:
    """Inverts what is above a half: in 0..1, the smaller of x and 1 - x."""
    torch.minimum(x, 1 - x, out=x)
