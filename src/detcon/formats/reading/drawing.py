"""What a reader of drawn objects gives: the shapes of each photo, and what it left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detcon.formats.reading.shapes import Shape


@dataclass(frozen=True, eq=False)
class Drawing:
    """What is drawn on one photo.

    Attributes:
        key: The photo, from the root of `Drawings`.
        place: The file, or the part of one, for messages.
        shapes: Its objects; there may be none.
        size: Height and width of the photo, if the file says.
        in_shares: Whether coordinates are shares of the photo's width and height, not pixels.
    """

    key: str
    place: str
    shapes: Sequence[Shape]
    size: tuple[int, int] | None = None
    in_shares: bool = False


@dataclass(frozen=True, eq=False)
class Drawings:
    """All annotations of a data set.

    Attributes:
        root: The folder that keys are relative to.
        source: The data set's name in messages.
        parts: By split: train, val, test. Where the data set has no split, all are under "".
        names: Of the classes; empty: those that occur, sorted.
        notes: Sentences on what was left out.
    """

    root: Path
    source: str
    parts: Mapping[str, Sequence[Drawing]]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class LeftOut:
    """Counts what is left out, by reason, with the first place of each."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, reason: str, place: str) -> None:
        """`reason` says what they are, such as "points or lines"."""
        self._places.setdefault(reason, []).append(place)

    def sentences(self, what: str) -> tuple[str, ...]:
        """A sentence for each reason. `what` are the things counted, in the plural."""
        return tuple(
            f"{what} left out: {len(places)} ({reason}), the first is {places[0]}"
            for reason, places in self._places.items()
        )
