"""One update of every recipe of pretraining, at its full resolution, with two photos.

    python benchmarks/one_step.py                # all; five minutes on one thread, up to 8 GB
    python benchmarks/one_step.py NAME [NAME]    # some, into the same results
    python benchmarks/one_step.py table          # the result as Markdown

It shows that a recipe runs, and what one process needs: nothing of how fast it would be on the
machine that it is made for. Photos and objects are built-in scenes, in COCO's layout; masks are
what the recipe's header says: Felzenszwalb-Huttenlocher segments, or the objects. A teacher is a
ResNet-50 with fresh weights. Each recipe has a process of its own, whose memory includes the
libraries'. "Kept" is what the encoder keeps of one view for the backward pass, in bf16, counted on
the meta device: what a GPU holds twice for each photo.
"""

import json
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from pairs import RESULTS, save

from detcon import make_masks, make_scenes, pretrain
from detcon.config import load_recipe, shipped_recipes
from detcon.methods.recipe import RegionDistillation
from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.pretraining.recipe import PretrainRecipe

RESULT = RESULTS / "one_step.json"
PHOTOS, SIDE = 4, 480


def main(words: list[str]) -> None:
    """Measures recipes one after the other, and writes the results after each."""
    if words == ["table"]:
        return print(table(json.loads(RESULT.read_text())["figures"]))
    names = words or sorted(path.stem for path in (shipped_recipes() / "pretrain").glob("*.yaml"))
    results = json.loads(RESULT.read_text())["figures"] if RESULT.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for name in names:
            with get_context("fork").Pool(1) as pool:  # the libraries are loaded already
                results[name] = pool.apply(measure, (name, Path(folder)))
            save("one_step", dict(sorted(results.items())))
            print(name, results[name], flush=True)


def prepare(folder: Path) -> None:
    """Photos in COCO's layout, two stores of masks, and a teacher."""
    make_scenes(out=folder / "coco", num=PHOTOS, size=SIDE, format="coco", workers=1)
    images = str(folder / "coco" / "train2017")
    make_masks("recipes/masks/felzenszwalb.yaml", images=images, out=folder / "fh", workers=1)
    objects = {"generator.folder": str(folder / "coco"), "workers": 1}
    make_masks(
        "recipes/masks/coco_annotations.yaml", images=images, out=folder / "objects", **objects
    )
    recipe = EncoderRecipe(name="resnet50")
    encoder, usual = build_encoder(recipe), Normalisation()
    save_backbone(folder / "teacher.safetensors", encoder, recipe, normalisation=usual)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """One update in this process."""
    path = shipped_recipes() / "pretrain" / f"{name}.yaml"
    masks = folder / ("objects" if name.endswith("_coco") else "fh")
    paths = {"images": str(folder / "coco" / "train2017"), "masks": str(masks)}
    settings = load_recipe(PretrainRecipe, path, paths | {"out": "out"})
    if isinstance(settings.method, RegionDistillation):
        paths["method.teacher"] = str(folder / "teacher.safetensors")
    before = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        pretrain(path, **paths, out=f"{out}/run", batch_size=2, steps=1, workers=0,
                 **{"loop.accelerator": "cpu"})  # fmt: skip
        (line,) = Path(f"{out}/run/metrics.jsonl").read_text().splitlines()
    return {
        "pixels": settings.views.size,
        "loss": round(json.loads(line)["loss"], 3),
        "processor_seconds": round(time.process_time() - before, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "kept_mb_a_view": round(kept(settings) / 1e6, 1),
    }


def kept(settings: PretrainRecipe) -> float:
    """Bytes that the encoder keeps of one view for the backward pass."""
    with torch.device("meta"):
        encoder = build_encoder(settings.encoder).bfloat16()
    if settings.loop.recompute:
        encoder.recompute_activations()
    return (_kept(encoder, settings, 4) - _kept(encoder, settings, 2)) / 2


def _kept(encoder: Any, settings: PretrainRecipe, num: int) -> int:
    size, channels = settings.views.size, settings.encoder.in_channels
    photos = torch.empty(num, channels, size, size, device="meta", dtype=torch.bfloat16)
    sizes = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = encoder(photos)
    del features  # the graph was alive till here: no storage was counted in another's place
    return sum(sizes.values())


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    rows = [
        "| recipe | pixels | processor seconds | memory (GB) | kept a view (MB) |",
        "|---|---|---|---|---|",
    ]
    for name, row in results.items():
        rows.append(
            f"| `{name}` | {row['pixels']} | {row['processor_seconds']:.0f} "
            f"| {row['peak_gb']:.1f} | {row['kept_mb_a_view']:.0f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
