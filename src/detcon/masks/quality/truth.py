"""Truth that masks are compared with: annotations of any format, or another mask store.

A source is frozen and picklable. It knows which photos are annotated, and reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from detcon.formats.errors import AnnotationError
from detcon.formats.recognising import AUTO
from detcon.formats.registry import resolved
from detcon.formats.segments import Regions, SegmentOptions, SegmentSets
from detcon.masks.quality.overlap import Truth
from detcon.masks.sources.annotations import (
    check_options,
    find_annotated,
    masks_of,
    open_annotations,
)
from detcon.masks.store import MaskStore


@runtime_checkable
class TruthSource(Protocol):
    """Annotations by the keys of photos."""

    def annotated(self, keys: Sequence[str]) -> list[str]: ...

    def __getitem__(self, key: str) -> Truth: ...


@dataclass(frozen=True)
class StoredTruth:
    """Another mask store. Pixels of no mask are background."""

    store: MaskStore

    def annotated(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key in self.store]

    def __getitem__(self, key: str) -> Truth:
        return Truth((self.store[key],), place=str(self.store.folder))


@dataclass(frozen=True)
class AnnotatedTruth:
    """Annotations of any format, by one person or several; their void pixels are ignored."""

    folder: str
    format: str
    options: SegmentOptions

    def annotated(self, keys: Sequence[str]) -> list[str]:
        return find_annotated(self._opened, keys)

    def __getitem__(self, key: str) -> Truth:
        people = [masks_of(one, self.options) for one in self._opened.read(key)]
        return Truth(tuple(one.masks for one in people), people[0].void, people[0].place)

    @property
    def _opened(self) -> SegmentSets:
        return open_annotations(self.folder, self.format, self.options)


def open_truth(
    folder: str | Path,
    *,
    format: str | None = None,
    split: str = "train",
    regions: Regions = "instances",
    ignore: int | None = 255,
    background: bool = False,
) -> TruthSource:
    """Opens annotations of any format, or another mask store.

    Crowds and pixels that are ignored or unlabelled are void: they don't count. Without `format`,
    a mask store and the formats of annotations are recognised by their files. The other settings
    are those of `SegmentOptions`.
    """
    path = Path(folder)
    if format is None and (path / "header.json").is_file():
        return StoredTruth(MaskStore(path))
    if not path.exists():
        raise AnnotationError(f"there are no annotations {path}; check truth=")
    format = resolved(path, format or AUTO)
    options = SegmentOptions(ignore, background, split, regions)
    try:
        check_options(format, options)
    except ValueError as error:
        raise AnnotationError(str(error)) from error
    open_annotations(str(path), format, options)
    return AnnotatedTruth(str(path), format, options)
