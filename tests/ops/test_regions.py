"""Tests for detcon.ops.regions."""

import pytest
import torch
from jaxtyping import TypeCheckError

from detcon.ops.regions import pool_regions


def test_pooling_is_the_weighted_mean_over_the_region():
    features = torch.randn(2, 5, 3, 4)
    weights = torch.rand(2, 6, 3, 4) * (torch.rand(2, 6, 3, 4) > 0.5)
    pooled = pool_regions(features, weights)
    for i in range(2):
        for k in range(6):
            w = weights[i, k]
            expected = sum(
                w[y, x] * features[i, :, y, x] for y in range(3) for x in range(4)
            ) / w.sum().clamp(min=1e-6)
            torch.testing.assert_close(pooled[i, k], expected)


def test_whole_image_weights_are_average_pooling():
    features = torch.randn(2, 5, 3, 4)
    pooled = pool_regions(features, torch.ones(2, 1, 3, 4))
    torch.testing.assert_close(pooled[:, 0], features.mean((2, 3)))


def test_an_empty_region_is_zero_and_has_a_gradient_of_zero():
    features = torch.randn(1, 5, 3, 4, requires_grad=True)
    pooled = pool_regions(features, torch.zeros(1, 2, 3, 4))
    assert pooled.abs().max() == 0
    pooled.sum().backward()
    assert features.grad is not None and features.grad.abs().max() == 0


def test_the_suite_checks_the_shapes_in_signatures():
    with pytest.raises(TypeCheckError, match="weights"):
        pool_regions(torch.zeros(2, 5, 3, 4), torch.zeros(2, 6, 4, 3))
