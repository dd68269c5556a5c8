"""Statistics over seeds: spread, intervals, correlation, and savings of budget."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

CONFIDENCE = 0.95
_RESAMPLINGS = 2000

Curve = Mapping[int | float, Sequence[float]]
"""Values of the seeds by budget."""


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation over seeds, dividing by one less; None with a single seed."""
    return stdev(values) if len(values) > 1 else None


def half_width(values: Sequence[float]) -> float | None:
    """Half of the 95 % interval of a mean, by Student's t over seeds; None with a single one."""
    spread = deviation(values)
    if spread is None:
        return None
    quantile = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2))
    return quantile * spread / math.sqrt(len(values))


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> list[float]:
    """The difference from a baseline in each seed that both have."""
    return [values[seed] - baseline[seed] for seed in values if seed in baseline]


def correlation(
    values: Sequence[tuple[float, Sequence[float]]],
) -> tuple[float, float, float] | None:
    """Pearson's r between the first numbers and the means of their values.

    With its 95 % interval (Fisher's z). None for fewer than four, or where all means are equal.
    """
    firsts, means = [first for first, _ in values], [fmean(one) for _, one in values]
    if len(values) < 4 or len(set(means)) < 2:
        return None
    from scipy.stats import pearsonr  # a second, which a transfer needn't wait for

    found: Any = pearsonr(firsts, means)  # its type is too vague
    interval = found.confidence_interval(CONFIDENCE)
    return float(found.statistic), float(interval.low), float(interval.high)


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of `num` pairs, with a 95 % interval from resampled pairs."""

    rho: float
    low: float
    high: float
    num: int


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> RankCorrelation | None:
    """Whether two quantities order the same things alike: 1 for the same order, -1 reversed.

    The interval has the 2.5 and 97.5 % quantiles over draws of the pairs with replacement; draws in
    which a quantity doesn't vary are left out. None for fewer than four pairs, or where a quantity
    doesn't vary.
    """
    values = np.asarray(pairs, float).reshape(-1, 2)
    if len(values) < 4 or math.isnan(rho := float(_spearman(values[None])[0])):
        return None
    chosen = np.random.default_rng(0).integers(len(values), size=(_RESAMPLINGS, len(values)))
    drawn = _spearman(values[chosen])
    low, high = np.nanquantile(drawn, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2]).tolist()
    return RankCorrelation(rho, low, high, len(values))


@dataclass(frozen=True)
class Effect:
    """The change of a value with one standard deviation of a quantity, the others unchanged."""

    size: float
    low: float
    high: float


def effects(
    quantities: Float[np.ndarray, "n q"], values: Sequence[Sequence[float]]
) -> list[Effect] | None:
    """Linear regression of the mean of each row's values on standardised quantities.

    >>> rows = np.array([[1, 5], [2, 3], [3, 4], [4, 1], [5, 2], [6, 6]], float)
    >>> [round(one.size, 2) for one in effects(rows, [[10 + 2 * a] for a, _ in rows])]
    [3.42, 0.0]

    The interval has the 2.5 and 97.5 % quantiles over draws of the rows with replacement, in each
    of them of its values too. None for fewer than two rows a quantity and one more, or where
    quantities are linear in each other.
    """
    num, width = quantities.shape
    if num <= 2 * width or np.linalg.matrix_rank(_with_constant(quantities)) <= width:
        return None
    standard = (quantities - quantities.mean(0)) / quantities.std(0)
    rng = np.random.default_rng(0)
    found = _slopes(standard, np.array([fmean(one) for one in values]))
    drawn = []
    for _ in range(_RESAMPLINGS):
        rows = rng.integers(num, size=num)
        means = [np.mean(rng.choice(values[row], len(values[row]))) for row in rows]
        if np.linalg.matrix_rank(_with_constant(standard[rows])) > width:
            drawn.append(_slopes(standard[rows], np.array(means)))
    bounds = np.quantile(drawn, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2], axis=0)
    return [Effect(*map(float, one)) for one in zip(found, *bounds)]


def _slopes(
    quantities: Float[np.ndarray, "n q"], values: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " q"]:
    return np.linalg.lstsq(_with_constant(quantities), values, rcond=None)[0][1:]


def _with_constant(quantities: Float[np.ndarray, "n q"]) -> Float[np.ndarray, "n p"]:
    return np.column_stack([np.ones(len(quantities)), quantities])


def _spearman(values: Float[np.ndarray, "m n 2"]) -> Float[np.ndarray, " m"]:
    """Pearson's r of ranks, where ties share the mean of theirs; NaN where one doesn't vary."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    (one, other), scale = np.moveaxis(ranks, 2, 0), np.sqrt(np.square(ranks).sum(1).prod(1))
    return (one * other).sum(1) / np.where(scale > 0, scale, np.nan)


@dataclass(frozen=True)
class Sooner:
    """How much less budget one curve needs than another for the same value.

    Attributes:
        level: The highest value that both means reach.
        factor: The other's budget divided by this one's, at that level.
        low: The 2.5 % quantile of the factor over resamplings of the seeds; `high`: the 97.5 %.
        crossing: The share of resamplings in which both curves cross a level.
    """

    level: float
    factor: float
    low: float
    high: float
    crossing: float


def sooner(curve: Curve, other: Curve) -> Sooner | None:
    """Compares the budgets of two curves at one level; None where one of them doesn't cross it.

    Both are means over seeds, interpolated along the logarithm of the budget. The level is the
    highest that both reach. A curve that lies above it from its first budget on doesn't cross it.
    """
    found = _factor(_means(curve), _means(other))
    if found is None:
        return None
    rng = np.random.default_rng(0)
    drawn = [_factor(_resampled(curve, rng), _resampled(other, rng)) for _ in range(_RESAMPLINGS)]
    factors = [one[1] for one in drawn if one is not None]
    if not factors:
        return None
    low, high = np.quantile(factors, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2]).tolist()
    return Sooner(*found, low, high, len(factors) / len(drawn))


def _means(curve: Curve) -> list[tuple[float, float]]:
    return [(float(budget), fmean(curve[budget])) for budget in sorted(curve)]


def _resampled(curve: Curve, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Means over seeds drawn with replacement, the same ones at each budget."""
    num = min(map(len, curve.values()))
    chosen = rng.integers(num, size=num)
    return [(float(budget), fmean(curve[budget][i] for i in chosen)) for budget in sorted(curve)]


def _factor(
    curve: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]
) -> tuple[float, float] | None:
    level = min(max(value for _, value in one) for one in (curve, other))
    mine, theirs = _crossing(curve, level), _crossing(other, level)
    return None if mine is None or theirs is None else (level, theirs / mine)


def _crossing(curve: Sequence[tuple[float, float]], level: float) -> float | None:
    """The first budget at which a curve that begins below the level reaches it."""
    if curve[0][1] >= level:
        return None
    for (before, below), (after, above) in itertools.pairwise(curve):
        if above >= level:
            share = (level - below) / (above - below)
            return before * (after / before) ** share
    return None
