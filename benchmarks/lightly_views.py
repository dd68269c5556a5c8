"""lightly's data path for DetCon-S, as a peer."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.tv_tensors import Mask

from detcon.masks.store import MaskStore
from detcon.photos import Photos

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its dependencies
    from lightly.transforms.detcon_transform import DetConSTransform


def lightly_views(photos: Photos, store: MaskStore, kind: str, **options: Any) -> Callable[[], Any]:
    """lightly's views of the same photos, with the same masks from the same store, collated.

    `kind`: `pil` as its users would write it (Pillow's decoder, its own interpolation); `cv2` has
    our decoder and bicubic interpolation, on a Pillow image (which always antialiases); `tensor`
    the same on a tensor, without antialiasing. Masks stay pixel maps: making region weights of
    them would come on top.
    """
    transform = DetConSTransform(**options)
    for compose in transform.transforms if kind != "pil" else ():
        crop = compose.transforms[0].tr.transforms[0]
        crop.interpolation = InterpolationMode.BICUBIC
        crop.antialias = kind != "tensor"

    def read(key: str) -> Any:
        if kind == "pil":
            return Image.open(photos.path(key)).convert("RGB")
        photo = photos.read(key)
        return Image.fromarray(photo) if kind == "cv2" else torch.from_numpy(photo).permute(2, 0, 1)

    def run() -> Any:
        views = []
        for key in photos.keys:
            labels = torch.from_numpy(store[key].labels.astype(np.uint8))
            views.append(transform(read(key), Mask(labels[None])))
        pairs = [list(zip(*one_view, strict=True)) for one_view in zip(*views, strict=True)]
        return [[torch.stack(parts) for parts in pair] for pair in pairs]

    return run
