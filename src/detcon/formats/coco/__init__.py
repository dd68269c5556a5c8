"""COCO: objects and panoptic maps, the masks that `detcon convert` writes, scenes in its layout."""

from detcon.formats.coco.exported import open_label_maps, open_objects, open_segments
from detcon.formats.coco.layout import CocoLayout
from detcon.formats.coco.panoptic import open_coco_panoptic, open_panoptic_segments
from detcon.formats.format import Format

FORMAT = Format(
    label_maps=open_label_maps,
    objects=open_objects,
    segments=open_segments,
    options=("split", "regions", "crowd", "background"),
    layout=CocoLayout,
    draws_split=True,
)
PANOPTIC = Format(
    label_maps=open_coco_panoptic,
    segments=open_panoptic_segments,
    options=("split", "regions", "crowd"),
)
