"""Photos: listing a collection, and decoding one photo, in one place and in one way.

Masks are made from these pixels and training cuts from these pixels, so both must agree on which
way is up and how large a photo is: all photos are read here. No torch.
"""

from detcon.photos.collection import Keys, Photos, nearest_key
from detcon.photos.decoding import decode, orientation, read_stored, turn_upright, upright_size
from detcon.photos.errors import PhotosError, TooManyUnreadable, UnreadablePhoto
from detcon.photos.kept import kept_table
from detcon.photos.kinds import BAND_EXTENSIONS, EXTENSIONS, is_system_folder
from detcon.photos.listing import check_outside, open_photos
from detcon.photos.names import Names, stays_inside
from detcon.photos.resizing import resize, shown, shrink

__all__ = [
    "BAND_EXTENSIONS", "EXTENSIONS", "Keys", "Names", "Photos", "PhotosError",
    "TooManyUnreadable", "UnreadablePhoto", "check_outside", "decode", "is_system_folder",
    "kept_table", "nearest_key", "open_photos", "orientation", "read_stored", "resize", "shown",
    "shrink", "stays_inside", "turn_upright", "upright_size",
]  # fmt: skip
