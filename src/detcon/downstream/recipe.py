"""What a transfer is told."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from detcon.config import Recipe
from detcon.downstream.tasks.depth.recipe import DepthRecipe
from detcon.downstream.tasks.detection.recipe import DetectorRecipe
from detcon.downstream.tasks.probes.classifier import CentreRecipe
from detcon.downstream.tasks.probes.logistic import ProbeRecipe
from detcon.downstream.tasks.probes.neighbours import KnnRecipe
from detcon.formats.registry import Format
from detcon.models.recipe import EncoderRecipe
from detcon.train.recipe import AdamW, Cosine, LoopRecipe, OptimizerRecipe, ScheduleRecipe

Side = Annotated[int, Field(ge=8)]
Factor = Annotated[float, Field(gt=0)]
_OWN_DEFAULTS = {
    "detection": {"stride": 32, "scale": (0.8, 1.25), "crop": 512},
    "depth": {"stride": 32, "scale": (1.0, 1.0)},
}
"""Where a task departs from the defaults of the others."""


def _several(value: Any) -> Any:
    """`A,B` on the command line is a list, as in YAML; "all" labels are null."""
    if isinstance(value, str) and "," in value:
        value = [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list | tuple):
        return tuple(_several(one) for one in value)
    return None if value == "all" else value


def _differ(value: Any) -> Any:
    if isinstance(value, tuple) and len(set(value)) < len(value):
        raise ValueError("name each only once")
    return value


def _amounts(value: Any) -> Any:
    """Numbers of pictures, or all of them."""
    value = _several(value)
    for one in value if isinstance(value, tuple) else (value,):
        if one is not None and (not str(one).isdigit() or int(one) < 1):
            raise ValueError("give numbers of pictures, or all, as in labels=50,100,all")
    return value


Names = Annotated[str | tuple[str, ...], BeforeValidator(_several), AfterValidator(_differ)]
Amount = Annotated[int, Field(ge=1)] | None
Amounts = Annotated[Amount | tuple[Amount, ...], BeforeValidator(_amounts), AfterValidator(_differ)]


ProbeTask = Literal[
    "linear_segmentation", "knn_segmentation", "linear_classification", "knn_classification"
]
"""Tasks that leave the encoder as it is."""


class TransferSettings(Recipe):
    """What all cells of a transfer have in common."""

    task: Literal["segmentation", "detection", "depth", ProbeTask] = Field(
        default="segmentation",
        description="fine-tune an FCN, a Mask R-CNN or a depth head; or linear_segmentation, "
        "knn_segmentation, linear_classification, knn_classification: what the frozen encoder "
        "shows",
    )
    data: str = Field(description="folder of the labelled data")
    format: Format = Field(
        default="folder",
        description="how it lies there: train/ and val/ with images/ and labels/ or "
        "depth/, for classification with a folder for each class; or as downloaded",
    )
    out: str = Field(description="run folder; each seed has its own in it")
    backbone_sha256: str | None = Field(
        default=None, description="of the file; found out and recorded, checked where given"
    )
    backbone_partial: bool = Field(
        default=False,
        description="take what matches of the file, leave the rest fresh, and say what matched",
    )
    encoder: EncoderRecipe | None = Field(
        default=None, description="for a backbone that doesn't say its architecture"
    )
    stride: int | None = Field(
        default=16, description="pixels to a cell (detection: 32); null leaves the backbone's"
    )
    seeds: int = Field(default=1, ge=1, description="runs, each with the next seed")
    seed: int = Field(default=0, ge=0, description="of the labelled subset, order, fresh weights")
    size: Side | None = Field(
        default=None, description="longest side of the pictures, shrunk when read; null: as is"
    )
    crop: Side | tuple[Side, Side] = Field(
        default=320,
        description="training crop in pixels, or its [height, width]; detection: a square, 512",
    )
    scale: tuple[Factor, Factor] = Field(
        default=(0.5, 2.0),
        description="training pictures are scaled by a factor in between; detection: their "
        "longest side to 0.8 to 1.25 times the square",
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="share of mirrored training pictures")
    ignore: int | None = Field(default=None, ge=0, description="a class id that means void, as 255")
    num_classes: int | None = Field(
        default=None, ge=1, le=254, description="null: from classes.json, or the greatest id in use"
    )
    head_channels: int = Field(default=256, ge=1, description="of the FCN's two convolutions")
    dilation: int = Field(default=6, ge=1, description="of the FCN's two convolutions")
    detector: DetectorRecipe = Field(
        default=DetectorRecipe(), description="the Mask R-CNN of detection"
    )
    probe: ProbeRecipe = Field(default=ProbeRecipe(), description="how the linear layer is fitted")
    knn: KnnRecipe = Field(default=KnnRecipe(), description="how the nearest neighbours vote")
    centre: CentreRecipe = Field(
        default=CentreRecipe(), description="the part of a photo that a classification looks at"
    )
    depth: DepthRecipe = Field(
        default=DepthRecipe(), description="head, loss and augmentation of depth"
    )
    batch_size: int = Field(default=16, ge=2, description="crops an update, on all devices")
    steps: int = Field(default=1000, ge=1, description="updates of the network")
    optimizer: OptimizerRecipe = Field(
        default=AdamW(lr=1e-3, weight_decay=0.01), description="what makes the updates"
    )
    schedule: ScheduleRecipe = Field(default=Cosine(warmup=0.1), description="how the rate changes")
    workers: int = Field(default=0, ge=0, description="processes that read and cut pictures")
    loop: LoopRecipe = Field(default=LoopRecipe(), description="precision, logs, checkpoints")

    @model_validator(mode="before")
    @classmethod
    def _of_the_task(cls, values: Any) -> Any:
        is_known = isinstance(values, dict) and values.get("task") in list(_OWN_DEFAULTS)
        return {**_OWN_DEFAULTS[values["task"]], **values} if is_known else values


class TransferRecipe(TransferSettings):
    """One backbone and one amount of labels: a cell, whose recipe lies beside its result."""

    backbone: str = Field(description="file, torchvision:resnet50, timm:convnext_atto, or random")
    labels: int | None = Field(
        default=None, ge=1, description="use only so many labelled training pictures; null: all"
    )


class GridRecipe(TransferSettings):
    """Backbones and labelled pictures become trained models and their figures."""

    backbone: Names = Field(
        description="file, torchvision:resnet50, timm:convnext_atto, or random; several: A,B,random"
    )
    labels: Amounts = Field(
        default=None,
        description="use only so many labelled training pictures; null: all; several: 50,100,all",
    )

    @property
    def backbones(self) -> tuple[str, ...]:
        """Each backbone to try."""
        return (self.backbone,) if isinstance(self.backbone, str) else self.backbone

    @property
    def amounts(self) -> tuple[int | None, ...]:
        """Each amount of labels to try; None for all."""
        return self.labels if isinstance(self.labels, tuple) else (self.labels,)

    @property
    def is_grid(self) -> bool:
        """Whether more than seeds differ."""
        return isinstance(self.backbone, tuple) or isinstance(self.labels, tuple)


def updates(settings: TransferSettings) -> int:
    """How many updates the task makes: of the network, or of the solver of a probe."""
    if settings.task in ("knn_segmentation", "knn_classification"):
        return 0
    is_probe = settings.task in ("linear_segmentation", "linear_classification")
    return settings.probe.iterations if is_probe else settings.steps
