"""Training crops of labelled photos: their order, and batches of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Integer, UInt8
from torch import Tensor

from detcon.data.colour import draw_colour
from detcon.data.labelled.examples import Examples
from detcon.data.labelled.window import Window
from detcon.data.order import permutation
from detcon.data.recipe import ColourRecipe
from detcon.data.workers import make_ahead


@dataclass(frozen=True)
class LabelledBatch:
    """Crops and their labels: a tensor, or a (named) tuple of tensors, by the task.

    `index` is the example's number; it stays on the CPU, as does `colour`, the changes of colour
    that are still to be made (`detcon.data.colour`).
    """

    images: UInt8[Tensor, "b c y x"]
    labels: Any
    index: Integer[Tensor, " b"]
    colour: Float32[Tensor, "b p"] | None = None

    def to(self, device: torch.device | str) -> "LabelledBatch":
        """Moves images and labels."""
        return self._each(lambda part: part.to(device, non_blocking=True))

    def pin_memory(self) -> "LabelledBatch":
        """Called by the data loader if there is a GPU."""
        return self._each(Tensor.pin_memory)

    def _each(self, do: Callable[[Tensor], Tensor]) -> "LabelledBatch":
        return replace(self, images=do(self.images), labels=_each(self.labels, do))


def _each(labels: Any, do: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(labels, Tensor):
        return do(labels)
    parts = [_each(part, do) for part in labels]
    return type(labels)(*parts) if hasattr(labels, "_fields") else tuple(parts)


@dataclass(frozen=True)
class LabelledCrops:
    """Crops by (epoch, number of the example): each draw comes from these and the seed.

    Attributes:
        draw: From a generator and a photo's height and width to a window.
        cut: From the labels of an example and a window to those of the crop.
        join: From the labels of crops to those of a batch.
        fill: The colour around a small photo; normalised, it should be zero.
        colour: Changes of colour to draw.
    """

    examples: Examples
    seed: int
    draw: Callable[[np.random.Generator, tuple[int, int]], Window]
    cut: Callable[[Any, Window], Any]
    join: Callable[[list[Any]], Any]
    fill: tuple[int, ...] = (124, 116, 104)
    colour: ColourRecipe | None = None

    def batch(self, places: list[tuple[int, int]]) -> LabelledBatch:
        """The crops of several (epoch, number of the example)."""
        images, labels, colours = [], [], []
        for epoch, index in places:
            rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, index]))
            example = self.examples[index]
            window = self.draw(rng, (example.image.shape[0], example.image.shape[1]))
            images.append(torch.from_numpy(window.cut_photo(example.image, self.fill)))
            labels.append(self.cut(example.labels, window))
            if self.colour is not None:
                colours.append(torch.from_numpy(draw_colour(rng, self.colour)))
        return LabelledBatch(
            torch.cat([image.permute(2, 0, 1)[None] for image in images]),
            self.join(labels),
            torch.tensor([index for _, index in places]),
            torch.stack(colours) if colours else None,
        )


def join_maps(maps: list[np.ndarray]) -> Tensor:
    """For `LabelledCrops.join`: maps of one size, stacked."""
    return torch.from_numpy(np.stack(maps))


def order(
    num_examples: int, batch_size: int, seed: int, steps: range
) -> Iterator[list[tuple[int, int]]]:
    """Which (epoch, example) each step sees: permutations one after another, in full batches.

    With few labels an epoch is shorter than a batch; so batches run on over its end, and no
    example is left out. The step alone determines its batch: nothing to store for resuming.
    """
    for step in steps:
        first = step * batch_size
        places = (divmod(n, num_examples) for n in range(first, first + batch_size))
        yield [(epoch, _permutation(num_examples, seed, epoch)[i]) for epoch, i in places]


@lru_cache(maxsize=4)
def _permutation(num_examples: int, seed: int, epoch: int) -> list[int]:
    return permutation(num_examples, seed, epoch).tolist()


def batches(
    crops: LabelledCrops,
    first_step: int,
    *,
    batch_size: int,
    num_steps: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[LabelledBatch]:
    """This rank's share of the batches of steps `first_step` to `num_steps`.

    `batch_size` counts the examples of a step on all ranks.

    Raises:
        ValueError: The batch can't be divided among the ranks; or an example can't be read.
    """
    if batch_size % world:
        raise ValueError(
            f"cannot divide batch_size={batch_size} among {world} processes; choose a multiple"
        )
    share = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
    steps = order(len(crops.examples), batch_size, crops.seed, range(first_step, num_steps))
    places = (step[share] for step in steps)
    yield from make_ahead(crops.batch, places, workers=workers)
