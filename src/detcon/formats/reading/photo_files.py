"""What all readers of photos in files have in common."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from detcon.photos import Photos


class PhotoFiles:
    """A base of readers that hold a collection of photos in a field `photos`."""

    photos: Photos

    @property
    def keys(self) -> Sequence[str]:
        """The photos' names, sorted."""
        return self.photos.keys

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo.

        Raises:
            UnreadablePhoto: It is missing or damaged.
        """
        return replace(self.photos, channels=channels).read(key)
