"""What writes scenes in the format of a data set, as `detcon scenes` asks for it."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from detcon.formats.writing.pixels import ScenePicture


@dataclass(frozen=True)
class ScenesPlan:
    """What a layout must know of the scenes that it will hold.

    Attributes:
        names: Of the classes, by class id: stuff first, then things.
        num_train: How many pictures there are to train on.
        has_depth: Whether they are rendered, and have depth; composites don't.
    """

    names: tuple[str, ...]
    num_train: int
    has_depth: bool

    @property
    def num_stuff(self) -> int:
        """How many classes are no objects: floor and walls, or a composite's background."""
        return 2 if self.has_depth else 1

    @property
    def num_things(self) -> int:
        """How many classes are those of objects."""
        return len(self.names) - self.num_stuff


@runtime_checkable
class Layout(Protocol):
    """Where the files of a picture go; picklable. A record is what `finish` must know of one."""

    def find(self, split: str, number: int) -> dict[str, Any] | None:
        """The record of a picture that an earlier run wrote, if it is whole; else None."""
        ...

    def save(self, split: str, number: int, picture: ScenePicture) -> dict[str, Any]:
        """Writes the files of a picture; returns its record."""
        ...

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Writes what concerns a split as a whole; train comes first, val last."""
        ...
