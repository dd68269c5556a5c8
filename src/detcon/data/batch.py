"""The batch: everything that a method sees of the photos (waist 2 of the design)."""

from dataclasses import dataclass, replace

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
        colour: What to do to the colours of each view; see `detcon.data.colour`. Stays on the
            CPU, so that the device code can branch on it without waiting for the device.
        index: The photo's number in its collection, for messages.
        classes: The photo's class, for supervised pretraining.
    """

    images: UInt8[Tensor, "v b c y x"]
    ids: Integer[Tensor, "v b r"]
    weights: Float[Tensor, "v b r h w"]
    colour: Float[Tensor, "v b p"]
    index: Integer[Tensor, " b"]
    classes: Integer[Tensor, " b"] | None = None

    def to(self, device: torch.device | str, **options: bool) -> "Batch":
        """Moves what the network reads to a device; `colour` and `index` stay on the host."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            ids=self.ids.to(device, non_blocking=True),
            weights=self.weights.to(device, non_blocking=True),
            classes=None if self.classes is None else self.classes.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "Batch":
        """Called by the data loader when a GPU waits at the other end."""
        classes = None if self.classes is None else self.classes.pin_memory()
        return replace(
            self,
            images=self.images.pin_memory(),
            ids=self.ids.pin_memory(),
            weights=self.weights.pin_memory(),
            classes=classes,
        )
