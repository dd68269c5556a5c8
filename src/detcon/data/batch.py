"""The batch: everything that a method sees of the photos."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One rank's share of a step.

    Attributes:
        images: Views as cut out of the photos, before any change of colour.
        ids: Which mask each region is. Repeats are copies; -1 means that the view shows no mask.
        weights: The share of each grid cell that a region covers (0 or 1 in hard pooling).
        colour: The changes of each view's colours; see `detcon.data.colour`. Stays on the CPU, so
            that code can branch on it without waiting for the device.
        index: The photo's number in its collection, for messages.
        classes: The photo's class, for supervised pretraining.
        passed_over: Names of photos that can't be read and were replaced, each with the error.
        seconds: Spent on "reading" and "cutting" by the process that made the batch.
        teacher_weights: As `weights`, by shares of area, on the grid `th tw` of a teacher; None
            without one.
    """

    images: UInt8[Tensor, "v b c y x"]
    ids: Integer[Tensor, "v b r"]
    weights: Float[Tensor, "v b r h w"]
    colour: Float[Tensor, "v b p"]
    index: Integer[Tensor, " b"]
    classes: Integer[Tensor, " b"] | None = None
    passed_over: tuple[tuple[str, str], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    teacher_weights: Float[Tensor, "v b r th tw"] | None = None

    def to(self, device: torch.device | str, **options: bool) -> "Batch":
        """Moves what the network reads to a device; `colour` and `index` stay on the CPU."""
        return self._each(lambda part: part.to(device, non_blocking=True))

    def split(self, parts: int) -> list["Batch"]:
        """Cuts the photos into parts of equal size, in order; nothing is copied.

        Raises:
            ValueError: They can't be cut evenly.
        """
        photos = self.images.shape[1]
        if photos % parts:
            raise ValueError(
                f"{photos} photos a rank can't be cut into {parts} equal parts; choose a "
                f"batch_size that accumulate and the number of ranks divide together"
            )
        size = photos // parts
        return [self._cut(slice(start, start + size)) for start in range(0, photos, size)]

    def _cut(self, some: slice) -> "Batch":
        by_view = {name: part[:, some] for name, part in self._by_view().items()}
        return replace(
            self,
            **by_view,
            colour=self.colour[:, some],
            index=self.index[some],
            classes=None if self.classes is None else self.classes[some],
            passed_over=(),
        )

    def pin_memory(self) -> "Batch":
        """Called by the data loader if there is a GPU."""
        return self._each(Tensor.pin_memory)

    def _each(self, do: Callable[[Tensor], Tensor]) -> "Batch":
        moved = {name: do(part) for name, part in self._by_view().items()}
        return replace(self, **moved, classes=None if self.classes is None else do(self.classes))

    def _by_view(self) -> dict[str, Tensor]:
        """What the networks read of each view."""
        parts = {"images": self.images, "ids": self.ids, "weights": self.weights}
        if self.teacher_weights is not None:
            parts["teacher_weights"] = self.teacher_weights
        return parts
