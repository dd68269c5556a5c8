"""Which labelled pictures a run learns from, and where they are kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from detcon.progress import with_progress

MEMORY = 2**30
"""Pictures that need fewer bytes than this are decoded once and kept."""


class LabelError(ValueError):
    """Labels that are missing, or don't fit their photo or the task."""


@runtime_checkable
class Split(Protocol):
    """The training or the validation pictures of a labelled data set, read when asked for."""

    @property
    def keys(self) -> Sequence[str]: ...

    def read(self, index: int) -> Any:
        """A picture with its labels; it has `key`, `image` "y x c" and `nbytes`."""
        ...


@dataclass(frozen=True)
class Labelled:
    """What to learn from, what to judge by, and the names of the classes of both."""

    train: Split
    val: Split
    names: tuple[str, ...] = ()


Item = TypeVar("Item", covariant=True)


@runtime_checkable
class Countable(Protocol[Item]):
    """Things to go through, whose number is known."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


def watched(items: Countable[Item], title: str) -> Iterator[Item]:
    """Goes through the items under a progress bar."""
    return with_progress(items, title, len(items), transient=True)


def nested_subset(num_photos: int, labels: int | None, seed: int) -> list[int]:
    """Which photos keep their labels: the first ones of a permutation, so that more hold fewer.

    Raises:
        LabelError: More labels are asked for than there are.
    """
    if labels is not None and labels > num_photos:
        raise LabelError(
            f"labels={labels}, but there are only {num_photos} training photos; ask for fewer, "
            f"or leave labels out to use all"
        )
    order = np.random.default_rng(np.random.SeedSequence([seed], spawn_key=(1,))).permutation(
        num_photos
    )
    return sorted(order[:labels].tolist())


class Pictures:
    """Some pictures of a split, decoded once if they are few and small, else each time."""

    def __init__(
        self,
        split: Split,
        indices: Sequence[int],
        *,
        memory: int = MEMORY,
    ) -> None:
        """Decodes and keeps the pictures, if they need no more than `memory` bytes.

        Args:
            split: Where they come from.
            indices: Which ones.
            memory: How many bytes may be kept.
        """
        self.split = split
        self.indices = list(indices)
        self.kept: list[Any] | None = None
        if self.indices:
            first = split.read(self.indices[0])
            if first.nbytes * len(self.indices) <= memory:
                self.kept = [split.read(index) for index in watched(self.indices, "reading")]

    def __len__(self) -> int:
        return len(self.indices)

    def key(self, index: int) -> str:
        """The name of a picture, without reading it."""
        return self.split.keys[self.indices[index]]

    def __getitem__(self, index: int) -> Any:
        return self.split.read(self.indices[index]) if self.kept is None else self.kept[index]

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))
