"""Types of settings that several tasks share."""

from typing import Annotated

from pydantic import Field

from detcon.train.recipe import OptimizerRecipe, ScheduleRecipe

Count = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=8)]
Factor = Annotated[float, Field(gt=0)]

Crop = Annotated[
    Side | tuple[Side, Side],
    Field(description="training crop in pixels: a side, or [height, width]"),
]
Scale = Annotated[
    tuple[Factor, Factor],
    Field(description="training photos are scaled by a random factor between these two"),
]
Flip = Annotated[float, Field(ge=0, le=1, description="share of mirrored training crops")]
Ignore = Annotated[
    int | None, Field(ge=0, description="a class id that means void, in addition to 255")
]
NumClasses = Annotated[
    int | None,
    Field(ge=1, le=254, description="null: from classes.json, or the greatest id in use"),
]
BatchSize = Annotated[int, Field(ge=2, description="crops in an update, on all devices")]
Steps = Annotated[int, Field(ge=1, description="updates of the network")]
Optimizer = Annotated[OptimizerRecipe, Field(description="optimiser, with its learning rate")]
Schedule = Annotated[ScheduleRecipe, Field(description="how the learning rate changes")]


def height_and_width(crop: int | tuple[int, int]) -> tuple[int, int]:
    """The size of a training crop.

    >>> height_and_width(320)
    (320, 320)
    """
    return (crop, crop) if isinstance(crop, int) else crop
