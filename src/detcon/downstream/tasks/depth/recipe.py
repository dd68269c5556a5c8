"""What a transfer to depth is told beside what every transfer is told."""

from typing import Annotated, Literal

from pydantic import Field

from detcon.config import Recipe
from detcon.data.recipe import ColourRecipe

NYU_COLOUR = ColourRecipe(
    brightness=0.1255, contrast=0.0, saturation=0.5, hue=0.2, jitter=1.0, grey=0.3, blur=0.0
)
"""BYOL's changes of colour for NYU depth v2 (arXiv 2006.07733, appendix D.6)."""

Width = Annotated[int, Field(ge=1)]


class DepthRecipe(Recipe):
    """Head, loss and augmentation of a transfer to depth."""

    head: Literal["up_projection", "deconvolution"] = Field(
        default="up_projection",
        description="Laina's fast up-projections, or plain transposed convolutions",
    )
    widths: Annotated[tuple[Width, ...], Field(min_length=1)] = Field(
        default=(512, 256, 128, 64),
        description="channels after each doubling of the resolution; the protocol's for ResNet-50",
    )
    loss: Literal["berhu", "l1"] = Field(
        default="berhu", description="reverse Huber, or the mean absolute error"
    )
    place: Literal["random", "centre"] = Field(
        default="random", description="where training crops lie"
    )
    colour: ColourRecipe = Field(
        default=NYU_COLOUR, description="how the colours of training crops are changed"
    )
