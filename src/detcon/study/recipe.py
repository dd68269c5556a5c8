"""Settings of a study: a claim, data, masks, and a grid."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from detcon.config import Recipe
from detcon.downstream.recipe import LabelFreeRecipe
from detcon.masks.recipe import Share
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


class StartWeights(Recipe):
    """Weights that the user has, to start from: `weights.NAME=FILE` says where."""

    main: ClassVar[str] = "path"

    path: str | None = Field(default=None, description="any source of weights; left out of results")
    what: str = Field(
        default="a backbone file", description="what to get, for users without the weights"
    )
    digest: str | None = Field(
        default=None, description="of their tensors, as pretraining prints it: checked where given"
    )


def _folder(value: Any) -> Any:
    return {"kind": "folder", "path": value} if isinstance(value, str) else value


Data = Annotated[Folder | Scenes, Field(discriminator="kind"), BeforeValidator(_folder)]


class FigureRecipe(Recipe):
    """How the results are drawn: each axis of the grid but `seed` has one place."""

    x: str = Field(description="the axis of the grid along x")
    lines: str | None = Field(default=None, description="the axis with a line for each value")
    panels: tuple[str, ...] = Field(default=(), description="axes with a panel for each value")
    label: str | None = Field(default=None, description="label of the x axis")
    baseline: str | None = Field(
        default=None,
        description="the line, or place on the only line, that others are compared with",
    )
    floor: str | None = Field(
        default=None, description="the line without pretraining: factors at its level mean nothing"
    )
    sooner: tuple[tuple[str, str], ...] = Field(
        default=(), description="pairs of lines: report how much less of x the first needs"
    )


class LabelFreeOfStudy(LabelFreeRecipe):
    """The photos on which each backbone of a study is measured without labels."""

    images: Name = Field(description="data of the study, whose photos are taken")
    masks: Name | None = Field(
        default=None, description="masks of the study; null: cells of the grid and whole views"
    )


class CostRecipe(Recipe):
    """Expected cost of cells before any is finished."""

    pairs_a_second: float = Field(
        default=250.0, gt=0, description="pairs of views, at the base recipe's size"
    )
    transfer_seconds: float = Field(default=30.0, ge=0, description="of one transfer")


class StudyRecipe(Recipe):
    """A paper's claim, and the grid of pretrainings and transfers that tests it."""

    name: Name = Field(description="the study's name, also of its results and figures")
    claim: str = Field(description="what the paper claims, and where")
    differs: str = Field(default="", description="how this study differs from the paper's")
    found: str = Field(default="", description="a summary of the results, for the report")
    data: dict[Name, Data] = Field(
        min_length=1, description="folders (data.NAME=DIR says where), or built-in scenes"
    )
    weights: dict[Name, StartWeights] = Field(
        default={}, description="weights to start from or to judge (weights.NAME=FILE says where)"
    )
    masks: dict[Name, AnySource] = Field(
        default={},
        description="mask sources by name; a folder of annotations is relative to the data",
    )
    overlap: dict[Name, Name] = Field(
        default={}, description="for each data, the true masks that others are compared with"
    )
    label_free: LabelFreeOfStudy | None = Field(
        default=None,
        description="measure each pretrained backbone without labels, and report how well each "
        "figure orders them by transfer",
    )
    pretrain: dict[str, Any] = Field(
        default={}, description="'recipe' and changes of it; images and masks by their names"
    )
    supervise: dict[str, Any] = Field(
        default={},
        description="'recipe' and changes of it, of the transfer whose encoder is the backbone of "
        "cells with backbone=supervised; data by its name",
    )
    transfer: dict[str, Any] = Field(
        default={}, description="'recipe' and changes of it; data by its name"
    )
    grid: dict[str, Values] = Field(
        min_length=1, description="the axes: values of a setting, or named groups of settings"
    )
    exclude: tuple[dict[str, Any], ...] = Field(
        default=(), description="cells to leave out, by their values on some axes"
    )
    figure: FigureRecipe = Field(description="how the results are drawn")
    cost: CostRecipe = Field(default=CostRecipe(), description="expected speed, for the plan")
    results: str | None = Field(
        default=None,
        description="file with a line for each finished cell; null: studies/results/NAME.jsonl",
    )
    work: str | None = Field(
        default=None, description="folder of data, masks and runs; null: runs/NAME"
    )
    out: str = Field(default="docs/claims.md", description="the report; a section for each study")
    hours: float | None = Field(
        default=None, ge=0, description="stop after this time, with a checkpoint; null: no limit"
    )
    shard: Share | None = Field(
        default=None, description="run this share of the cells, such as 1/3"
    )
    plan: bool = Field(default=False, description="only list the cells and their hours (--plan)")
    report: bool = Field(default=False, description="only write the report (--report)")

    @model_validator(mode="before")
    @classmethod
    def _has_a_file(cls, values: Any) -> Any:
        required = {name for name, field in cls.model_fields.items() if field.is_required()}
        if isinstance(values, dict) and not required & values.keys():
            raise ValueError("name the study's file, as in: detcon study studies/quick.yaml")
        return values

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
    def label_free_file(self) -> str:
        """Where the figures of the backbones without labels are."""
        return f"{self.results_file.removesuffix('.jsonl')}.label_free.jsonl"

    @property
    def work_folder(self) -> str:
        """The folder of data, masks and runs."""
        return self.work or f"runs/{self.name}"
