"""Tests for detcon.downstream.tasks.segmentation and scoring."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from detcon.data.labelled.crops import LabelledBatch
from detcon.data.labelled.examples import Example
from detcon.downstream.tasks.segmentation.fcn import Segmenter, fcn_head, pixel_loss
from detcon.downstream.tasks.segmentation.task import score
from detcon.models.recipe import Normalisation


def segmenter(num_classes=3):
    encoder = nn.Conv2d(3, 8, 4, stride=4)
    head = fcn_head(8, num_classes, channels=6, dilation=2)
    return Segmenter(encoder, head, Normalisation(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2)))


def test_the_head_is_the_one_of_the_protocol():
    kinds = [type(layer).__name__ for layer in fcn_head(32, 21, channels=256, dilation=6)]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU"] * 2 + ["Conv2d"]
    head = fcn_head(32, 21, channels=256, dilation=6)
    shapes = [tuple(layer.weight.shape) for layer in head if isinstance(layer, nn.Conv2d)]
    assert shapes == [(256, 32, 3, 3), (256, 256, 3, 3), (21, 256, 1, 1)]
    assert [m.dilation for m in head if isinstance(m, nn.Conv2d)] == [(6, 6), (6, 6), (1, 1)]


def test_fresh_logits_are_nearly_flat():
    model = segmenter(11).eval()
    logits = model.logits(torch.randint(0, 256, (2, 3, 20, 28), dtype=torch.uint8))
    assert logits.shape == (2, 11, 20, 28)
    loss = pixel_loss(logits, torch.zeros(2, 20, 28, dtype=torch.uint8))
    assert loss.item() == pytest.approx(math.log(11), abs=0.3)


def test_the_mean_colour_normalises_to_nothing():
    model = segmenter()
    image = torch.tensor(model.mean_colour, dtype=torch.uint8).view(1, 3, 1, 1)
    assert model.normalise(image).abs().max() < 0.01


def test_the_loss_ignores_void():
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    labels = torch.randint(0, 3, (2, 4, 5), dtype=torch.uint8)
    labels[0, :2] = 255
    loss = pixel_loss(logits, labels)
    loss.backward()
    chosen = logits.detach().log_softmax(1).permute(0, 2, 3, 1)[labels != 255]
    expected = -chosen[torch.arange(len(chosen)), labels[labels != 255].long()].mean()
    torch.testing.assert_close(loss.detach(), expected)
    assert logits.grad is not None and not logits.grad[0, :, :2].any()


def test_a_batch_of_nothing_but_void_costs_nothing():
    model = segmenter()
    batch = LabelledBatch(
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
        torch.full((2, 8, 8), 255, dtype=torch.uint8),
        torch.arange(2),
    )
    loss, _ = model(batch)
    loss.backward()
    assert loss.item() == 0


def by_hand(truths, predictions, num_classes):
    """Intersection over union from a confusion matrix, pixel by pixel."""
    confusion = np.zeros((num_classes, num_classes), int)
    for truth, prediction in zip(truths, predictions):
        for t, p in zip(truth.ravel(), prediction.ravel()):
            if t != 255:
                confusion[t, p] += 1
    by_class = []
    for k in range(num_classes):
        union = confusion[k].sum() + confusion[:, k].sum() - confusion[k, k]
        by_class.append(100 * confusion[k, k] / union if union else None)
    return by_class


@given(st.integers(0, 2**32), st.integers(2, 6))
@settings(max_examples=50, deadline=None)
def test_the_score_equals_a_confusion_matrix_by_hand(seed, num_classes):
    rng = np.random.default_rng(seed)
    truths = [rng.choice([*range(num_classes - 1), 255], (4, 5)).astype(np.uint8) for _ in range(3)]
    guesses = [rng.integers(0, rng.integers(1, num_classes + 1), (4, 5)) for _ in range(3)]
    pictures = [Example("", np.zeros((4, 5, 3), np.uint8), truth) for truth in truths]
    queue = iter(guesses)
    names = tuple(f"c{i}" for i in range(num_classes))
    found = score(lambda _: torch.from_numpy(next(queue))[None].to(torch.uint8), pictures, names)
    expected = by_hand(truths, guesses, num_classes)
    for name, value in zip(names, expected, strict=True):
        assert found.per_class[name] == (None if value is None else pytest.approx(value, abs=1e-4))
    there = [value for value in expected if value is not None]
    assert found.value == pytest.approx(np.mean(there) if there else 0, abs=1e-4)
    right = [g[t != 255] == t[t != 255] for g, t in zip(guesses, truths, strict=True)]
    share = 100 * np.concatenate(right).mean() if np.concatenate(right).size else 0
    assert found.figures == {"pixel accuracy": pytest.approx(share, abs=1e-4)}
