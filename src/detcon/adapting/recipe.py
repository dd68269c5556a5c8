"""Settings of `detcon adapt`."""

from typing import Any

from pydantic import Field, model_validator

from detcon.config import Recipe, field_names
from detcon.downstream.recipe import Amounts, GridRecipe
from detcon.formats.registry import FormatName
from detcon.pretraining.recipe import PretrainRecipe, WeightsRecipe

_FOLLOW = (("transfer", "encoder"), ("transfer", "backbone"))
"""Settings of parts that follow from the adapted weights."""


class AdaptRecipe(Recipe):
    """Adapts weights to photos, and measures on labelled data whether it helped."""

    images: str = Field(description="the unlabelled photos: a folder, a list of them, or tars")
    weights: WeightsRecipe = Field(description="to start from: weights=FILE, or a name")
    data: str | None = Field(
        default=None, description="labelled data to measure on; null: none, and no verdict"
    )
    out: str = Field(description="folder; the same command again goes on where it stopped")
    task: str | None = Field(
        default=None,
        description="segmentation, detection, depth or a probe such as linear_segmentation; null: "
        "that of transfer.recipe",
    )
    format: FormatName | None = Field(
        default=None, description="layout of the labelled data; null: that of transfer.recipe"
    )
    val: float | None = Field(
        default=None,
        description="share of the labelled photos drawn for validation, where the data set has no "
        "val, as in 0.2",
    )
    labels: Amounts = Field(
        default=None, description="numbers of labelled photos to compare at, as in 10,50,all"
    )
    seeds: int = Field(
        default=3, ge=1, description="transfers of each backbone; each draws its labelled photos"
    )
    pretrainings: int = Field(
        default=1,
        ge=1,
        description="adaptations of the weights, each with a seed of its own; from two on the "
        "interval covers what chance does in pretraining too",
    )
    fresh: bool = Field(default=True, description="transfer from fresh weights too")
    masks: str = Field(
        default="felzenszwalb_small",
        description="recipe of 'detcon masks', or the folder of a store",
    )
    pretrain: dict[str, Any] = Field(
        default={},
        description="settings of 'detcon pretrain', as in pretrain.steps=500, over pretrain.recipe "
        "(adapt unless given)",
    )
    transfer: dict[str, Any] = Field(
        default={},
        description="settings of 'detcon transfer', as in transfer.size=320, over transfer.recipe "
        "(folder_fcn unless given)",
    )
    hours: float | None = Field(
        default=None, gt=0, description="stop then, with a checkpoint; null: when all is done"
    )
    seed: int = Field(
        default=0, ge=0, description="seed of the first pretraining and transfer; others count up"
    )

    @model_validator(mode="after")
    def _several_are_judged(self) -> "AdaptRecipe":
        if self.pretrainings > 1 and self.data is None:
            raise ValueError(
                "'pretrainings' of more than 1 are for the interval of the verdict, which needs "
                "labelled data: give data=, or leave pretrainings out"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _parts_have_their_own(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            if name in ("pretrain", "transfer"):
                if isinstance(value, str):
                    raise ValueError(
                        f"'{name}' holds settings; for a recipe give {name}.recipe={value}"
                    )
                if name == "pretrain" and (given := value.get("weights")):
                    inner = next(iter(given)) if isinstance(given, dict) else "source"
                    raise ValueError(
                        f"'pretrain.weights' is set by 'weights'; give weights.{inner}=..."
                    )
            elif name not in cls.model_fields or (name != "weights" and isinstance(value, dict)):
                typed = _typed(name, value)
                if places := _places_of(typed) or _places_of(name, typed.removeprefix(name)):
                    raise ValueError(
                        f"'{typed}' is a setting of a part; give {' or '.join(places)}"
                    )
        return values


def _typed(name: str, value: Any) -> str:
    """The dotted name of a setting, of the first where a group holds several."""
    while isinstance(value, dict) and value:
        inner, value = next(iter(value.items()))
        name += f".{inner}"
    return name


def _places_of(name: str, rest: str = "") -> list[str]:
    """Where pretraining and transfer have a setting of this name, nearest to their top.

    Args:
        name: The end of its dotted name.
        rest: What follows in a group of this name.
    """
    settings = {"pretrain": field_names(PretrainRecipe), "transfer": field_names(GridRecipe)}
    places = [
        f"{part}.{own}{rest}=..."
        for part, names in settings.items()
        for own in sorted(names)
        if f".{own}".endswith(f".{name}")
        if (part, own.partition(".")[0]) not in _FOLLOW
        if not rest or any(other.startswith(f"{own}.") for other in names)
    ]
    least = min((place.count(".") for place in places), default=0)
    return [place for place in places if place.count(".") == least]
