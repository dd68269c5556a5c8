"""Tests for the k-NN probes: neighbours and knn_segmentation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch.nn.functional import normalize

from detcon.data.labelled.examples import Example, LabelError
from detcon.downstream.tasks.probes import neighbours
from detcon.downstream.tasks.probes.neighbours import (
    Bank,
    bank_of_photos,
    empty_bank,
    fill_bank,
    vote,
)
from detcon.downstream.tasks.probes.recipe import KnnClassificationRecipe, KnnSegmentationRecipe


def slow_vote(query, bank, shares, k, temperature):
    """Wu et al. in plain loops: weights exp(s / t), summed by class, brought to sum 1."""
    cosines = []
    for entry in bank:
        length = math.sqrt(sum(x * x for x in query)) * math.sqrt(sum(x * x for x in entry))
        cosines.append(sum(x * y for x, y in zip(query, entry)) / length)
    near = sorted(range(len(bank)), key=lambda i: -cosines[i])[:k]
    weights = [math.exp(cosines[i] / temperature) for i in near]
    return [
        sum(w * shares[i][c] for w, i in zip(weights, near)) / sum(weights)
        for c in range(len(shares[0]))
    ]


@given(st.integers(0, 2**16), st.integers(1, 12), st.sampled_from([0.07, 0.5]))
def test_votes_as_the_formula_says(seed, k, temperature):
    rng = np.random.default_rng(seed)
    queries, bank = rng.normal(size=(5, 4)), rng.normal(size=(9, 4))
    shares = rng.dirichlet(np.ones(3), 9)
    found = vote(
        torch.from_numpy(queries),
        normalize(torch.from_numpy(bank), dim=1),
        torch.from_numpy(shares),
        num_neighbours=k,
        temperature=temperature,
    )
    slow = [slow_vote(q, bank.tolist(), shares.tolist(), k, temperature) for q in queries.tolist()]
    np.testing.assert_allclose(found.numpy(), slow, atol=1e-9)


def test_chunks_change_nothing(monkeypatch):
    queries, bank = torch.randn(50, 8), normalize(torch.randn(30, 8), dim=1)
    shares = torch.randint(0, 2, (30, 3)).bool()
    whole = vote(queries, bank, shares, num_neighbours=5, temperature=0.07)
    monkeypatch.setattr(neighbours, "SIMILARITIES", 7 * 30)
    torch.testing.assert_close(
        vote(queries, bank, shares, num_neighbours=5, temperature=0.07), whole
    )


def test_a_low_temperature_does_not_overflow():
    bank = torch.eye(2)
    found = vote(bank, bank, torch.eye(2), num_neighbours=2, temperature=1e-3)
    assert torch.equal(found, torch.eye(2))


def test_a_grid_is_its_cells_one_by_one():
    bank = Bank(torch.randn(9, 4), torch.rand(9, 3), num_neighbours=3, temperature=0.1)
    grid = torch.randn(2, 4, 5, 6)
    votes = bank(grid)
    assert votes.shape == (2, 3, 5, 6)
    torch.testing.assert_close(votes[1, :, 2, 4], bank(grid[1:, :, 2, 4])[0])


@pytest.mark.parametrize("shares", [torch.rand(7, 3), torch.rand(7, 3) > 0.5])
def test_a_bank_is_loaded_at_the_size_it_has(shares):
    full = Bank(torch.randn(7, 4), shares, num_neighbours=20, temperature=0.07)
    empty = empty_bank(4, 3, KnnSegmentationRecipe())
    torch.nn.ModuleDict({"head": empty}).load_state_dict(
        {f"head.{name}": tensor for name, tensor in full.state_dict().items()}
    )
    query = torch.randn(2, 4)
    assert torch.equal(empty(query), full(query)) and empty.shares.dtype == shares.dtype


def test_a_bank_of_other_features_or_classes_is_not_loaded():
    full = Bank(torch.randn(7, 4), torch.rand(7, 3), num_neighbours=20, temperature=0.07)
    for channels, classes in ((5, 3), (4, 2)):
        with pytest.raises(RuntimeError, match="size mismatch"):
            empty_bank(channels, classes, KnnSegmentationRecipe()).load_state_dict(
                full.state_dict()
            )


def means(images):
    """A stand-in for an encoder: the mean colours of cells of 4 x 4 pixels."""
    return torch.nn.functional.avg_pool2d(images.float(), 4) + 1


def pictures(num, size=16, label=None):
    rng = np.random.default_rng(0)
    made = []
    for i in range(num):
        image = rng.integers(0, 256, (size, size, 3), np.uint8)
        labels = rng.integers(0, 3, (size, size), np.uint8)
        if label is not None:
            labels[:] = label
        made.append(Example(str(i), image, labels))
    return made


def fill(some, bank, seed=0):
    return fill_bank(means, some, 3, KnnSegmentationRecipe(bank=bank), seed=seed)


def rows(bank):
    return {tuple(row) for row in bank.features.tolist()}


def test_the_bank_holds_every_cell_or_a_draw_of_them():
    some = pictures(6)
    every = fill(some, 1000)
    assert every.features.shape == (96, 3) and every.shares.shape == (96, 3)
    torch.testing.assert_close(every.shares.sum(1), torch.ones(96))
    first, again, other = fill(some, 10), fill(some, 10), fill(some, 10, seed=1)
    assert len(first.features) == 10 and rows(first) <= rows(every)
    assert torch.equal(first.features, again.features)
    assert rows(first) != rows(other)


def test_each_cell_is_as_likely_whatever_its_picture():
    """Pictures of 16 cells and of 64: a draw of 20 takes each cell in a quarter of the seeds."""
    some = [*pictures(1, 16, label=0), *pictures(1, 32, label=1)]
    share = np.mean([float(fill(some, 20, seed).shares[:, 0].sum()) / 16 for seed in range(200)])
    assert share == pytest.approx(0.25, abs=0.03)


def test_void_cells_are_not_kept_and_half_void_ones_vote_by_half():
    (picture,) = pictures(1)
    labels = np.full((16, 16), 255, np.uint8)
    labels[:4, :2] = 1
    bank = fill([Example("a", picture.image, labels)], 100)
    assert bank.shares.tolist() == [[0.0, 0.5, 0.0]]
    with pytest.raises(LabelError, match="all labels of the training photos are void"):
        fill(pictures(2, label=255), 100)


def test_a_bank_of_photos():
    features = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 1.0]])
    bank = bank_of_photos(features, torch.tensor([2, 0, 0]), 3, KnnClassificationRecipe(k=1))
    assert bank(torch.tensor([[5.0, 1.0], [0.0, 9.0]])).tolist() == [[0, 0, 1], [1, 0, 0]]
