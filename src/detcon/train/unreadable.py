"""Unreadable photos: counted and reported once; too many end the run."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from detcon.files import write_whole
from detcon.photos import TooManyUnreadable, UnreadablePhoto
from detcon.results.lines import read_lines
from detcon.train.environment import is_first_rank
from detcon.train.replica import Replica, gather_objects

FILE = "unreadable.jsonl"
NAMED = 20  # of those that come to light together, for the console


class UnreadablePhotos:
    """The unreadable photos of all ranks and of earlier starts, unless repaired since.

    Args:
        folder: The run folder; `unreadable.jsonl` in it has one line per photo.
        read: Reads a photo by its key, to see whether it was repaired.
        num_photos: Size of the collection.
        share: Share of the photos that may be unreadable (at least one photo); 0: none.
    """

    def __init__(
        self, folder: Path, read: Callable[[str], Any], *, num_photos: int, share: float
    ) -> None:
        self._path, self._num_photos, self._share = folder / FILE, num_photos, share
        self._most = max(1, int(share * num_photos)) if share else 0
        self._known: dict[str, str] = {}
        self._fresh: dict[str, str] = {}
        self._written: set[str] = set()
        if is_first_rank() and self._path.is_file():
            self._fresh = _still_unreadable(self._path, read)
            self._written = set(self._fresh)
            write_whole(self._path, "".join(map(_line, self._fresh.items())))

    @property
    def are_too_many(self) -> bool:
        """Whether more are known than are allowed."""
        return len(self._known) > self._most

    def add(self, passed_over: Iterable[tuple[str, str]]) -> None:
        """Adds photos of this rank, each with its reason; doesn't talk to other ranks."""
        self._fresh.update(passed_over)

    def settle(self, replica: Replica) -> list[str]:
        """Joins and writes the findings of all ranks, which must call this together.

        Returns a sentence about each new one.
        """
        found = {k: v for some in gather_objects(replica, self._fresh) for k, v in some.items()}
        self._known |= found
        self._fresh = {}
        new = {key: found[key] for key in found if key not in self._written}
        self._written |= new.keys()
        if new and replica.rank == 0:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(map(_line, new.items()))
        sentences = [f"passed over: {reason}" for reason in new.values()]
        if len(sentences) > NAMED:
            sentences[NAMED:] = [f"passed over: {len(new) - NAMED} more, named in {self._path}"]
        return sentences

    def figures(self) -> dict[str, float]:
        """Their number, for the log; empty if there are none."""
        return {"unreadable": float(len(self._known))} if self._known else {}

    def error(self) -> TooManyUnreadable:
        """The error that ends the run if there are too many."""
        return TooManyUnreadable(
            f"{len(self._known)} of {self._num_photos} photos can't be read, and "
            f"max_unreadable={self._share:g} allows {self._most}; {self._path} names them: copy "
            f"them again, or raise max_unreadable, and give the command again to go on"
        )


def _line(photo: tuple[str, str]) -> str:
    return json.dumps({"photo": photo[0], "reason": photo[1]}) + "\n"


def _still_unreadable(path: Path, read: Callable[[str], Any]) -> dict[str, str]:
    """The photos of the list that still can't be read; skips a line cut off by a crash."""
    found: dict[str, str] = {}
    for row in read_lines(path)[0].values():
        try:
            read(row["photo"])
        except UnreadablePhoto as error:
            found[row["photo"]] = str(error)
    return found
