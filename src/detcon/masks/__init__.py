"""The masks of photos: where they come from, how they are stored, how good they are.

Importing this room loads neither torch nor numba, so that workers stay light.
"""

from detcon.masks.masks import MaskGenerator, Masks

__all__ = ["MaskGenerator", "Masks"]
