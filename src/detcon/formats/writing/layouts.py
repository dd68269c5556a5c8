"""How the folder of scenes is laid out on disk: as ours, or as known data sets are downloaded."""

from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from detcon.formats.cityscapes_layout import CityscapesLayout
from detcon.formats.coco.layout import CocoLayout
from detcon.formats.folder.layout import FolderLayout
from detcon.formats.nyu.layout import NyuLayout
from detcon.formats.voc.layout import VocLayout
from detcon.formats.writing.pixels import Picture

Format = Literal["folder", "coco", "voc", "cityscapes", "nyu"]


@runtime_checkable
class Layout(Protocol):
    """Where the files of a picture go; picklable. A record is what `finish` must know of one."""

    def find(self, split: str, number: int) -> dict[str, Any] | None:
        """The record of a picture that is there, whole, from an earlier run; else None."""
        ...

    def save(self, split: str, number: int, picture: Picture) -> dict[str, Any]:
        """Writes the files of a picture; returns its record."""
        ...

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Writes what concerns a split as a whole; train comes first, val last."""
        ...


def choose_layout(
    format: Format, root: Path, names: tuple[str, ...], *, num_train: int, has_depth: bool
) -> Layout:
    """The layout of a format.

    Args:
        format: Its name.
        root: The folder to fill.
        names: Of the classes, by class id: stuff first, then things.
        num_train: How many pictures there are to train on.
        has_depth: Whether they are rendered, and have depth; composites have one class of stuff.

    Raises:
        FormatError: If the format can't hold so many classes.
    """
    num_stuff = 2 if has_depth else 1
    if format == "coco":
        return CocoLayout(root, names, num_stuff)
    if format == "voc":
        return VocLayout(root, names, num_stuff, num_train)
    if format == "cityscapes":
        return CityscapesLayout(root, names, num_stuff)
    if format == "nyu":
        return NyuLayout(root, num_train)
    return FolderLayout(root, names, has_depth)
