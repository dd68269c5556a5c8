"""Settings of `detcon embed`; no torch is loaded here."""

from typing import Literal

from pydantic import Field, model_validator

from detcon.config import Recipe
from detcon.models.recipe import EncoderRecipe


class EmbedRecipe(Recipe):
    """Writes a vector for each photo, region or cell into one Parquet file."""

    backbone: str = Field(
        description="a backbone file, torchvision:resnet50, timm:convnext_atto, or random"
    )
    images: str = Field(
        description="a folder of photos, a list of them (.txt, .csv, .parquet), or tars"
    )
    out: str = Field(default="embeddings.parquet", description="the Parquet file")
    of: Literal["photos", "regions", "cells"] = Field(
        default="photos",
        description="photos: one vector each; regions: one for each mask; cells: one for each cell "
        "of the encoder's grid",
    )
    masks: str | None = Field(default=None, description="the mask store, for of=regions")
    encoder: EncoderRecipe | None = Field(
        default=None, description="the architecture, for backbones that don't record it"
    )
    stride: Literal[8, 16, 32] | None = Field(
        default=None, description="pixels to a cell of a ResNet's grid; null: the backbone's own"
    )
    side: int = Field(default=448, ge=32, description="longest side of the resized photos")
    near: str | None = Field(
        default=None, description="a photo: print what is nearest to it, and draw a sheet"
    )
    region: int | None = Field(
        default=None,
        description="with near and of=regions: the id of the mask in that photo to look for, and "
        "not the whole photo",
    )
    num: int = Field(default=12, ge=1, le=1000, description="how many of the nearest")
    batch_size: int = Field(
        default=8, ge=1, description="photos that are computed at once, where they have one size"
    )
    workers: int = Field(default=2, ge=1, description="photos that are read at once")
    accelerator: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="device")

    @model_validator(mode="after")
    def _has_regions(self) -> "EmbedRecipe":
        if self.of == "regions" and self.masks is None:
            raise ValueError("of=regions needs masks=, a store that detcon masks made")
        if self.of != "regions" and self.masks is not None:
            raise ValueError(
                f"of={self.of} doesn't use masks=; give of=regions, or leave masks= out"
            )
        if self.region is not None and (self.near is None or self.of != "regions"):
            raise ValueError("region= says which mask of near=PHOTO is meant; it needs of=regions")
        if not self.out.endswith(".parquet"):
            raise ValueError(f"out={self.out} must end in .parquet")
        return self
