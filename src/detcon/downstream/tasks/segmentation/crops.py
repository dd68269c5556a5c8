"""Training crops of labelled pictures: random scale, place and flip, the labels with the photo."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from detcon.downstream.pictures import Pictures
from detcon.downstream.tasks.segmentation.labelled import VOID, Picture
from detcon.downstream.windows import draw_window


@dataclass(frozen=True)
class LabelledBatch:
    """Crops and their labels. `index` is the picture's number among the training pictures."""

    images: UInt8[Tensor, "b c y x"]
    labels: UInt8[Tensor, "b y x"]
    index: Integer[Tensor, " b"]

    def to(self, device: torch.device | str) -> "LabelledBatch":
        """Moves what the network reads; `index` stays on the host."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "LabelledBatch":
        """Called by the data loader when a GPU waits at the other end."""
        return replace(self, images=self.images.pin_memory(), labels=self.labels.pin_memory())


def random_crop(
    picture: Picture,
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    scale: tuple[float, float] = (0.5, 2.0),
    flip: float = 0.5,
    fill: tuple[int, ...] = (124, 116, 104),
) -> tuple[UInt8[np.ndarray, "h w c"], UInt8[np.ndarray, "h w"]]:
    """Scales a picture, cuts a window out of it and flips that (MoCo, appendix A.5).

    Where the scaled picture is smaller than the window it lies somewhere inside; around it is
    the mean colour, and void.

    Args:
        picture: What to cut from.
        rng: Where the draws come from.
        size: Height and width of the window.
        scale: The bounds of the factor, drawn uniformly.
        flip: The probability of a mirror image.
        fill: The colour around a small picture; normalised, it should be zero.
    """
    window = draw_window(rng, picture.labels.shape, size=size, scale=scale, flip=flip)
    return window.cut_photo(picture.image, fill), window.cut_map(picture.labels, VOID)


@dataclass(frozen=True)
class Crops:
    """Crops by (epoch, number of the picture): each draw comes from these and the seed."""

    pictures: Pictures
    size: tuple[int, int]
    seed: int
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    fill: tuple[int, ...] = (124, 116, 104)

    def __getitem__(self, where: tuple[int, int]) -> LabelledBatch:
        """A batch of one crop.

        Raises:
            ValueError: If the picture or its labels can't be read; OSError likewise.
        """
        epoch, index = where
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, index]))
        image, labels = random_crop(
            self.pictures[index],
            rng,
            size=self.size,
            scale=self.scale,
            flip=self.flip,
            fill=self.fill,
        )
        return LabelledBatch(
            torch.from_numpy(image).permute(2, 0, 1)[None],
            torch.from_numpy(labels)[None],
            torch.tensor([index]),
        )

    def batch(self, places: list[tuple[int, int]]) -> LabelledBatch:
        """The crops of several (epoch, number of the picture)."""
        parts = [self[place] for place in places]
        return LabelledBatch(
            torch.cat([part.images for part in parts]),
            torch.cat([part.labels for part in parts]),
            torch.cat([part.index for part in parts]),
        )
