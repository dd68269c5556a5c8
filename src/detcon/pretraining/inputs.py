"""Inventories of the photos and masks of a pretraining, to notice when they change."""

import hashlib
from datetime import datetime
from pathlib import Path

from detcon.masks.store import MaskStore
from detcon.notes import counted, note
from detcon.photos import Photos
from detcon.results.inputs import Inventory, photos_inventory


def take_inputs(photos: Photos, masks: MaskStore | None) -> dict[str, Inventory]:
    """What identifies photos and masks, wherever they lie, by the names of their settings.

    Photos count by their names, so that damaged ones may be replaced while a run waits, and in
    another place by marks of their content too; masks by the index of the store, which has a
    checksum of each photo's masks.
    """
    inputs = {"images": photos_inventory(photos)}
    if masks is not None:
        index = (masks.folder / "index.arrow").read_bytes()
        inputs["masks"] = Inventory(len(masks), hashlib.sha256(index).hexdigest())
    return inputs


def say_newer(photos: Photos, folder: Path, began: str) -> None:
    """Says which photos are newer than the run in a folder, which began at a time in ISO 8601."""
    newer = photos.newer_than(datetime.fromisoformat(began).timestamp() + 1)  # whole seconds
    if not newer:
        return
    note(
        f"{counted(len(newer), 'photo')} of {photos.source} changed since {folder} was begun, "
        f"the first is {newer[0]}: the run learnt from their older content; give another out= to "
        f"learn from the new content alone"
    )
