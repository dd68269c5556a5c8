"""What `detcon convert` hands to the writers of formats: masks, without their store."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Integer


@runtime_checkable
class WrittenMasks(Protocol):
    """The masks of a photo: `detcon.masks.Masks`, disjoint where `membership` is None."""

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def patterns(self) -> Integer[np.ndarray, "y x"]: ...

    @property
    def membership(self) -> Bool[np.ndarray, "p k"] | None: ...

    @property
    def scores(self) -> Float[np.ndarray, " k"] | None: ...

    @property
    def ids(self) -> Integer[np.ndarray, " k"]: ...

    def stack(self) -> Bool[np.ndarray, "k y x"]: ...

    def at_size(self) -> "WrittenMasks": ...


@runtime_checkable
class MasksToWrite(Protocol):
    """Masks by the keys of their photos; picklable."""

    def __getitem__(self, key: str) -> WrittenMasks: ...
