"""Mask stores: the masks of a collection of photos on the disk."""

from detcon.masks.store.mask_store import MaskStore
from detcon.masks.store.shard import DamagedShard, StoreError

__all__ = ["DamagedShard", "MaskStore", "StoreError"]
