"""Settings of depth prediction."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from detcon.data.recipe import ColourRecipe
from detcon.downstream.tasks.settings import Count, Crop, Factor, FineTunedRecipe, Scale

NYU_COLOUR = ColourRecipe(
    brightness=0.1255, contrast=0.0, saturation=0.5, hue=0.2, jitter=1.0, grey=0.3, blur=0.0
)
"""Colour augmentation of BYOL for NYU depth v2 (arXiv 2006.07733, appendix D.6)."""


class DepthRecipe(FineTunedRecipe):
    """Fine-tunes a depth head on depth maps."""

    usual_stride: ClassVar[int] = 32

    kind: Literal["depth"] = "depth"
    unit: Factor | None = Field(
        default=None,
        description="metres of one step of depth: null is 0.001 for PNGs, 1 for HDF5; KITTI's PNGs "
        "have 0.00390625 (1/256), TUM's 0.0002",
    )
    crop: Crop = 320
    scale: Scale = (1.0, 1.0)
    place: Literal["random", "centre"] = Field(
        default="random", description="where training crops lie"
    )
    colour: ColourRecipe = Field(
        default=NYU_COLOUR, description="colour augmentation of training crops"
    )
    head: Literal["up_projection", "deconvolution", "pyramid"] = Field(
        default="up_projection",
        description="Laina's fast up-projections; plain transposed convolutions; or, for plain "
        "transformers, ViTDet's simple feature pyramid, of the last of the widths",
    )
    widths: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        default=(512, 256, 128, 64),
        description="channels after each doubling of the resolution; the protocol's for ResNet-50",
    )
    loss: Literal["berhu", "l1"] = Field(
        default="berhu", description="reverse Huber, or the mean absolute error"
    )
