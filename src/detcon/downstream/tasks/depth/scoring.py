"""Scores depth: six figures, each over all measured pixels of all photos together.

With d predicted and t measured, in metres: the share of pixels where max(d / t, t / d) is below
1.25, 1.25^2 and 1.25^3 (Eigen et al., arXiv 1406.2283); the root of the mean of (d - t)^2; the
means of |d - t| / t and of |log10 d - log10 t|.

The mean is over pixels, "over the entire test set" as the code released with Laina et al.
(arXiv 1606.00373) has it. Others take a mean by photo and then one of these, which gives another
root mean square and, where some photos have holes, other figures throughout.
"""

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Float64

from detcon.data.labelled.examples import Example, LabelError
from detcon.downstream.task import Score

Predictor = Callable[[Example], Float[np.ndarray, "y x"]]
"""From an example to metres, above 0, at each pixel of its depth map."""


def score(predict: Predictor, examples: Iterable[Example]) -> Score:
    """Predicts the depth of whole photos and compares it with the truth, at the truth's size.

    Raises:
        LabelError: Nothing was measured in any photo.
    """
    sums = np.zeros(7)
    for example in examples:
        sums += _sums(predict(example), example.labels)
    count, *within, square, relative, log10 = sums.tolist()
    if not count:
        raise LabelError("no pixel of the validation photos has a depth to score on")
    delta1, delta2, delta3 = (100 * number / count for number in within)
    figures: dict[str, float | None] = {
        "delta1": delta1,
        "delta2": delta2,
        "delta3": delta3,
        "rms": float(np.sqrt(square / count)),
        "relative": relative / count,
        "log10": log10 / count,
    }
    return Score("delta1", delta1, figures=figures)


def _sums(
    predicted: Float[np.ndarray, "y x"], truth: Float[np.ndarray, "y x"]
) -> Float64[np.ndarray, " 7"]:
    """Of the measured pixels of a photo: their number, and the sums behind the six figures."""
    valid = ~np.isnan(truth)
    d, t = predicted[valid].astype(np.float64), truth[valid].astype(np.float64)
    ratio = np.maximum(d / t, t / d)
    within = [(ratio < 1.25**power).sum() for power in (1, 2, 3)]
    relative, log10 = np.abs(d - t) / t, np.abs(np.log10(d) - np.log10(t))
    return np.array([len(t), *within, ((d - t) ** 2).sum(), relative.sum(), log10.sum()])
