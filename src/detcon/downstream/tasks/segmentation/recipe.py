"""Settings of semantic segmentation."""

from typing import ClassVar, Literal

from pydantic import Field

from detcon.config import Recipe
from detcon.downstream.tasks.settings import (
    BatchSize,
    Count,
    Crop,
    Flip,
    Ignore,
    NumClasses,
    Optimizer,
    Scale,
    Schedule,
    Steps,
)
from detcon.train.recipe import AdamW, Cosine


class SegmentationRecipe(Recipe):
    """Fine-tunes an FCN on label maps."""

    usual_stride: ClassVar[int] = 16

    kind: Literal["segmentation"] = "segmentation"
    crop: Crop = 320
    scale: Scale = (0.5, 2.0)
    flip: Flip = 0.5
    ignore: Ignore = None
    num_classes: NumClasses = None
    head_channels: Count = Field(default=256, description="of the FCN's two convolutions")
    dilation: Count = Field(default=6, description="of the FCN's two convolutions")
    batch_size: BatchSize = 16
    steps: Steps = 1000
    optimizer: Optimizer = AdamW(lr=1e-3, weight_decay=0.01)
    schedule: Schedule = Cosine(warmup=0.1)
