"""Settings of `detcon masks`."""

from typing import Literal

from pydantic import Field, field_validator

from detcon.config import Recipe
from detcon.masks.sources import AnySource, Felzenszwalb
from detcon.workers import num_cores


class MasksRecipe(Recipe):
    """How to make the masks of a collection of photos."""

    images: str = Field(
        description="a folder of photos, a list of them (.txt, .csv, .parquet), or tars"
    )
    out: str = Field(description="the folder of the store to make, or to go on with")
    channels: int = Field(default=3, ge=1, description="3: RGB; 1: grey; else bands of the files")
    generator: AnySource = Field(default=Felzenszwalb(), description="where the masks come from")
    engine: Literal["local", "ray"] = Field(
        default="local", description="this machine, or all cores of a cluster of Ray"
    )
    workers: int = Field(
        default_factory=num_cores, ge=1, description="photos at once on this machine"
    )
    shard: str | None = Field(
        default=None, description="do only this share of the work, as in 3/64"
    )
    shard_size: int = Field(default=256, ge=1, description="photos in a file of the store")
    check: bool = Field(
        default=False, description="look through what is there, and make damaged shards anew"
    )

    @field_validator("shard")
    @classmethod
    def _is_share(cls, shard: str | None) -> str | None:
        if shard is not None:
            parse_share(shard)
        return shard


def parse_share(shard: str) -> tuple[int, int]:
    """`"3/64"` as (3, 64): the third of sixty-four shares."""
    share, _, shares = shard.partition("/")
    if not (share.isdecimal() and shares.isdecimal() and 1 <= int(share) <= int(shares)):
        raise ValueError("a share of the work is written from 1/64 to 64/64")
    return int(share), int(shares)
