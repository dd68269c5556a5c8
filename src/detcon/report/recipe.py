"""Settings of `detcon report`, `detcon score` and `detcon show`; loads nothing that draws."""

from pydantic import Field

from detcon.config import Recipe, Several
from detcon.data.recipe import ViewsRecipe
from detcon.formats.registry import FORMATS, FormatName
from detcon.formats.segments import Regions


class ReportRecipe(Recipe):
    """Makes one HTML page of run folders."""

    runs: tuple[str, ...] = Field(description="run folders, or folders of them")
    out: str = Field(
        default="report.html", description="the page; an older page of detcon is replaced"
    )
    title: str | None = Field(
        default=None,
        description="the page's headline; null: what it holds, as in Transfer to depth",
    )
    lead: tuple[str, ...] = Field(
        default=(), description="sentences to begin the page with, instead of those on results"
    )
    names: dict[str, str] = Field(
        default={}, description="names of pretraining runs on the page, by their folder"
    )
    pictures: int = Field(default=4, ge=1, le=24, description="photos in each section")
    seed: int = Field(default=0, ge=0, description="seed of the views that are drawn")


class ScoreRecipe(Recipe):
    """Scores mask stores against annotations."""

    masks: Several = Field(min_length=1, description="mask stores of the same photos, as in a,b")
    truth: str = Field(
        description="the annotations: a folder of label or instance PNGs, of BSDS .mat files, "
        "another mask store, or with format= any data set"
    )
    format: FormatName | None = Field(
        default=None,
        description=f"format of truth: {', '.join(FORMATS)}; null: recognised by its files",
    )
    split: str = Field(default="train", description="train or val, where truth has both")
    regions: Regions = Field(
        default="instances",
        description="instances: a region for each object; classes: one for all objects of a class",
    )
    out: str = Field(
        default="score.html", description="the page; the scores go into a .json of the same name"
    )
    images: str | None = Field(
        default=None, description="the photos, for the page; null: those the masks were made of"
    )
    num: int | None = Field(default=None, ge=1, description="number of photos to score; null: all")
    least: float = Field(
        default=0.005, ge=0, le=1, description="smallest region that counts, as share of the photo"
    )
    most: float = Field(default=0.9, ge=0, le=1, description="largest region that counts")
    ignore: int | None = Field(
        default=255, description="id of void pixels, for png, voc and tfrecord"
    )
    background: bool = Field(
        default=False, description="whether pixels without an object are a region too"
    )
    pictures: int = Field(default=4, ge=0, le=24, description="best and worst photos on the page")
    workers: int = Field(default=1, ge=1, description="processes at once")


class ShowRecipe(Recipe):
    """Draws photos, their masks and two views of each on one sheet."""

    images: str = Field(
        description="a folder of photos, a list of them (.txt, .csv, .parquet), or tars"
    )
    masks: Several = Field(
        default=(), description="mask stores to compare, as in a,b; views are cut with the first"
    )
    backbone: Several = Field(
        default=(),
        description="backbones whose features are drawn as colours, as in A,B,random; a file first",
    )
    out: str = Field(
        default="sheet.png",
        description="the sheet (.png, .jpg); an older one of detcon is replaced",
    )
    num: int = Field(default=6, ge=1, le=100, description="number of photos, one in each row")
    seed: int = Field(default=0, ge=0, description="seed of the choice of photos and of the views")
    views: ViewsRecipe = Field(default=ViewsRecipe(), description="how views are cut and coloured")
    stride: int = Field(default=32, ge=1, description="pixels to a cell of the encoder's grid")
    num_regions: int = Field(default=16, ge=1, description="masks sampled per view")
    channels: int = Field(
        default=3, ge=1, description="3: RGB; 1: grey; other numbers: bands of the files"
    )
