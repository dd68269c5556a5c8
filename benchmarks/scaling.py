"""What each rank of a large run holds and sends: a model with counted numbers, not a measurement.

    python benchmarks/scaling.py

Parameters, batch norms and what autograd keeps for the backward pass are counted on the meta
device, where tensors have shapes and no values; everything else follows from shapes. It fills
docs/scaling.md and writes results/scaling.json.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pairs import RESULTS
from torch import nn

from detcon.methods.compositions import detcon_b, detcon_s
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe

SIZE, CELLS, REGIONS = 224, 7, 16
RANKS, BATCHES = (8, 64, 512), (4096, 40960)
MAKE = {"detcon_s": detcon_s, "detcon_b": detcon_b}
DIMENSIONS = {"detcon_s": 128, "detcon_b": 256}
R50_FLOPS = 8.2e9  # forward, 224 px: 4.1 G multiply-adds, as torchvision's documentation has it
PRODUCTS = {"detcon_s": 12, "detcon_b": 8}
"""Matrix products of a rank's rows and all columns: both directions, forward and backward."""
GIB = 2**30


@dataclass(frozen=True)
class Network:
    """What a method with a ResNet-50 is made of.

    Attributes:
        trained: Parameters with a gradient.
        followed: Parameters of the target.
        kept: Bytes that the backward pass needs of a view of a photo, in bfloat16.
        norms: Batch norms that a view passes with gradient.
        norms_of_target: Batch norms that a view passes without.
        channels: Of all those norms.
    """

    trained: int
    followed: int
    kept: int
    norms: int
    norms_of_target: int
    channels: int


def count(method: str) -> Network:
    module = MAKE[method](build_encoder(EncoderRecipe(name="resnet50"))).bfloat16().to("meta")
    with torch.device("meta"):
        photos = torch.empty(4, 3, SIZE, SIZE, dtype=torch.bfloat16)
        weights = torch.empty(4, REGIONS, CELLS, CELLS, dtype=torch.bfloat16)
    storages: dict[int, int] = {}
    own = {parameter.untyped_storage()._cdata for parameter in module.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            storages[storage._cdata] = storage.nbytes()
            alive.append(storage)  # or another would get its address
        return tensor

    alive: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        found = module.online(photos, weights)
        module.predictor(found) if module.predictor is not None else found
    norms = list(_norms(module))
    target = [] if module.target is None else list(_norms(module.target))
    return Network(
        trained=sum(p.numel() for p in module.parameters() if p.requires_grad),
        followed=sum(p.numel() for p in module.parameters() if not p.requires_grad),
        kept=sum(storages.values()) // 4,
        norms=len(norms) - len(target),
        norms_of_target=len(target),
        channels=sum(norm.num_features for norm in norms),
    )


def _norms(module: nn.Module) -> Iterator[Any]:
    return (m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))


def rank(network: Network, method: str, batch: int, ranks: int) -> dict[str, float]:
    """Memory in GiB, traffic in MB an update, and arithmetic, of one rank."""
    photos, d = batch / ranks, DIMENSIONS[method]
    rest = (ranks - 1) / ranks
    embeddings = 2 * batch * REGIONS * d * 4  # both views, float32
    with_gradient = method == "detcon_s"
    passes = 3 + (network.norms_of_target > 0)  # forward, twice that backward; the target forward
    rows, columns = photos * REGIONS, batch * REGIONS
    contrast = PRODUCTS[method] * 2 * rows * columns * d
    return {
        "photos": photos,
        "weights": (3 * network.trained + network.followed) * 4 / GIB,
        "activations": 2 * photos * network.kept / GIB,
        "embeddings": embeddings * (1 + with_gradient) / GIB,
        "send gradients": 2 * rest * network.trained * 4 / 1e6,
        "send embeddings": rest * embeddings * (1 + with_gradient) / 1e6,
        "collectives of norms": 2 * (2 * network.norms + network.norms_of_target),
        "contrast / encoder": contrast / (passes * 2 * photos * R50_FLOPS),
    }


def main() -> None:
    figures = {}
    for method in MAKE:
        network = count(method)
        figures[method] = {"network": asdict(network)}
        print(f"\n{method}: {network}\n")
        lines = [
            {"batch": batch, "ranks": ranks} | rank(network, method, batch, ranks)
            for batch in BATCHES
            for ranks in RANKS
        ]
        figures[method]["ranks"] = lines
        print(f"| {' | '.join(lines[0])} |\n{'|---' * len(lines[0])}|")
        for line in lines:
            print("|", " | ".join(f"{value:.4g}" for value in line.values()), "|")
    path = RESULTS / "scaling.json"
    path.write_text(json.dumps({"torch": torch.__version__, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
