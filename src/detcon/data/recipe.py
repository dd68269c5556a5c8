"""Settings of the views: how they are cut, pooled and coloured."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from detcon.config import Recipe


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1]:
        raise ValueError("give the least, above 0, and then the greatest value")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=1)]
Pooling = Literal["hard", "soft"]
Resize = Literal["area", "official"]
Second = Literal["own", "repeat", "halves"]


class ColourRecipe(Recipe):
    """How strongly, and how often, the colours of one view are changed."""

    brightness: Strength = Field(default=0.4, description="greatest brightness added or taken")
    contrast: Strength = Field(default=0.4, description="greatest relative change of contrast")
    saturation: Strength = Field(default=0.2, description="greatest relative change of saturation")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.1, description="greatest turn of the hue, in whole turns"
    )
    jitter: Probability = Field(default=0.8, description="probability of these four, together")
    grey: Probability = Field(default=0.2, description="probability of grey")
    blur: Probability = Field(default=1.0, description="probability of a Gaussian blur")
    blur_sigma: Range = Field(
        default=(0.1, 2.0), description="least and greatest standard deviation in pixels"
    )
    solarize: Probability = Field(default=0.0, description="probability of inverting bright values")


DETCON_B_COLOUR = (ColourRecipe(), ColourRecipe(blur=0.1, solarize=0.2))
"""View 1 and view 2 of DetCon-B, as of BYOL: `augment_config` in the official code."""

_DETCON_S = ColourRecipe(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
DETCON_S_COLOUR = (_DETCON_S, _DETCON_S.model_copy(update={"blur": 0.0}))
"""View 1 and view 2 of DetCon-S, which was not released; as lightly gives them."""

_UNCHANGED = ColourRecipe(jitter=0.0, grey=0.0, blur=0.0)
COLOUR_PRESETS = {
    "detcon_b": DETCON_B_COLOUR,
    "detcon_s": DETCON_S_COLOUR,
    "none": (_UNCHANGED, _UNCHANGED),
}


class ViewsRecipe(Recipe):
    """How the views of a photo are drawn. The defaults are the official ones of DetCon-B."""

    size: int = Field(default=224, ge=1, description="side of a view in pixels")
    area: Range = Field(
        default=(0.08, 1.0), description="least and greatest share of the photo's area in a view"
    )
    aspect: Range = Field(
        default=(3 / 4, 4 / 3), description="least and greatest width / height of a cut"
    )
    flip: Probability = Field(default=0.5, description="probability of mirroring a view")
    resize: Resize = Field(
        default="area", description="area: averages when shrinking over 2x; official: bicubic"
    )
    reduced_decode: bool = Field(
        default=False,
        description="decode JPEGs at 1/2, 1/4 or 1/8 where both cuts shrink by as much: faster, "
        "but views that differ slightly",
    )
    pooling: Pooling = Field(
        default="hard", description="hard: a cell belongs to one mask; soft: by share of area"
    )
    min_cells: float = Field(
        default=0.5, gt=0, description="soft pooling: the area in cells that makes a mask present"
    )
    second: Second = Field(
        default="own",
        description="own: view 2 has its own cut; repeat: it is view 1 again, pixels and "
        "regions; halves: the pixels of view 1, each region's cells split between the two",
    )
    absent: bool = Field(
        default=False,
        description="draw masks that the view doesn't show too, as empty regions: to "
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
        """How masks are drawn, as arguments of `Cut.weights`."""
        return {
            "pooling": self.pooling,
            "min_cells": self.min_cells,
            "least_cells": 2 if self.second == "halves" else 1,
            "absent": self.absent,
        }
