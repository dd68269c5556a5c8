"""What a view is: the recipe of its cut, its regions and its colours, and the draw of a cut."""

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from detcon.config import Recipe
from detcon.data.colour import COLOUR_PRESETS, DETCON_B_COLOUR, ColourRecipe
from detcon.data.cut import Cut, Resize
from detcon.data.regions import Pooling

__all__ = ["Cut", "ViewsRecipe", "draw_cut"]

Second = Literal["own", "repeat", "halves"]
Probability = Annotated[float, Field(ge=0, le=1)]


class ViewsRecipe(Recipe):
    """How the views of a photo are drawn. The defaults are the official ones of DetCon-B."""

    size: int = Field(default=224, ge=1, description="side of a view in pixels")
    area: tuple[float, float] = Field(
        default=(0.08, 1.0), description="least and greatest share of the photo's area in a view"
    )
    aspect: tuple[float, float] = Field(
        default=(3 / 4, 4 / 3), description="least and greatest width / height of a cut"
    )
    flip: Probability = Field(default=0.5, description="probability of mirroring a view")
    resize: Resize = Field(
        default="area",
        description="area: averages when shrinking over 2x; official: bicubic",
    )
    reduced_decode: bool = Field(
        default=False,
        description="decode JPEGs at 1/2, 1/4 or 1/8 where both cuts shrink by as much: faster, "
        "but not to the bit the same views",
    )
    pooling: Pooling = Field(
        default="hard",
        description="hard: a cell belongs to one mask; soft: by share of area",
    )
    min_cells: float = Field(
        default=0.5, gt=0, description="soft pooling: the area in cells that makes a mask present"
    )
    second: Second = Field(
        default="own",
        description="own: view 2 has a cut of its own; repeat: it is view 1 again, pixels and "
        "regions; halves: the pixels of view 1, each region's cells split between the two",
    )
    absent: bool = Field(
        default=False,
        description="draw masks that the view doesn't show too, as empty regions: there to "
        "measure what that costs, not to train with",
    )
    colour: tuple[ColourRecipe, ColourRecipe] = Field(
        default=DETCON_B_COLOUR,
        description=f"changes of colour in view 1 and 2, or one of {', '.join(COLOUR_PRESETS)}",
    )

    @field_validator("colour", mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        """Lets a recipe name its colours instead of spelling them out."""
        if not isinstance(value, str):
            return value
        if value not in COLOUR_PRESETS:
            known = ", ".join(COLOUR_PRESETS)
            raise ValueError(f"known colours are {known}, or a list of two, one a view")
        return COLOUR_PRESETS[value]

    @field_validator("area", "aspect")
    @classmethod
    def _range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("give the least, above 0, and then the greatest value")
        return value

    @field_validator("area")
    @classmethod
    def _share(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[1] > 1:
            raise ValueError("a view cannot be larger than its photo; the greatest share is 1")
        return value

    @model_validator(mode="after")
    def _nothing_to_halve(self) -> "ViewsRecipe":
        if self.absent and self.second == "halves":
            raise ValueError(
                "second=halves leaves out masks of fewer than two cells, and absent=true draws "
                "those of none; give one of the two"
            )
        return self

    @property
    def drawing(self) -> dict[str, Any]:
        """How masks are drawn, as `Cut.weights` is told."""
        return {
            "pooling": self.pooling,
            "min_cells": self.min_cells,
            "least_cells": 2 if self.second == "halves" else 1,
            "absent": self.absent,
        }


def draw_cut(rng: np.random.Generator, size: tuple[int, int], recipe: ViewsRecipe) -> Cut:
    """Draws a cut as the official code does (`get_random_crop_window` in `tf_image_ops.py`).

    One draw of area and aspect, rounded, clipped to the photo: no ten attempts and no central
    cut in the end, which is torchvision's way.

    Args:
        rng: Where the draws come from.
        size: The photo's height and width.
        recipe: Ranges of area and aspect, probability of mirroring.

    Returns:
        The cut, at least one pixel high and wide, inside the photo.
    """
    photo_height, photo_width = size
    draws = rng.random(5).tolist()
    (least, greatest), (narrowest, widest) = recipe.area, recipe.aspect
    area = (least + draws[0] * (greatest - least)) * photo_height * photo_width
    aspect = narrowest * (widest / narrowest) ** draws[1]  # uniform in its logarithm
    width = min(max(round(math.sqrt(area * aspect)), 1), photo_width)
    height = min(max(round(math.sqrt(area / aspect)), 1), photo_height)
    left = int(draws[2] * (photo_width - width + 1))
    top = int(draws[3] * (photo_height - height + 1))
    return Cut(top, left, height, width, flip=draws[4] < recipe.flip)
