"""Tests for detcon.downstream.network.FeatureMemory: a frozen encoder is asked once for a photo."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from detcon.downstream.network import FeatureMemory
from detcon.downstream.transfer import transfer
from detcon.models.backbone_file import Normalisation, save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.models.resnet import ResNet

CENTRE = {"shorter": 32, "side": 32}
ONE = torch.ones(1, 1, 1, 1)
PROBES = {
    "linear_segmentation": ("squares", {"iterations": 5}),
    "knn_segmentation": ("squares", {}),
    "linear_classification": ("fruit", {"iterations": 5, "centre": CENTRE}),
    "knn_classification": ("fruit", {"centre": CENTRE}),
}


@pytest.fixture
def backbone(tmp_path):
    recipe = EncoderRecipe(name="resnet18", width=0.125, stride=8)
    path = tmp_path / "backbone.safetensors"
    save_backbone(path, build_encoder(recipe), recipe, normalisation=Normalisation())
    return str(path)


@pytest.mark.parametrize("kind", PROBES)
def test_a_grid_of_probes_gives_what_its_cells_give_alone(
    kind, backbone, tmp_path, request, monkeypatch
):
    seen, forward = [], ResNet.forward
    monkeypatch.setattr(
        ResNet,
        "forward",
        lambda self, images: (seen.append(images.clone()), forward(self, images))[1],
    )
    fixture, options = PROBES[kind]
    data, cells = request.getfixturevalue(fixture), ((6, 0), (6, 1), (None, 0), (None, 1))
    shared = {"data": str(data), "task": {"kind": kind, **options}}
    shared |= {"backbone": backbone}
    alone = [
        transfer(**shared, out=str(tmp_path / f"{labels}_{seed}"), labels=labels, seed=seed)[0]
        for labels, seed in cells
    ]
    asked_alone, seen[:] = len(seen), []
    together = transfer(**shared, out=str(tmp_path / "grid"), labels=[6, None], seeds=2)
    assert [one.value for one in together] == [one.value for one in alone]
    assert [one.per_class for one in together] == [one.per_class for one in alone]
    for one, (labels, seed) in zip(together, cells, strict=True):
        amount = "all" if labels is None else f"labels{labels}"
        (folder,) = Path(tmp_path, "grid").glob(f"*/{amount}/seed{one.seed}")
        mine = load_file(folder / "model.safetensors")
        its = load_file(tmp_path / f"{labels}_{seed}" / f"seed{seed}" / "model.safetensors")
        assert mine.keys() == its.keys()
        assert all(torch.equal(mine[name], its[name]) for name in mine)
    different = {batch.numpy().tobytes() for batch in seen}
    assert len(seen) == len(different) < asked_alone / 2


def test_of_another_encoder_nothing_is_remembered(squares, tmp_path):
    """Random weights are others for each seed."""
    shared = {"backbone": "random", "encoder": {"name": "resnet18", "width": 0.125, "stride": 8}}
    shared |= {"data": str(squares), "task": {"kind": "knn_segmentation"}}
    alone = [transfer(**shared, out=str(tmp_path / f"{s}"), seed=s)[0].value for s in (0, 1)]
    grid = transfer(**shared, out=str(tmp_path / "grid"), seeds=2)
    assert [one.value for one in grid] == alone and alone[0] != alone[1]


def test_a_memory_has_room_for_the_first_and_gives_copies():
    memory, photos = FeatureMemory(room=100).of("a"), torch.arange(24, dtype=torch.uint8)
    first, second = photos[:12].view(1, 3, 2, 2), photos[12:].view(1, 3, 2, 2)
    with torch.inference_mode():
        made = memory.recall(first, lambda images: images.float())  # 48 bytes
        memory.recall(second, lambda images: torch.zeros(1, 25, 2, 2))  # 400: no room
    kept = memory.recall(first, lambda images: pytest.fail("it was there"))
    assert torch.equal(kept, made) and not kept.is_inference()
    kept.zero_()
    assert torch.equal(memory.recall(first, lambda images: images.float()), made)
    assert memory.recall(second, lambda images: ONE).item() == 1
    assert memory.of("a").recall(first.reshape(1, 3, 4, 1), lambda images: ONE).item() == 1
    assert memory.of("b").recall(first, lambda images: ONE).item() == 1
