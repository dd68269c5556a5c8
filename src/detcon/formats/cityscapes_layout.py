"""Scenes laid out as Cityscapes is, all in one city.

DIR/leftImg8bit/{train,val}/scenes/scenes_000000_000019_leftImg8bit.png
DIR/gtFine/{train,val}/scenes/scenes_000000_000019_gtFine_{labelIds,instanceIds}.png

The first class of objects goes under the name of Cityscapes' first, person, and so on; the floor
under that of road, walls and backgrounds under that of building. Slivers of objects are groups.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detcon.formats.cityscapes import THINGS
from detcon.formats.errors import FormatError
from detcon.formats.writing.marked import is_sliver
from detcon.formats.writing.pixels import Picture, read_pixels, write_pixels

_ROAD, _BUILDING = 7, 11
_CITY, _PER_CLASS = "scenes", 1000


@dataclass(frozen=True)
class CityscapesLayout:
    """Cityscapes, all in one city.

    Attributes:
        root: The folder.
        names: Of the classes.
        num_stuff: How many of them, the first, are no objects.
    """

    root: Path
    names: tuple[str, ...]
    num_stuff: int

    def __post_init__(self) -> None:
        if len(self.names) - self.num_stuff > len(THINGS):
            raise FormatError(
                f"format=cityscapes has room for {len(THINGS)} classes of objects, but the "
                f"cut-outs have {len(self.names) - self.num_stuff}; give fewer, or another format"
            )

    def find(self, split: str, number: int) -> dict[str, Any] | None:
        """An empty record of a picture that is there, whole, from an earlier run; else None."""
        whole = all(read_pixels(path) is not None for path in self._files(split, number))
        return {} if whole else None

    def save(self, split: str, number: int, picture: Picture) -> dict[str, Any]:
        """Writes both maps, then the photo."""
        photo, label_ids, instance_ids = self._files(split, number)
        stuff = (_ROAD, _BUILDING) if self.num_stuff == 2 else (_BUILDING,)
        table = np.array([*stuff, *THINGS], np.uint8)
        labels = table[picture.labels]
        instances = labels.astype(np.uint16)
        counts: Counter[int] = Counter()
        for one in range(1, int(picture.instances.max()) + 1):
            inside = picture.instances == one
            label = int(labels[inside][0])
            if not is_sliver(inside):
                instances[inside] = label * _PER_CLASS + counts[label]
                counts[label] += 1
        write_pixels(label_ids, labels)
        write_pixels(instance_ids, instances)
        write_pixels(photo, picture.rgb)
        return {}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Nothing concerns a split as a whole."""

    def _files(self, split: str, number: int) -> tuple[Path, Path, Path]:
        """The photo, the class map, the instance map."""
        stem = f"{_CITY}_{number:06d}_000019"
        photos, truth = (self.root / part / split / _CITY for part in ("leftImg8bit", "gtFine"))
        return (
            photos / f"{stem}_leftImg8bit.png",
            truth / f"{stem}_gtFine_labelIds.png",
            truth / f"{stem}_gtFine_instanceIds.png",
        )
