"""PASCAL VOC 2012, with SBD; scenes in its layout."""

from detcon.formats.format import Format
from detcon.formats.voc.layout import VocLayout
from detcon.formats.voc.reader import open_segments, open_voc, open_voc_objects

FORMAT = Format(
    label_maps=open_voc,
    objects=open_voc_objects,
    segments=open_segments,
    options=("split", "regions", "ignore", "background"),
    layout=VocLayout,
)
