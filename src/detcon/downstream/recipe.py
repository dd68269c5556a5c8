"""What a transfer is told."""

from typing import Annotated, Literal

from pydantic import Field

from detcon.config import Recipe
from detcon.downstream.depth.recipe import DepthRecipe
from detcon.downstream.probes.linear_segmentation import ProbeRecipe
from detcon.models.encoders import EncoderRecipe
from detcon.train.loop import LoopRecipe
from detcon.train.optim import AdamW, Cosine, OptimizerRecipe, ScheduleRecipe

Side = Annotated[int, Field(ge=8)]
Factor = Annotated[float, Field(gt=0)]


class TransferRecipe(Recipe):
    """A backbone and a folder of labelled pictures become a trained model and its figures."""

    task: Literal["segmentation", "linear_segmentation", "depth"] = Field(
        default="segmentation",
        description="fine-tune an FCN, fit a linear layer on the frozen encoder, or learn depth",
    )
    data: str = Field(
        description="folder with train/ and val/, each with images/ and labels/ or depth/"
    )
    format: str = Field(default="folder", description="how the data are laid out")
    out: str = Field(description="run folder; each seed has its own in it")
    backbone: str = Field(description="file, torchvision:resnet50, timm:convnext_atto, or random")
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
        default=16, description="pixels to a cell; null leaves the backbone's (timm models)"
    )
    labels: int | None = Field(
        default=None, ge=1, description="use only so many labelled training pictures; null: all"
    )
    seeds: int = Field(default=1, ge=1, description="runs, each with the next seed")
    seed: int = Field(default=0, ge=0, description="of the labelled subset, order, fresh weights")
    size: Side | None = Field(
        default=None, description="longest side of the pictures, shrunk when read; null: as is"
    )
    crop: Side | tuple[Side, Side] = Field(
        default=320, description="training crop in pixels, or its [height, width]"
    )
    scale: tuple[Factor, Factor] = Field(
        default=(0.5, 2.0), description="training pictures are scaled by a factor in between"
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="share of mirrored training pictures")
    ignore: int | None = Field(default=None, ge=0, description="a class id that means void, as 255")
    num_classes: int | None = Field(
        default=None, ge=1, le=254, description="null: from classes.json, or the greatest id in use"
    )
    head_channels: int = Field(default=256, ge=1, description="of the FCN's two convolutions")
    dilation: int = Field(default=6, ge=1, description="of the FCN's two convolutions")
    probe: ProbeRecipe = Field(default=ProbeRecipe(), description="how the linear layer is fitted")
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


def updates(settings: TransferRecipe) -> int:
    """How many updates the task makes: of the network, or of the solver of a probe."""
    is_probe = settings.task == "linear_segmentation"
    return settings.probe.iterations if is_probe else settings.steps
