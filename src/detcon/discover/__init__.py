"""Masks that a network finds, and `make_masks`, which knows these sources beside all others.

Settings load nothing: torch and networks come in when the first photo is asked for.
"""

from detcon.discover.clusters import Clusters
from detcon.discover.segment_anything import SegmentAnything

__all__ = ["Clusters", "SegmentAnything"]
