"""Tests for detcon.models.heads."""

import torch

from detcon.models.heads import Head


def test_norm_takes_all_regions_of_all_photos_together():
    head = Head(8, 16, 4)
    x = torch.randn(3, 5, 8)
    flat = x.reshape(1, 15, 8)
    torch.testing.assert_close(head(x).reshape(1, 15, 4), head(flat))


def test_layers_are_the_official_ones():
    head = Head(2048, 4096, 256)
    shapes = {name: tuple(p.shape) for name, p in head.named_parameters()}
    assert shapes == {
        "hidden.weight": (4096, 2048),
        "hidden.bias": (4096,),
        "norm.weight": (4096,),
        "norm.bias": (4096,),
        "output.weight": (256, 4096),
    }


def test_output_norm_is_simclrs():
    rows = Head(8, 16, 4, output_norm=True)(torch.randn(6, 5, 8)).flatten(0, 1)
    torch.testing.assert_close(rows.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
