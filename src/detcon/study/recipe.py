"""Settings of a study: a claim, data, masks, and a grid."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from detcon.config import Recipe
from detcon.masks.recipe import parse_share
from detcon.masks.sources import AnySource
from detcon.scenes.stage import SOLIDS

Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]*$")]
Values = tuple[Any, ...] | dict[str, dict[str, Any]]
"""Values of an axis: of the setting that names it, or bundles of settings by name."""


class Folder(Recipe):
    """Labelled pictures that the user has: `data.NAME=DIR` says where."""

    kind: Literal["folder"] = "folder"
    path: str | None = Field(default=None, description="of this machine; left out of results")
    what: str = Field(
        default="a folder with train/ and val/, each with images/ and labels/",
        description="what to get, for users without the data",
    )


class Scenes(Recipe):
    """Built-in scenes, rendered when they are first needed."""

    kind: Literal["scenes"] = "scenes"
    num: int = Field(default=2000, ge=1, description="pictures to train on, and a tenth for val")
    size: int = Field(default=160, ge=32, description="height and width in pixels")
    seed: int = Field(default=0, ge=0, description="another seed, other pictures")
    solids: tuple[int, int] = Field(default=SOLIDS, description="least and most solids in each")


def _folder(value: Any) -> Any:
    return {"kind": "folder", "path": value} if isinstance(value, str) else value


Data = Annotated[Folder | Scenes, Field(discriminator="kind"), BeforeValidator(_folder)]


class FigureRecipe(Recipe):
    """How the results are drawn: each axis of the grid but `seed` has one place."""

    x: str = Field(description="the axis along the figure")
    lines: str | None = Field(default=None, description="the axis with a line for each value")
    panels: tuple[str, ...] = Field(default=(), description="axes with a panel for each value")
    label: str | None = Field(default=None, description="what to write along x")
    baseline: str | None = Field(default=None, description="the line to tell differences from")
    floor: str | None = Field(
        default=None, description="the line without pretraining; no factor is reported at its level"
    )
    sooner: tuple[tuple[str, str], ...] = Field(
        default=(), description="pairs of lines: how much less of x the first needs than the second"
    )


class CostRecipe(Recipe):
    """Expected cost of cells before any is finished."""

    pairs_a_second: float = Field(
        default=250.0, gt=0, description="pairs of views, at the base recipe's size"
    )
    transfer_seconds: float = Field(default=30.0, ge=0, description="of one transfer")


class StudyRecipe(Recipe):
    """A paper's claim, and the grid of pretrainings and transfers that tests it."""

    name: Name = Field(description="of the study; its results and figures are called so")
    claim: str = Field(description="what the paper says, and where")
    differs: str = Field(default="", description="how this study departs from the paper's")
    found: str = Field(default="", description="what the results say, for the report")
    data: dict[Name, Data] = Field(
        min_length=1, description="folders (data.NAME=DIR says where), or built-in scenes"
    )
    masks: dict[Name, AnySource] = Field(
        default={}, description="sources by name; the folder of annotations is seen from the data"
    )
    overlap: dict[Name, Name] = Field(
        default={}, description="by data, the masks that others' best overlap is measured with"
    )
    pretrain: dict[str, Any] = Field(
        default={}, description="'recipe' and settings over it; images and masks by their names"
    )
    supervise: dict[str, Any] = Field(
        default={},
        description="'recipe' and settings of the transfer whose encoder is the backbone of cells "
        "with backbone=supervised; data by its name",
    )
    transfer: dict[str, Any] = Field(
        default={}, description="'recipe' and settings over it; data by its name"
    )
    grid: dict[str, Values] = Field(
        min_length=1, description="axes: values of a setting, or settings under names"
    )
    exclude: tuple[dict[str, Any], ...] = Field(
        default=(), description="cells to leave out: values of axes, one or several"
    )
    figure: FigureRecipe = Field(description="how the results are drawn")
    cost: CostRecipe = Field(default=CostRecipe(), description="for the plan")
    results: str | None = Field(
        default=None,
        description="file with a line for each finished cell; null: studies/results/NAME.jsonl",
    )
    work: str | None = Field(
        default=None, description="folder of data, masks and runs; runs/NAME unless given"
    )
    out: str = Field(default="docs/claims.md", description="the report, a section a study")
    hours: float | None = Field(
        default=None, ge=0, description="stop then, with a checkpoint; null: when all is done"
    )
    shard: str | None = Field(default=None, description="do only this share of the cells, as 1/3")
    plan: bool = Field(default=False, description="only list the cells and their hours (--plan)")
    report: bool = Field(default=False, description="only write the report (--report)")

    @field_validator("shard")
    @classmethod
    def _is_share(cls, shard: str | None) -> str | None:
        if shard is not None:
            parse_share(shard)
        return shard

    @field_validator("results")
    @classmethod
    def _is_a_file_of_lines(cls, results: str | None) -> str | None:
        if results is not None and not results.endswith(".jsonl"):
            raise ValueError(
                f"give a file, as {results.rstrip('/')}.jsonl; results of an earlier version, one "
                f"JSON a cell in the folder {results}, are read with it"
            )
        return results

    @field_validator("grid")
    @classmethod
    def _has_values(cls, grid: dict[str, Values]) -> dict[str, Values]:
        for axis, values in grid.items():
            if not values:
                raise ValueError(f"the axis '{axis}' has no values")
        return grid

    @property
    def results_file(self) -> str:
        """Where the results of the cells are."""
        return self.results or f"studies/results/{self.name}.jsonl"

    @property
    def work_folder(self) -> str:
        """The folder of data, masks and runs."""
        return self.work or f"runs/{self.name}"
