"""Finds a photo of a data set by its name in a collection.

A data set knows a photo as `train2017/000000000139.jpg`; the collection that masks are made of may
be the folder above it, that folder, or one within it, and so knows more or less of the same path.
"""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from detcon.formats.errors import AnnotationError


class PhotoPaths:
    """The paths of a data set's photos, found by their ends.

    Args:
        paths: Of the photos, from the top folder of the data set on.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        for path in paths:
            self._by_name.setdefault(PurePosixPath(path).name, []).append(path)

    def __iter__(self) -> Iterator[str]:
        return (path for paths in self._by_name.values() for path in paths)

    def find(self, key: str) -> str | None:
        """The path of the photo `key`, or None. Raises what `match_path` does."""
        return match_path(key, self._by_name.get(PurePosixPath(key).name, []))


def match_path(key: str, paths: Iterable[str]) -> str | None:
    """The path that is the end of `key`, or that `key` is the end of; whole names only.

    Returns:
        None if there is none.

    Raises:
        AnnotationError: There are several, and none of them is `key` itself.
    """
    found = [path for path in paths if path == key or _is_end(path, key) or _is_end(key, path)]
    if key in found:
        return key
    if len(found) > 1:
        raise AnnotationError(
            f"the photo {key} may be {found[0]} or {found[1]} of the annotations; give as "
            f"images= a folder further up, so that its name says which"
        )
    return found[0] if found else None


def _is_end(short: str, long: str) -> bool:
    return long.endswith(f"/{short}")
