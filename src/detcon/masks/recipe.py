"""Settings of `detcon masks`, `detcon train-ranker` and `detcon convert`."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from detcon.config import Recipe
from detcon.masks.sources import MCG, AnySource, Felzenszwalb, MCGFull
from detcon.workers import num_cores


def parse_share(shard: str) -> tuple[int, int]:
    """`"3/64"` as (3, 64): the third of sixty-four shares."""
    share, _, shares = shard.partition("/")
    if not (share.isdecimal() and shares.isdecimal() and 1 <= int(share) <= int(shares)):
        raise ValueError("a share of the work is written from 1/64 to 64/64")
    return int(share), int(shares)


def _check_share(shard: str) -> str:
    parse_share(shard)
    return shard


Share = Annotated[str, AfterValidator(_check_share)]
"""A share of the work, in settings: `3/64`."""


class MasksRecipe(Recipe):
    """Settings of a mask store of a collection of photos."""

    shelf: ClassVar[str] = "masks"

    images: str = Field(
        description="a folder of photos, a list of them (.txt, .csv, .parquet), or tars"
    )
    out: str = Field(description="the folder of the store, new or to be continued")
    channels: int = Field(default=3, ge=1, description="3: RGB; 1: grey; else bands of the files")
    generator: AnySource = Field(default=Felzenszwalb(), description="where the masks come from")
    engine: Literal["local", "ray"] = Field(
        default="local", description="local: this machine; ray: all cores of a Ray cluster"
    )
    workers: int = Field(
        default_factory=num_cores, ge=1, description="photos at once on this machine"
    )
    shard: Share | None = Field(
        default=None, description="make only this share of the masks, as in 3/64"
    )
    shard_size: int = Field(default=256, ge=1, description="photos in one file of the store")
    check: bool = Field(
        default=False,
        description="check existing shards; make those again that are damaged, or older than what "
        "they are made of",
    )


class TrainRankerRecipe(Recipe):
    """Settings of the training of a ranker of MCG's candidates."""

    images: str = Field(
        description="a folder of photos, a list of them (.txt, .csv, .parquet), or tars"
    )
    truth: str = Field(
        description="the annotations: a folder of label or instance PNGs, of BSDS .mat files, or "
        "a mask store"
    )
    out: str = Field(default="ranker.npz", description="the file to write")
    generator: Annotated[MCG | MCGFull, Field(discriminator="kind")] = Field(
        default=MCG(), description="whose candidates are ranked"
    )
    num: int | None = Field(
        default=None,
        ge=1,
        description="learn from this many photos, drawn as detcon score draws them",
    )
    ignore: int | None = Field(default=255, description="value of void pixels in PNGs")
    background: bool = Field(default=False, description="whether 0 is a region too, in PNGs")
    samples: int = Field(default=150, ge=1, description="random candidates from each photo")
    trees: int = Field(default=30, ge=1, le=1000, description="number of boosted trees")
    leaves: int = Field(default=15, ge=2, le=1000, description="leaves of each tree")
    seed: int = Field(default=0, ge=0, description="seed of the random candidates")


class ConvertRecipe(Recipe):
    """Settings of a conversion of a mask store to a format of other programs."""

    masks: str = Field(description="the mask store")
    to: Literal["png", "coco", "tfrecord"] = Field(
        description="png: a map of ids a photo, or a PNG for each mask where they may overlap; "
        "coco: run-length codes in one JSON file; tfrecord: the official records, photos included"
    )
    out: str = Field(description="the output folder, new or to be continued")
    images: str | None = Field(
        default=None, description="the photos, for tfrecord; default: where the masks were made"
    )
    split: Literal["train", "validation"] = Field(
        default="train", description="first word in the names of tfrecord files"
    )
    num_files: int | None = Field(
        default=None, ge=1, le=99999,
        description="number of tfrecord files; default: 2048 for train, 256 for validation, as the "
        "official loader demands",
    )  # fmt: skip
    workers: int = Field(default_factory=num_cores, ge=1, description="processes at once")
