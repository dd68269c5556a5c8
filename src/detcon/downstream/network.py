"""An encoder with a head: the network of every transfer task."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from detcon.models.recipe import Normalisation


class FeaturesError(ValueError):
    """Features that aren't finite, of which nothing can be fitted or predicted."""


def finite(features: Tensor, *, of: str = "model") -> Tensor:
    """Refuses what a network makes of photos if it isn't finite: it would give a class or figure.

    Raises:
        FeaturesError: NaN or infinity.
    """
    if not features.isfinite().all():
        raise FeaturesError(
            f"the {of}'s features of a photo are NaN or infinite, though its weights are not: its "
            f"training diverged; give an earlier checkpoint, or another {of}"
        )
    return features


class FeatureMemory:
    """What a frozen encoder made of photos, for those who ask for them again.

    The cells of a grid ask one encoder for the same photos with other labels, heads and seeds. A
    batch is known by its bytes, and its features are the same to the bit as when they were made.
    """

    def __init__(self, room: int = 2 * 2**30) -> None:
        """Keeps at most `room` bytes, those that came first, beside the encoder."""
        self.room = room
        self._encoder, self._left = "", room
        self._kept: dict[bytes, Tensor] = {}

    def of(self, encoder: str) -> "FeatureMemory":
        """Itself; forgets all if the encoder, known by its digest, isn't that of before."""
        if encoder != self._encoder:
            self._encoder, self._left, self._kept = encoder, self.room, {}
        return self

    def recall(
        self,
        images: UInt8[Tensor, "b c y x"],
        make: Callable[[UInt8[Tensor, "b c y x"]], Float[Tensor, "b d h w"]],
    ) -> Float[Tensor, "b d h w"]:
        """The features of a batch, made now or before."""
        digest = hashlib.blake2b(f"{tuple(images.shape)}".encode(), digest_size=16)
        digest.update(images.cpu().contiguous().numpy().data)
        kept = self._kept.get(digest.digest())
        if kept is not None:
            return kept.to(images.device, copy=True)
        made = make(images)
        if made.nbytes <= self._left:
            self._left -= made.nbytes
            with torch.inference_mode(False):  # a copy that a solver may hold on to
                self._kept[digest.digest()] = made.detach().to("cpu", copy=True)
        return made


class Network(nn.Module):
    """An encoder and a head, with the normalisation of photos.

    Attributes:
        memory: Of an encoder that is frozen: its features of the photos that it saw.
    """

    mean: Tensor
    std: Tensor
    memory: FeatureMemory | None = None

    def __init__(self, encoder: nn.Module, head: nn.Module, normalisation: Normalisation) -> None:
        """Joins encoder, from photos "b c y x" to features "b d h w", and head."""
        super().__init__()
        self.encoder = encoder
        self.head = head
        for name, values in (("mean", normalisation.mean), ("std", normalisation.std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.mean.device

    @property
    def mean_colour(self) -> tuple[int, ...]:
        """The colour that normalises to about 0."""
        return tuple(round(255 * value) for value in self.mean.flatten().tolist())

    @torch.inference_mode()
    def in_batches(
        self,
        photos: Sequence[UInt8[np.ndarray, "_ _ c"]],
        do: Callable[[UInt8[Tensor, "b c y x"]], Iterable[Any]],
    ) -> list[Any]:
        """Applies `do` to photos on the network's device, those of one size together."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for number, photo in enumerate(photos):
            by_size.setdefault(photo.shape, []).append(number)
        results: list[Any] = [None] * len(photos)
        for numbers in by_size.values():
            batch = torch.from_numpy(np.stack([photos[number] for number in numbers]))
            found = do(batch.to(self.device).permute(0, 3, 1, 2))
            for number, result in zip(numbers, found, strict=True):
                results[number] = result
        return results

    def normalise(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """Normalises photos as the encoder expects."""
        return (images.float() / 255 - self.mean) / self.std

    def features(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b d h w"]:
        """The encoder's features of photos."""
        if self.memory is not None:
            return self.memory.recall(images, self._features)
        return self._features(images)

    def frozen_features(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b d h w"]:
        """The encoder's features of photos, in 32 bits, for a head that is fitted in one go.

        Raises:
            FeaturesError: NaN or infinity, of which a solver would make a figure.
        """
        return finite(self.features(images).float(), of="backbone")

    def _features(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b d h w"]:
        return self.encoder(self.normalise(images))
