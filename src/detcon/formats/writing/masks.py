"""What `detcon convert` hands to the writers of formats: masks, without their store."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Integer


@runtime_checkable
class WrittenMasks(Protocol):
    """The masks of a photo: `detcon.masks.Masks`, disjoint where `membership` is None."""

    size: tuple[int, int]
    patterns: Integer[np.ndarray, "y x"]
    membership: Bool[np.ndarray, "p k"] | None
    scores: Float[np.ndarray, " k"] | None

    @property
    def ids(self) -> Integer[np.ndarray, " k"]: ...

    def stack(self) -> Bool[np.ndarray, "k y x"]: ...

    def at_size(self) -> "WrittenMasks": ...


@runtime_checkable
class MasksOfPhotos(Protocol):
    """Masks by the keys of their photos; picklable."""

    def __getitem__(self, key: str) -> WrittenMasks: ...
