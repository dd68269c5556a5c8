"""Scores depth: six figures, each over all measured pixels of all photos together.

With d predicted and t measured, in metres: the share of pixels where max(d / t, t / d) is below
1.25, 1.25^2 and 1.25^3 (Eigen et al., arXiv 1406.2283); the root of the mean of (d - t)^2; the
means of |d - t| / t and of |log10 d - log10 t|.

The mean is over pixels, "over the entire test set" as the code released with Laina et al.
(arXiv 1606.00373) has it. Others take a mean by photo and then one of these, which gives another
root mean square and, where some photos have holes, other figures throughout.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from detcon.data.labelled.examples import Example, LabelError
from detcon.downstream.task import Score

Predictor = Callable[[Example], Float[np.ndarray, "y x"]]
"""From an example to metres, above 0, at each pixel of its depth map."""

METRIC = "delta1"


@dataclass
class Sums:
    """The sums behind the six figures, in float64."""

    count: int = 0
    within: tuple[int, int, int] = (0, 0, 0)
    square: float = 0.0
    relative: float = 0.0
    log10: float = 0.0

    def add(self, predicted: Float[np.ndarray, "y x"], truth: Float[np.ndarray, "y x"]) -> None:
        """Adds the pixels of one photo that aren't NaN in `truth`."""
        valid = ~np.isnan(truth)
        d, t = predicted[valid].astype(np.float64), truth[valid].astype(np.float64)
        ratio = np.maximum(d / t, t / d)
        one, two, three = self.within
        self.count += len(t)
        self.within = (
            one + int((ratio < 1.25).sum()),
            two + int((ratio < 1.25**2).sum()),
            three + int((ratio < 1.25**3).sum()),
        )
        self.square += float(((d - t) ** 2).sum())
        self.relative += float((np.abs(d - t) / t).sum())
        self.log10 += float(np.abs(np.log10(d) - np.log10(t)).sum())

    def figures(self) -> dict[str, float | None]:
        """`delta1`, `delta2`, `delta3` in per cent; `rms` in metres; `relative`; `log10`.

        Raises:
            LabelError: No pixel was counted.
        """
        if not self.count:
            raise LabelError("no pixel of the validation photos has a depth to score on")
        shares = [100 * number / self.count for number in self.within]
        return {
            METRIC: shares[0],
            "delta2": shares[1],
            "delta3": shares[2],
            "rms": float(np.sqrt(self.square / self.count)),
            "relative": self.relative / self.count,
            "log10": self.log10 / self.count,
        }


def score(predict: Predictor, examples: Iterable[Example]) -> Score:
    """Predicts the depth of whole photos and compares it with the truth, at the truth's size.

    Raises:
        LabelError: Nothing was measured in any photo.
    """
    sums = Sums()
    for example in examples:
        sums.add(predict(example), example.labels)
    figures = sums.figures()
    value = figures[METRIC]
    assert value is not None
    return Score(METRIC, value, figures=figures)
