"""The whole ADE20K, of which SceneParsing is a part: a PNG of codes beside each photo.

    ADE_train_00000001.jpg      ADE_train_00000001_seg.png

A pixel's class is R // 10 * 256 + G, and B tells the objects of a photo apart; 0 is none. Zhou et
al., "Scene parsing through ADE20K", CVPR 2017; the code is that of utils_ade20k.py,
github.com/CSAILVision/ADE20K. SceneParsing (ADEChallengeData2016) has folders of its own for
photos and maps, and its maps hold the class itself.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from PIL import Image

from detcon.formats.errors import AnnotationError, NotAnnotated

SUFFIX = "_seg.png"


@dataclass(frozen=True, eq=False)
class Ade20kMaps:
    """What is marked in a photo.

    Attributes:
        classes: The class of each pixel, from 1; 0 where there is none.
        instances: Which object of the photo a pixel belongs to, from 1; 0 where there is none.
    """

    classes: Int32[np.ndarray, "y x"]
    instances: Int32[np.ndarray, "y x"]


def read_ade20k(path: Path, photo: str = "") -> Ade20kMaps:
    """Reads a file of codes.

    Args:
        path: The file.
        photo: The photo it belongs to, for messages.

    Raises:
        NotAnnotated: There is no such file.
        AnnotationError: It is no PNG of three channels.
    """
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            mode, colours = picture.mode, np.array(picture)
    except FileNotFoundError as error:
        raise NotAnnotated(
            f"there is no annotation {path} for the photo {photo}; ADE20K's lie beside the "
            f"photos, and their names end in {SUFFIX}"
        ) from error
    except Exception as error:  # Pillow has no one exception for a damaged file
        raise AnnotationError(f"the annotation {path} is no PNG that can be read") from error
    if mode != "RGB":
        raise AnnotationError(
            f"the annotation {path} has the channels {mode}, but the codes of ADE20K are RGB; "
            f"maps of one channel, as SceneParsing has them, take format=png"
        )
    red, green, blue = np.moveaxis(colours.astype(np.int32), 2, 0)
    return Ade20kMaps(red // 10 * 256 + green, blue)
