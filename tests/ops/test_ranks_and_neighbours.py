"""Tests of label-free figures against slow references."""

import math

import numpy as np
import pytest
import torch

from detcon.ops.label_free import lidar, nearest_neighbours, rankme, shared_neighbours


def perplexity(values, epsilon=1e-7):
    shares = [value / sum(values) + epsilon for value in values]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize("shape", [(30, 7), (5, 9)])
def test_rankme_is_the_paper_s_formula(shape):
    rows = np.random.default_rng(0).normal(size=shape) + 0.5
    eigenvalues = np.linalg.eigvalsh(rows @ rows.T).clip(0)[::-1][: min(shape)]
    expected = perplexity(np.sqrt(eigenvalues).tolist())
    assert rankme(torch.from_numpy(rows)) == pytest.approx(expected, rel=1e-9)


def slow_lidar(views, delta=1e-4):
    """Equations 1 to 4 in loops; `views` holds the rows of each class."""
    means = [np.mean(rows, axis=0) for rows in views]
    centre, d = np.mean(means, axis=0), len(means[0])
    between, within = np.zeros((d, d)), np.zeros((d, d))
    for mean, rows in zip(means, views):
        between += np.outer(mean - centre, mean - centre) / len(views)
        for row in rows:
            within += np.outer(row - mean, row - mean) / len(rows) / len(views)
    values, vectors = np.linalg.eigh(within + delta * np.eye(d))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    return perplexity(np.linalg.svd(root @ between @ root, compute_uv=False).tolist())


@pytest.mark.parametrize("sizes", [[3] * 8, [2, 5, 3, 2], [4] * 30])
def test_lidar_is_the_paper_s_formula(sizes):
    rng = np.random.default_rng(len(sizes))
    views = [rng.normal(size=6) + rng.normal(size=(num, 6)) * 0.3 for num in sizes]
    classes = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    order = torch.randperm(len(classes))
    found = lidar(torch.from_numpy(np.concatenate(views))[order], classes[order])
    assert found == pytest.approx(slow_lidar(views), rel=1e-9)


def test_lidar_leaves_out_what_only_augmentations_change():
    """Noise counts for RankMe; for LiDAR only what tells classes apart."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(200).repeat_interleave(4)
    signal = torch.randn(200, 3, generator=generator)[classes]
    noise = torch.randn(800, 5, generator=generator)
    rows = torch.cat([signal + 0.01 * torch.randn(800, 3, generator=generator), noise], 1)
    assert rankme(rows) > 7.5
    assert lidar(rows, classes) == pytest.approx(3, abs=0.05)


def test_lidar_of_huge_features_some_of_which_are_copies():
    """Beside features of 1e9 delta is rounding, and the scatter of copies can't be factored."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(40).repeat_interleave(4)
    signal = torch.randn(40, 3, generator=generator)[classes]
    rows = signal + 0.3 * torch.randn(160, 3, generator=generator)
    rows = torch.cat([rows, rows[:, :2]], 1)
    assert lidar(1e9 * rows, classes) == pytest.approx(lidar(rows, classes), rel=1e-3)
    assert math.isnan(lidar(torch.inf * rows, classes)) and math.isnan(rankme(torch.inf * rows))


def test_neighbours_are_the_most_similar_rows_of_other_groups():
    generator = torch.Generator().manual_seed(0)
    rows, groups = torch.randn(40, 5, generator=generator), torch.arange(40) // 4
    found = nearest_neighbours(rows, groups, num=6)
    for i in range(40):
        cosines = torch.cosine_similarity(rows[i : i + 1], rows)
        others = [j for j in range(40) if groups[j] != groups[i]]
        expected = sorted(others, key=lambda j: -cosines[j])[:6]
        assert set(found[i].tolist()) == set(expected)
    assert shared_neighbours(found, found) == 1
    assert nearest_neighbours(rows, groups, num=99).shape == (40, 36)
    with pytest.raises(ValueError, match="regions of at least two photos"):
        nearest_neighbours(rows, torch.zeros(40, dtype=torch.int64), num=3)


def test_independent_features_share_neighbours_by_chance():
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(400)
    one, other = (
        nearest_neighbours(torch.randn(400, 8, generator=generator), groups, num=20)
        for _ in range(2)
    )
    assert shared_neighbours(one, other) == pytest.approx(20 / 399, abs=0.02)
