"""Tests for detcon.pretraining.collapse."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn.functional import normalize

from detcon.methods.method import Embeddings
from detcon.pretraining.collapse import (
    collapse_figures,
    describe_collapse,
    effective_rank,
    embedding_std,
)
from detcon.results.history import History


def random_embeddings(seed, b=4, r=3, d=16, v=2, num_ids=4):
    rng = torch.Generator().manual_seed(seed)
    query, target = torch.randn(2, v, b, r, d, generator=rng).unbind()
    return Embeddings(query, target, torch.randint(-1, num_ids, (v, b, r), generator=rng))


def slow_figures(e):
    """Pair by pair, in both directions."""
    _, b, r, _ = e.query.shape
    same, other, hits, unpaired, paired = [], [], [], 0, 0
    for here, there in ((0, 1), (1, 0)):
        for i in range(b):
            for m in range(r):
                scores = {}
                for j in range(b):
                    for k in range(r):
                        u, w = e.query[here, i, m].double(), e.target[there, j, k].double()
                        score = (u @ w / u.norm() / w.norm()).item()
                        own = e.ids[here, i, m].item()
                        right = i == j and own == e.ids[there, j, k].item() and own >= 0
                        (same if right else other).append(score)
                        scores[score] = right
                unpaired += not any(scores.values())
                paired += any(scores.values())
                if any(scores.values()):
                    hits.append(scores[max(scores)])
    figures = {"without_positive": unpaired / (unpaired + paired)}
    if other:
        figures["negative_similarity"] = sum(other) / len(other)
    if hits:
        figures |= {"positive_similarity": sum(same) / len(same), "accuracy": sum(hits) / len(hits)}
    return figures


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_pairs_equal_plain_loops(seed, b, r):
    embeddings = random_embeddings(seed, b, r)
    figures = collapse_figures(embeddings)
    for name in ("embedding_std", "effective_rank"):
        figures.pop(name)
    assert figures == pytest.approx(slow_figures(embeddings), abs=1e-5)


def test_collapsed_embeddings_have_no_spread_and_rank_one():
    e = random_embeddings(0)
    same = torch.randn(16).expand_as(e.query)
    figures = collapse_figures(Embeddings(same, same, e.ids))
    assert figures["embedding_std"] == pytest.approx(0, abs=1e-3)
    assert figures["effective_rank"] == pytest.approx(1)
    assert figures["positive_similarity"] == pytest.approx(1)
    assert figures["negative_similarity"] == pytest.approx(1)


def test_a_rank_that_cannot_be_found_is_left_out(monkeypatch):
    def give_up(_):
        raise torch.linalg.LinAlgError("the algorithm failed to converge")

    monkeypatch.setattr("torch.linalg.eigvalsh", give_up)
    figures = collapse_figures(random_embeddings(0))
    assert "effective_rank" not in figures and "embedding_std" in figures


def test_random_embeddings_are_spread_and_of_full_rank():
    figures = collapse_figures(random_embeddings(0, b=64, r=8, d=16))
    assert figures["embedding_std"] == pytest.approx(1, abs=0.02)
    assert 15 < figures["effective_rank"] <= 16
    assert figures["accuracy"] < 0.1


def test_a_perfect_solution():
    e = random_embeddings(0, b=8)
    ids = torch.arange(3).expand(2, 8, 3)
    codes = torch.randn(8, 3, 16).expand(2, 8, 3, 16)
    figures = collapse_figures(Embeddings(codes, codes, ids))
    assert figures["accuracy"] == 1 and figures["without_positive"] == 0
    assert figures["positive_similarity"] == pytest.approx(1)
    assert e.ids.shape == ids.shape


@pytest.mark.parametrize("m, d", [(200, 10), (6, 50)])
def test_effective_rank_is_that_of_the_definition(m, d):
    """Roy & Vetterli, 2007: on the singular values of the covariance, by another way."""
    rows = normalize(torch.randn(m, d, generator=torch.Generator().manual_seed(0)) + 1, dim=-1)
    values = torch.linalg.svdvals(torch.cov(rows.double().T, correction=0))
    share = values / values.sum()
    expected = torch.exp(-torch.xlogy(share, share).sum()).item()
    assert effective_rank(rows).item() == pytest.approx(expected, rel=1e-3)


def test_rank_counts_directions():
    corners = torch.eye(8)[:3].repeat(10, 1)  # three points span two directions
    assert effective_rank(corners).item() == pytest.approx(2, abs=1e-3)
    assert embedding_std(torch.cat([torch.eye(8), -torch.eye(8)])).item() == pytest.approx(1)


def test_memory_is_bounded_and_whole_photos_are_kept():
    e = random_embeddings(0, b=50, r=4)
    first = Embeddings(*(x[:, :5] for x in (e.query, e.target, e.ids)))
    assert collapse_figures(e, max_rows=20) == collapse_figures(first)


def test_one_view_has_no_pairs_and_absent_masks_no_figures():
    e = random_embeddings(0, v=1)
    assert collapse_figures(e).keys() == {"embedding_std", "effective_rank"}
    absent = Embeddings(
        *(x.repeat(2, 1, 1, 1) for x in (e.query, e.target)), -torch.ones(2, 4, 3).long()
    )
    figures = collapse_figures(absent)
    assert figures["without_positive"] == 1
    assert not {"accuracy", "positive_similarity"} & figures.keys()


def test_embeddings_that_are_no_numbers_do_not_stop_the_log():
    e = random_embeddings(0)
    assert "embedding_std" not in collapse_figures(Embeddings(e.query * torch.nan, e.target, e.ids))


@pytest.mark.parametrize(
    "spread, accuracy, collapsed",
    [(0.06, 0.02, True), (0.41, 0.004, False), (0.15, 0.6, False)],
    ids=["the same for all", "spread, though hardly right", "a teacher's narrow cone"],
)
def test_a_collapse_is_said_and_nothing_else(spread, accuracy, collapsed):
    rows = [
        {"step": 1, "embedding_std": 0.9, "accuracy": 0.9},
        {"step": 2, "embedding_std": spread, "accuracy": accuracy},
    ]
    told = describe_collapse(History(rows))
    assert (told is not None) == collapsed
    assert not collapsed or "spread 0.06" in str(told)
    assert describe_collapse(History([{"step": 1, "loss": 2.0}])) is None
