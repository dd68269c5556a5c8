"""Tests for detcon.downstream.tasks.probes.linear."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, interpolate

from detcon.data.labelled.examples import Example, Examples, LabelError
from detcon.downstream.tasks.probes import linear as probe
from detcon.downstream.tasks.probes.linear import cell_shares, fit_probe, gather_cells
from detcon.downstream.tasks.probes.recipe import LinearSegmentationRecipe
from detcon.downstream.tasks.segmentation.data import open_label_data
from detcon.downstream.tasks.segmentation.task import score


def colours(images):
    """A stand-in for an encoder: the mean colours of cells of 4 x 4 pixels."""
    cells = torch.nn.functional.avg_pool2d(images.float(), 4)
    return torch.cat([cells, torch.ones_like(cells[:, :1])], 1)  # and a channel that is constant


def pictures(squares, part="train"):
    split = getattr(open_label_data(squares), part)
    return Examples(split, range(len(split.keys)))


def classify(layer):
    def name(image):
        cells = layer(colours(image))
        return interpolate(cells, size=image.shape[-2:], mode="bilinear").argmax(1).byte()

    return name


def test_reads_classes_off_colours(squares):
    layer = fit_probe(colours, pictures(squares), 3)
    found = score(classify(layer), pictures(squares, "val"), ("ground", "red", "blue"))
    assert found.value > 75


@pytest.mark.parametrize("size", [1e6, 1e15, 1e30])
def test_a_large_constant_channel_changes_nothing(squares, size):
    """Its mean is rounded in 32 bits: the rest isn't a feature, and a solver overflows on it."""

    def with_constant(images):
        cells = colours(images)
        return torch.cat([cells, torch.full_like(cells[:, :1], size) * (1 + 1e-7)], 1)

    layer, usual = (fit_probe(f, pictures(squares), 3) for f in (with_constant, colours))
    torch.testing.assert_close(layer.weight[:, :4], usual.weight, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(layer.bias, usual.bias, rtol=1e-3, atol=1e-5)
    assert not layer.weight[:, 4].any()


def test_the_solution_is_a_minimum(squares):
    """No gradient is left, in the pixel loss as well: labels of whole cells make them one."""
    some = list(pictures(squares))[:4]
    some = [
        Example(p.key, p.image, np.kron(p.labels[::8, ::8] % 3, np.ones((8, 8), np.uint8)))
        for p in some
    ]
    recipe = LinearSegmentationRecipe(weight_decay=1e-3, iterations=2000, fineness=1)
    layer = fit_probe(colours, some, 3, recipe)
    (cells,) = gather_cells(colours, some, 3, 1)
    std = cells.features.std((0, 2, 3), correction=0)
    std[3] = 1
    weight = layer.weight.clone().requires_grad_()
    bias = layer.bias.clone().requires_grad_()
    logits = torch.nn.functional.conv2d(cells.features, weight, bias)
    loss = cross_entropy(logits, cells.shares.argmax(1))
    loss = loss + 1e-3 * (weight[..., 0, 0] * std).square().sum()
    loss.backward()
    assert (weight.grad[..., 0, 0] / std).abs().max() < 1e-3 and bias.grad.abs().max() < 1e-3


def test_is_the_same_every_time(squares):
    first, second = (fit_probe(colours, pictures(squares), 3) for _ in range(2))
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)


def test_the_scale_of_features_changes_nothing(squares):
    first = fit_probe(colours, pictures(squares), 3)
    second = fit_probe(lambda x: 100 * colours(x) + 7, pictures(squares), 3)
    image = torch.from_numpy(pictures(squares)[0].image).permute(2, 0, 1)[None]
    torch.testing.assert_close(
        second(100 * colours(image) + 7), first(colours(image)), atol=1e-1, rtol=1e-2
    )


def test_mirror_images_are_added_and_sizes_may_differ(squares):
    some = list(pictures(squares))[:3]
    wide = Example("wide", np.zeros((32, 64, 3), np.uint8), np.zeros((32, 64), np.uint8))
    first, second = gather_cells(colours, [*some, wide], 3, fineness=2)
    assert first.features.shape == (6, 4, 8, 8) and first.shares.shape == (6, 3, 16, 16)
    assert second.features.shape == (2, 4, 8, 16)
    torch.testing.assert_close(first.features[1], first.features[0].flip(-1))
    torch.testing.assert_close(first.shares[1], first.shares[0].flip(-1))


def test_shares_of_cells_leave_void_out():
    labels = torch.tensor([[[0, 0, 1, 255], [1, 0, 255, 255]]], dtype=torch.uint8)
    shares = cell_shares(labels, 2, (1, 2))
    assert shares.tolist() == [[[[0.75, 0.0]], [[0.25, 0.25]]]]


def test_says_when_features_do_not_fit(squares, monkeypatch):
    monkeypatch.setattr(probe, "MEMORY", 1000)
    with pytest.raises(LabelError, match="give labels=N to use fewer"):
        fit_probe(colours, pictures(squares), 3)
