"""Settings of semantic segmentation."""

from typing import Literal

from pydantic import Field

from detcon.downstream.tasks.settings import Count, Crop, FineTunedRecipe, Ignore, NumClasses, Scale


class SegmentationRecipe(FineTunedRecipe):
    """Fine-tunes an FCN on label maps."""

    kind: Literal["segmentation"] = "segmentation"
    crop: Crop = 320
    scale: Scale = (0.5, 2.0)
    ignore: Ignore = None
    num_classes: NumClasses = None
    head_channels: Count = Field(default=256, description="of the FCN's two convolutions")
    dilation: Count = Field(default=6, description="of the FCN's two convolutions")
