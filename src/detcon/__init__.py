"""Object-level self-supervised pretraining by contrastive detection (DetCon, ICCV 2021).

The public names are resolved when first used, so that a worker which only makes masks never
imports torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOMES = {
    "contrastive_detection": "ops.contrast",
    "region_regression": "ops.contrast",
    "pool_regions": "ops.regions",
    "sample_regions": "ops.labels",
    "shrink_labels": "ops.labels",
    "Masks": "masks",
    "MaskGenerator": "masks",
    "WholeImage": "masks.sources",
    "Grid": "masks.sources",
    "Felzenszwalb": "masks.sources",
    "MCG": "masks.sources",
    "MCGFull": "masks.sources",
    "FromAnnotations": "masks.sources",
    "Displaced": "masks.sources",
    "FromCallable": "masks.sources",
    "Slic": "masks.sources",
    "MaskStore": "masks.store",
    "Clusters": "masks.sources",
    "SegmentAnything": "masks.sources",
    "make_masks": "masks.store.fill",
    "convert_masks": "masks.store.convert",
    "train_ranker": "masks.sources.mcg.training",
    "Batch": "data.batch",
    "Method": "methods.method",
    "detcon_s": "methods.compositions",
    "detcon_b": "methods.compositions",
    "simclr": "methods.compositions",
    "byol": "methods.compositions",
    "region_distillation": "methods.compositions",
    "Teacher": "methods.towers",
    "supervised": "methods.compositions",
    "pretrain": "pretraining.training",
    "transfer": "downstream.transfer",
    "adapt": "adapting.adapt",
    "predict": "downstream.predicting",
    "load_model": "downstream.model_file",
    "make_scenes": "scenes.write",
    "score": "report.score",
    "make_report": "report.page",
    "embed": "embedding.table",
    "embeddings": "embedding.vectors",
    "export": "exporting.write",
    "import_weights": "importing.write",
    "load_backbone": "models.backbone_file",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'detcon' has no attribute '{name}'")
    return getattr(import_module(f"detcon.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, "__version__"])
