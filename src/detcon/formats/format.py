"""What a reader of annotated photos gives, whatever the format on disk.

A reader is frozen and picklable: the workers of a loader each hold one. Keys name photos in
messages and results, and are what subsets are drawn from; they are sorted.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from detcon.formats.objects import Objects


@runtime_checkable
class AnnotatedPhotos(Protocol):
    """Photos by key, upright, decoded by `detcon.photos`."""

    @property
    def keys(self) -> Sequence[str]: ...

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]: ...


@runtime_checkable
class LabelMaps(AnnotatedPhotos, Protocol):
    """A class for each pixel, from 0, contiguous; 255 is void. `names` is () where unknown."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def labels(self, key: str) -> UInt8[np.ndarray, "y x"]: ...

    def pair(
        self, key: str, channels: int = 3
    ) -> tuple[UInt8[np.ndarray, "y x c"], UInt8[np.ndarray, "y x"]]:
        """Photo and labels, which are held to its size."""
        ...


@runtime_checkable
class ObjectSets(AnnotatedPhotos, Protocol):
    """Objects with boxes, classes and, where the format has them, masks."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def objects(self, key: str) -> Objects: ...


@runtime_checkable
class DepthMaps(AnnotatedPhotos, Protocol):
    """Metres to what each pixel shows; NaN where nothing was measured."""

    def depth(self, key: str) -> Float[np.ndarray, "y x"]: ...


@runtime_checkable
class ClassifiedPhotos(AnnotatedPhotos, Protocol):
    """A class for each photo, from 0."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def label(self, key: str) -> int: ...
