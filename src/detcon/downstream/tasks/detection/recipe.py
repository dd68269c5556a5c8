"""Settings of detection and instance segmentation."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from detcon.config import Recipe
from detcon.downstream.tasks.settings import Count, Factor, FineTunedRecipe, Side

COARSEST = 64
"""Pixels to a cell of the pyramid's coarsest level."""


def _whole_cells(side: int) -> int:
    if side % COARSEST:
        raise ValueError(
            f"detection sees photos in squares whose side is a multiple of {COARSEST} pixels; give "
            f"one number, as in task.crop=1024"
        )
    return side


class DetectorRecipe(Recipe):
    """Size of a Mask R-CNN; the defaults are those of the Cloud TPU implementation, but `norm`."""

    masks: bool | Literal["auto"] = Field(
        default="auto",
        description="learn masks too (Mask R-CNN), or boxes alone (Faster R-CNN); auto: masks if "
        "the data have them",
    )
    channels: Count = Field(default=256, description="of the FPN and of the mask head")
    hidden: Count = Field(default=1024, description="of the box head's two layers")
    norm: Literal["all", "pyramid"] = Field(
        default="all",
        description="where batch norm is: in pyramid, box head and mask head; or in the pyramid "
        "alone, as in the Cloud TPU implementation",
    )
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


class DetectionRecipe(FineTunedRecipe):
    """Fine-tunes a Mask R-CNN on boxes and masks."""

    usual_stride: ClassVar[int] = 32

    kind: Literal["detection"] = "detection"
    crop: Annotated[Side, AfterValidator(_whole_cells)] = Field(
        default=512,
        description="side of the square that photos are brought to, in pixels; a multiple of 64",
    )
    scale: tuple[Factor, Factor] = Field(
        default=(0.8, 1.25),
        description="training photos are scaled so that their longest side is between these two "
        "times the square",
    )
    detector: DetectorRecipe = Field(default=DetectorRecipe(), description="the Mask R-CNN")
