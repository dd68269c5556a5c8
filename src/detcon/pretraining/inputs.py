"""Inventories of the photos and masks of a pretraining, to notice when they change."""

import hashlib
from datetime import datetime

from detcon.masks.store import MaskStore
from detcon.photos import Photos
from detcon.results.inputs import Inventory

MOST_FILES = 100_000  # photos whose files are asked for size and time


def take_inputs(photos: Photos, masks: MaskStore | None) -> dict[str, Inventory]:
    """What identifies photos and masks, wherever they lie, by the names of their settings.

    Photos count by their names, and up to `MOST_FILES` files by their sizes; masks by the index of
    the store, which has a checksum of each photo's masks.
    """
    inputs = {"images": _of_photos(photos)}
    if masks is not None:
        index = (masks.folder / "index.arrow").read_bytes()
        inputs["masks"] = Inventory(len(masks), hashlib.sha256(index).hexdigest())
    return inputs


def _of_photos(photos: Photos) -> Inventory:
    digest, newest = hashlib.sha256(), (0.0, "")
    with_sizes = photos.members is None and len(photos) <= MOST_FILES
    for key in photos.keys:
        digest.update(f"{key}\0".encode(errors="surrogateescape"))
        path = photos.path(key)
        if with_sizes and path.is_file():
            status = path.stat()
            digest.update(f"{status.st_size}\0".encode())
            newest = max(newest, (status.st_mtime, key))
    when = datetime.fromtimestamp(newest[0]).isoformat(" ", "minutes")
    return Inventory(
        len(photos), digest.hexdigest(), f"{newest[1]}, of {when}" if newest[1] else ""
    )
