"""Names of photos below one folder, for files that are made of them."""

import os
from collections.abc import Sequence


class Names:
    """Names that stay below whatever folder they are joined to.

    A key is relative to the folder of the list that names the photo, and may lead out of it:
    `/data/a.jpg`, `../a.jpg`. A file made of that photo would lie beside the photo, or replace it.
    Where a key leads out, all names are relative to the folder that holds all the photos.

    Args:
        keys: All photos of the collection.
        root: The folder that keys are relative to.

    Attributes:
        folder: The folder that names are relative to: `root`, unless a key leads out of it.

    >>> names = Names(["/data/one/a.jpg", "/data/two/a.jpg"], "/lists")
    >>> names.folder, names["/data/one/a.jpg"]
    ('/data', 'one/a.jpg')
    """

    def __init__(self, keys: Sequence[str], root: str) -> None:
        self._root, self.folder, self._are_keys = root, root, all(map(stays_inside, keys))
        if not self._are_keys:
            self.folder = os.path.commonpath([os.path.dirname(self._path(key)) for key in keys])

    def __getitem__(self, key: str) -> str:
        """The name of a photo, a posix path with extension."""
        if self._are_keys:
            return key
        return os.path.relpath(self._path(key), self.folder).replace(os.sep, "/")

    def _path(self, key: str) -> str:
        return os.path.abspath(os.path.join(self._root, key))


def stays_inside(key: str) -> bool:
    """Whether a key names a file below any folder that it is joined to.

    >>> [stays_inside(key) for key in ("a/b.jpg", "/data/a.jpg", "a/../../b.jpg")]
    [True, False, False]
    """
    return not os.path.isabs(key) and ".." not in key.split("/")
