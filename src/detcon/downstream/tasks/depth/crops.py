"""Training crops of photos with depth maps: window, depth and changes of colour."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Integer, UInt8
from torch import Tensor

from detcon.data.colour import draw_colour
from detcon.data.recipe import ColourRecipe
from detcon.downstream.pictures import Pictures
from detcon.downstream.tasks.depth.measured import Measured
from detcon.downstream.tasks.depth.recipe import NYU_COLOUR
from detcon.downstream.windows import draw_window


@dataclass(frozen=True)
class DepthBatch:
    """Crops, their depth, and what is to be done to their colours.

    Attributes:
        images: The photos, colours as they are.
        depth: Metres; NaN where nothing was measured.
        colour: The parameters of `detcon.data.colour`; they stay on the host.
        index: The pictures' numbers among the training pictures, on the host.
    """

    images: UInt8[Tensor, "b c y x"]
    depth: Float32[Tensor, "b y x"]
    colour: Float32[Tensor, "b p"]
    index: Integer[Tensor, " b"]

    def to(self, device: torch.device | str) -> "DepthBatch":
        """Moves photos and depth."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            depth=self.depth.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "DepthBatch":
        """Called by the data loader when a GPU waits at the other end."""
        return replace(self, images=self.images.pin_memory(), depth=self.depth.pin_memory())


@dataclass(frozen=True)
class DepthCrops:
    """Crops by (epoch, number of the picture): each draw comes from these and the seed.

    A picture that is scaled by s is as if taken from s times as near: its depth is divided by s
    (Eigen et al., arXiv 1406.2283). Depth is scaled to the nearest pixel.

    BYOL's order of the changes of colour isn't known: brightness, saturation and hue come in a
    random order here, grey comes last.
    """

    pictures: Pictures
    size: tuple[int, int]
    seed: int
    scale: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.5
    place: Literal["random", "centre"] = "random"
    colour: ColourRecipe = NYU_COLOUR
    fill: tuple[int, ...] = (124, 116, 104)

    def __getitem__(self, where: tuple[int, int]) -> DepthBatch:
        """A batch of one crop.

        Raises:
            ValueError: If the picture or its depth can't be read; OSError likewise.
        """
        epoch, index = where
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, index]))
        picture: Measured = self.pictures[index]
        y, x = picture.image.shape[:2]
        window = draw_window(
            rng, (y, x), size=self.size, scale=self.scale, flip=self.flip, place=self.place
        )
        image = window.cut_photo(picture.image, self.fill)
        depth = window.cut_map(picture.depth, np.nan) / np.float32(window.factor)
        return DepthBatch(
            torch.from_numpy(image).permute(2, 0, 1)[None],
            torch.from_numpy(depth)[None],
            torch.from_numpy(draw_colour(rng, self.colour))[None],
            torch.tensor([index]),
        )

    def batch(self, places: list[tuple[int, int]]) -> DepthBatch:
        """The crops of several (epoch, number of the picture)."""
        parts = [self[place] for place in places]
        return DepthBatch(
            torch.cat([part.images for part in parts]),
            torch.cat([part.depth for part in parts]),
            torch.cat([part.colour for part in parts]),
            torch.cat([part.index for part in parts]),
        )
