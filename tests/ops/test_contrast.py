"""Tests for detcon.ops.contrast."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings, strategies as st

from detcon.ops import contrast_kernels
from detcon.ops.contrast import (
    contrastive_detection,
    contrastive_detection_of_both,
    plain_contrastive_detection,
    region_regression,
)


def slow_contrastive_detection(
    query, other, same, query_ids, other_ids, *, temperature=0.1, first=0, local_negatives=True
):
    """Eq. 3 with the official weights, one scalar at a time; differentiable."""

    def score(u, v):
        return torch.exp(u @ v / u.norm() / v.norm() / temperature)

    b, r, _ = query.shape
    total = query.sum() * 0
    for i in range(b):
        for m in range(r):
            anchor, anchor_id = query[i, m], int(query_ids[i, m])
            positives, negatives = [], []
            for j in range(other.shape[0]):
                for k in range(r):
                    own = j == first + i
                    if own and anchor_id >= 0 and anchor_id == int(other_ids[i, k]):
                        positives.append(score(anchor, other[j, k]))
                    elif local_negatives or not own:
                        negatives.append(score(anchor, other[j, k]))
                    itself = own and anchor_id == int(query_ids[i, k])
                    if same is not None and not itself and (local_negatives or not own):
                        negatives.append(score(anchor, same[j, k]))
            if positives:
                normaliser = sum(positives) + sum(negatives)
                nll = sum(-torch.log(p / normaliser) for p in positives) / len(positives)
                total = total + nll / int((query_ids[i] == anchor_id).sum())
    return total / (b * r)


def draw_regions(seed, b, n, r, d, lowest=0):
    rng = torch.Generator().manual_seed(seed)
    vectors = [
        torch.randn(m, r, d, generator=rng, dtype=torch.float64).requires_grad_() for m in (b, n, n)
    ]
    ids = [torch.randint(lowest, 3, (b, r), generator=rng) for _ in range(2)]
    return *vectors, *ids


@st.composite
def regions(draw):
    """Two views of a few photos, with repeated and missing ids, and photos of other ranks."""
    b, extra = draw(st.integers(1, 3)), draw(st.integers(0, 2))
    r, d = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    first = draw(st.integers(0, extra))
    seed, lowest = draw(st.integers(0, 2**31)), draw(st.sampled_from([-1, 0]))
    return draw_regions(seed, b, b + extra, r, d, lowest), first


def in_two_calls(one, two, ids_one, ids_two, **options):
    return contrastive_detection(
        one, two, one, ids_one, ids_two, **options
    ) + contrastive_detection(two, one, two, ids_two, ids_one, **options)


@pytest.mark.parametrize("photos", [63, 64, 65, 130])
def test_blocks_of_the_triangle_fit_together(photos):
    """1024 rows make a block: 64 photos of 2 x 8 regions."""
    one, two, _, *ids = draw_regions(0, photos, photos, 8, 4)
    whole = contrastive_detection_of_both(one, two, *ids)
    expected = in_two_calls(one, two, *ids)
    torch.testing.assert_close(whole, expected)
    for ours, theirs in zip(
        torch.autograd.grad(whole, (one, two)), torch.autograd.grad(expected, (one, two))
    ):
        torch.testing.assert_close(ours, theirs)


def test_both_directions_at_once_keep_the_promises_of_one():
    one, two, _, *ids = draw_regions(0, 4, 4, 3, 4)
    in_half = contrastive_detection_of_both(one.half(), two.half(), *ids)
    assert in_half.dtype == torch.float32
    torch.testing.assert_close(in_half.double(), in_two_calls(one, two, *ids), rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        quiet = contrastive_detection_of_both(one, two, *ids)
    assert not quiet.requires_grad
    loss = contrastive_detection_of_both(one, two, *ids)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(loss, one, create_graph=True)
    with pytest.raises(ValueError, match="temperature must be positive"):
        contrastive_detection_of_both(one, two, *ids, temperature=-1.0)


def assert_same_loss(computed, expected, args, **options):
    """In value and gradients."""
    vectors = [x for x in args[:3] if x is not None]
    ours, theirs = computed(*args, **options), expected(*args, **options)
    torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=1e-9)
    torch.testing.assert_close(
        torch.autograd.grad(3.0 * ours, vectors),
        torch.autograd.grad(3.0 * theirs, vectors, materialize_grads=True),
        atol=1e-8,
        rtol=1e-7,
    )


@given(regions(), st.sampled_from([0.1, 1.0]), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_definition_equals_the_formula_in_loops(args, temperature, local, two_views):
    (query, other, same, *ids), first = args
    options = {"temperature": temperature, "first": first, "local_negatives": local}
    args = query, other, same if two_views else None, *ids
    assert_same_loss(plain_contrastive_detection, slow_contrastive_detection, args, **options)


# On both sides of 1/40, below which a row's maximum is subtracted.
@given(regions(), st.sampled_from([1.0, 0.1, 0.026, 0.024, 0.01]), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_chunked_kernel_equals_the_definition(args, temperature, local, two_views):
    (query, other, same, *ids), first = args
    options = {"temperature": temperature, "first": first, "local_negatives": local}
    args = query, other, same if two_views else None, *ids
    assert_same_loss(contrastive_detection, plain_contrastive_detection, args, **options)


@given(regions(), st.sampled_from([1.0, 0.1, 0.026, 0.02]), st.booleans())
@settings(max_examples=80, deadline=None)
def test_the_symmetric_kernel_equals_the_definition(args, temperature, local):
    (one, two, _, *ids), _ = args
    two = two[: len(one)]

    def both(one, two, _, ids_one, ids_two, **options):
        return contrastive_detection_of_both(one, two, ids_one, ids_two, **options)

    def by_definition(one, two, _, ids_one, ids_two, **options):
        return plain_contrastive_detection(
            one, two, one, ids_one, ids_two, **options
        ) + plain_contrastive_detection(two, one, two, ids_two, ids_one, **options)

    options = {"temperature": temperature, "local_negatives": local}
    assert_same_loss(both, by_definition, (one, two, None, *ids), **options)


@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.026])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_maximum_need_not_be_subtracted(dtype, temperature, monkeypatch):
    """The quick softmax and the careful one, each compared with the careful one in float64."""
    *vectors, ids, other_ids = draw_regions(7, 6, 6, 8, 16)

    def loss_and_gradients(dtype, safe_logit):
        monkeypatch.setattr(contrast_kernels, "SAFE_LOGIT", safe_logit)
        inputs = [x.detach().to(dtype).requires_grad_() for x in vectors]
        loss = contrastive_detection(*inputs, ids, other_ids, temperature=temperature)
        return [x.double() for x in (loss, *torch.autograd.grad(loss, inputs))]

    exact = loss_and_gradients(torch.float64, 0)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-11
    for safe_logit in (0, 40):
        found = loss_and_gradients(dtype, safe_logit)
        torch.testing.assert_close(found, exact, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("temperature", [0.1, 0.026, 0.024, 0.001, 1e-6])
@pytest.mark.parametrize("sign", [1, -1])
def test_neither_overflows_nor_vanishes(sign, temperature):
    """All candidates equally near, or equally far: log of how many there are."""
    x = torch.ones(3, 2, 4, requires_grad=True)
    ids = torch.arange(6).reshape(3, 2)
    loss = contrastive_detection(x, sign * x, sign * x, ids, ids, temperature=temperature)
    assert loss.item() == pytest.approx(math.log(11), rel=1e-5)
    assert torch.isfinite(torch.autograd.grad(loss, x)[0]).all()


@pytest.fixture(scope="module")
def lightly_losses():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.loss import DetConBLoss, DetConSLoss
    return {"S": DetConSLoss(gather_distributed=False), "B": DetConBLoss(gather_distributed=False)}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["S", "B"])
def test_equals_lightly(kind, seed, lightly_losses):
    """Lightly's losses were compared with DeepMind's JAX code (their pull request 1771)."""
    rng = torch.Generator().manual_seed(seed)
    predictions, targets = torch.randn(2, 2, 5, 4, 8, generator=rng, dtype=torch.float64)
    if kind == "S":
        targets = predictions
    (ids1, ids2) = torch.randint(0, 5, (2, 5, 4), generator=rng)
    p1, p2 = (x.clone().requires_grad_() for x in predictions)
    t1, t2 = (p1, p2) if kind == "S" else targets.clone().requires_grad_()
    ours = contrastive_detection(p1, t2, t1, ids1, ids2)
    ours = ours + contrastive_detection(p2, t1, t2, ids2, ids1)
    vectors = (p1, p2) if kind == "S" else (p1, p2, t1, t2)
    theirs = lightly_losses[kind](*vectors, ids1, ids2)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        torch.autograd.grad(ours, vectors, retain_graph=True),
        torch.autograd.grad(theirs, vectors),
        atol=1e-6,
        rtol=1e-6,
    )


@given(regions())
@settings(max_examples=25, deadline=None)
def test_names_of_masks_do_not_matter(args):
    (*vectors, query_ids, other_ids), first = args
    new_names = torch.tensor([7, 3, 11, -1])  # the last is "no mask", which keeps its sign
    renamed = contrastive_detection(
        *vectors, new_names[query_ids], new_names[other_ids], first=first
    )
    plain = contrastive_detection(*vectors, query_ids, other_ids, first=first)
    torch.testing.assert_close(renamed, plain)


def test_the_order_of_photos_does_not_matter():
    args = draw_regions(0, 5, 5, 3, 4)
    order = torch.tensor([3, 0, 4, 2, 1])
    permuted = contrastive_detection(*(x[order] for x in args))
    torch.testing.assert_close(permuted, contrastive_detection(*args))


@pytest.mark.parametrize("step", [1, 2, 7])
def test_the_size_of_a_chunk_does_not_matter(step, monkeypatch):
    args = draw_regions(1, 4, 6, 5, 8)
    whole = contrastive_detection(*args, first=1)
    gradients = torch.autograd.grad(whole, args[:3])
    monkeypatch.setattr(
        contrast_kernels,
        "_chunks",
        lambda rows, _: [slice(i, min(i + step, rows)) for i in range(0, rows, step)],
    )
    cut = contrastive_detection(*args, first=1)
    torch.testing.assert_close(cut, whole)
    torch.testing.assert_close(torch.autograd.grad(cut, args[:3]), gradients)


def test_chunks_cover_all_rows_once():
    chunks = contrast_kernels._chunks(70_000, 10_000)
    assert [i for chunk in chunks for i in range(chunk.start, chunk.stop)] == list(range(70_000))
    assert len(chunks) > 1


def test_one_whole_image_region_is_ntxent():
    """SimCLR is DetCon-S with a single mask: both directions add up to 2 * NT-Xent."""
    a, c = torch.randn(2, 6, 8).unbind()
    whole = torch.zeros(6, 1, dtype=torch.long)
    ours = contrastive_detection(a[:, None], c[:, None], a[:, None], whole, whole)
    ours = ours + contrastive_detection(c[:, None], a[:, None], c[:, None], whole, whole)
    z = torch.nn.functional.normalize(torch.cat([a, c]), dim=-1)
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    ntxent = torch.nn.functional.cross_entropy(logits, torch.arange(12).roll(6))
    torch.testing.assert_close(ours, 2 * ntxent)


def test_copies_of_an_anchor_together_weigh_as_one():
    """Doubling every slot leaves the sum over distinct masks, but halves its share of slots."""
    query, other, *_ = (x.detach() for x in draw_regions(2, 2, 2, 3, 4))
    ids = torch.tensor([[0, 1, 2], [3, 4, 5]])
    single = contrastive_detection(query, other, None, ids, ids)
    again = torch.cat([query, query], 1), torch.cat([ids, ids], 1)
    padded = torch.cat([other, other], 1), torch.cat([ids, ids], 1)
    copied = contrastive_detection(again[0], padded[0], None, again[1], padded[1])
    # Each positive now stands twice among the candidates: log 2 more for each anchor.
    assert copied.item() == pytest.approx((single.item() + math.log(2)) / 2, rel=1e-6)


def test_two_ranks_see_what_one_rank_sees():
    args = draw_regions(3, 4, 4, 5, 8)
    q, other, same, ids, other_ids = args
    whole = contrastive_detection(*args)
    halves = [
        contrastive_detection(q[s], other, same, ids[s], other_ids[s], first=s.start)
        for s in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(whole, torch.stack(halves).mean())


def test_absent_masks_and_no_masks_cost_nothing():
    x = torch.randn(2, 3, 4, requires_grad=True)
    ids = torch.arange(6).reshape(2, 3)
    for query_ids, other_ids in ((ids, ids + 100), (ids * 0 - 1, ids * 0 - 1)):
        loss = contrastive_detection(x, x, x, query_ids, other_ids)
        assert loss == 0
        assert torch.autograd.grad(loss, x)[0].abs().max() == 0


def test_a_row_without_candidates_gives_zero_not_nan():
    x = torch.randn(1, 2, 4, requires_grad=True)
    ids = torch.tensor([[0, 1]])
    loss = contrastive_detection(x, x, x, ids, ids + 5, local_negatives=False)
    assert loss == 0
    assert torch.isfinite(torch.autograd.grad(loss, x)[0]).all()


def official_contrast(query, other, same, query_ids, other_ids):
    """`helpers.l2_normalize` of the official code: x * rsqrt(max(|x|^2, 1e-12)); then the loss."""

    def official_unit(x):
        return x * torch.rsqrt(x.square().sum(-1, keepdim=True).clamp(min=1e-12))

    logits = [
        torch.einsum("brd,nsd->brns", official_unit(query), official_unit(x)) / 0.1
        for x in (other, same)
    ]

    own = torch.eye(len(query_ids))[:, None, :, None]
    positive = own * (query_ids[:, :, None] == other_ids[:, None, :])[:, :, None, :]
    copy = own * (query_ids[:, :, None] == query_ids[:, None, :])[:, :, None, :]
    joined = torch.cat([logits[0].flatten(2), (logits[1] - 1e9 * copy).flatten(2)], -1)
    positive = positive.flatten(2)
    label = positive / positive.sum(-1, keepdim=True).clamp(min=1)
    entropy = -(label * torch.log_softmax(joined, -1)[..., : label.shape[-1]]).sum(-1)
    weight = (positive.sum(-1) > 0) / copy.flatten(2).sum(-1)
    return (weight * entropy).mean()


@pytest.mark.parametrize("length", [1e-4, 1e-6, 1e-7, 1e-9])
def test_short_vectors_have_the_official_loss(length):
    """The official code clamps the length at 1e-6; one vector of all is that short."""
    query, other, same, ids, other_ids = draw_regions(8, 3, 3, 4, 8)
    vectors = [x.detach().clone() for x in (query, other, same)]
    for x in vectors:
        x[0, 1] *= length / x[0, 1].norm()
    vectors = [x.requires_grad_() for x in vectors]
    losses = [
        compute(*vectors, ids, other_ids)
        for compute in (contrastive_detection, plain_contrastive_detection, official_contrast)
    ]
    gradients = [torch.autograd.grad(loss, vectors) for loss in losses]
    for found, of in zip(losses[:2], gradients[:2], strict=True):
        torch.testing.assert_close(found, losses[2], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(of, gradients[2], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    args = draw_regions(4, 3, 3, 4, 8)
    vectors = [x.detach().to(dtype).requires_grad_() for x in args[:3]]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = contrastive_detection(*vectors, *args[3:])
    assert loss.dtype == torch.float32
    exact = contrastive_detection(*(x.double() for x in vectors), *args[3:])
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(loss, vectors))


def test_targets_without_gradient_get_none():
    query, other, same, ids, other_ids = draw_regions(5, 2, 2, 3, 4)
    loss = contrastive_detection(query, other.detach(), same.detach(), ids, other_ids)
    loss.backward()
    assert query.grad is not None and other.grad is None


def test_second_derivatives_are_refused():
    query, *rest = draw_regions(6, 2, 2, 3, 4)
    loss = contrastive_detection(query, *rest)
    with pytest.raises(RuntimeError, match="has no second derivative"):
        torch.autograd.grad(loss, query, create_graph=True)


def test_regression_on_whole_images_is_byol():
    a, c = torch.randn(2, 6, 8).unbind()
    whole = torch.zeros(6, 1, dtype=torch.long)
    expected = (2 - 2 * torch.nn.functional.cosine_similarity(a, c)).mean()
    ours = region_regression(a[:, None], c[:, None], whole, whole)
    torch.testing.assert_close(ours, expected)


def test_regression_pulls_only_at_masks_that_both_views_show():
    a = torch.randn(1, 3, 4, requires_grad=True)
    c = torch.randn(1, 3, 4)
    ids, other_ids = torch.tensor([[0, 1, -1]]), torch.tensor([[2, 1, -1]])
    loss = region_regression(a, c, ids, other_ids)
    expected = (2 - 2 * torch.nn.functional.cosine_similarity(a[0, 1], c[0, 1], dim=0)) / 3
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, a)
    assert gradient[0, 0].abs().max() == 0 and gradient[0, 1].abs().max() > 0


def test_says_when_targets_were_not_gathered():
    x, ids = torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(
        ValueError, match=r"images are 2\.\.3, but the gathered targets hold only 2"
    ):
        contrastive_detection(x, x, x, ids, ids, first=2)


def test_says_when_the_temperature_is_not_positive():
    x, ids = torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        contrastive_detection(x, x, x, ids, ids, temperature=0.0)
