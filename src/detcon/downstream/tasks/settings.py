"""Settings that several tasks share."""

from typing import Annotated

from pydantic import Field

from detcon.config import Recipe
from detcon.train.recipe import AdamW, Cosine, OptimizerRecipe, ScheduleRecipe

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
Ignore = Annotated[
    int | None, Field(ge=0, description="a class id that means void, in addition to 255")
]
NumClasses = Annotated[
    int | None,
    Field(ge=1, le=254, description="null: from classes.json, or the greatest id in use"),
]


class FineTunedRecipe(Recipe):
    """Settings of every task that trains the whole network."""

    kind: str
    batch_size: int = Field(default=16, ge=2, description="crops in an update, on all devices")
    steps: int = Field(default=1000, ge=1, description="updates of the network")
    optimizer: OptimizerRecipe = Field(
        default=AdamW(lr=1e-3, weight_decay=0.01), description="optimiser, with its learning rate"
    )
    schedule: ScheduleRecipe = Field(
        default=Cosine(warmup=0.1), description="how the learning rate changes"
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="share of mirrored training crops")
    drop_path: float = Field(
        default=0.0, ge=0, lt=1, description="stochastic depth of a timm model while it learns"
    )
