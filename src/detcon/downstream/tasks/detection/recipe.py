"""What a detector is told."""

from typing import Annotated

from pydantic import Field

from detcon.config import Recipe

Count = Annotated[int, Field(ge=1)]


class DetectorRecipe(Recipe):
    """The size of a Mask R-CNN; the defaults are those of the Cloud TPU implementation."""

    masks: bool = Field(default=True, description="learn masks too (Mask R-CNN), or boxes alone")
    channels: Count = Field(default=256, description="of the FPN and of the mask head")
    hidden: Count = Field(default=1024, description="of the box head's two layers")
    mask_layers: Count = Field(default=4, description="convolutions of the mask head")
    anchor: float = Field(
        default=8.0, gt=0, description="side of a square anchor, in cells of its level"
    )
    rpn_batch: Count = Field(default=256, description="anchors of a photo that teach the RPN")
    proposals: Count = Field(
        default=1000, description="regions of a photo that the RPN passes on, from twice as many"
    )
    box_batch: Count = Field(default=512, description="regions of a photo that teach the heads")
    least_score: float = Field(default=0.05, ge=0, lt=1, description="of a detection")
    detections: Count = Field(default=100, description="at most, in a photo")
