"""Losses of depth maps; pixels without a measurement (NaN) are ignored."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

SHARE = 0.2
"""Share of the batch's greatest error above which the reverse Huber loss is quadratic."""


def reverse_huber(
    predicted: Float[Tensor, "b y x"], measured: Float[Tensor, "b y x"]
) -> Float[Tensor, ""]:
    """The reverse Huber loss, berHu (Laina et al., arXiv 1606.00373).

    An error e costs |e| up to c, and (e^2 + c^2) / 2c above, where c is a fifth of the greatest
    |e| among the measured pixels of the batch (of this rank's part of it) and takes no gradient.

    Args:
        predicted: Metres.
        measured: Metres; NaN where nothing was measured.

    Returns:
        The mean over the measured pixels; 0 where there are none. Nothing waits for the device.
    """
    error, count = _errors(predicted, measured)
    c = SHARE * error.detach().amax()
    square = (error.square() + c.square()) / (2 * c.clamp(min=1e-12))
    return torch.where(error <= c, error, square).sum() / count


def absolute(
    predicted: Float[Tensor, "b y x"], measured: Float[Tensor, "b y x"]
) -> Float[Tensor, ""]:
    """The mean absolute error over the measured pixels, in metres; 0 where there are none."""
    error, count = _errors(predicted, measured)
    return error.sum() / count


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"berhu": reverse_huber, "l1": absolute}


def _errors(
    predicted: Float[Tensor, "b y x"], measured: Float[Tensor, "b y x"]
) -> tuple[Float[Tensor, "b y x"], Float[Tensor, ""]]:
    """Absolute errors, 0 where nothing was measured; the number of measured pixels, at least 1."""
    valid = ~measured.isnan()
    error = (predicted - measured.nan_to_num(0.0)).abs()
    error = torch.where(valid, error, torch.zeros_like(error))
    return error, valid.sum().clamp(min=1).to(error.dtype)
