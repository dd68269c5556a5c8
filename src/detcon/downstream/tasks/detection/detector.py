"""The network of detection: an encoder, and Mask R-CNN on its four grids."""

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from detcon.data.labelled.crops import LabelledBatch
from detcon.downstream.network import Network
from detcon.downstream.tasks.detection.data import CropObjects
from detcon.downstream.tasks.detection.mask_rcnn import DetectionHead
from detcon.downstream.tasks.detection.recipe import DetectorRecipe
from detcon.models.encoders import PyramidEncoder, with_pyramid
from detcon.models.normalisation import Normalisation

Found = list[dict[str, Tensor]]
"""For each photo "boxes" [n 4], "scores" [n], "labels" [n] from 1, and "masks" [n 1 28 28]."""


class Detector(Network):
    """Finds objects in squares of one size, without scaling or padding them."""

    head: DetectionHead

    def __init__(
        self, encoder: nn.Module, head: DetectionHead, normalisation: Normalisation, *, size: int
    ) -> None:
        """Joins a `PyramidEncoder` and a head, for squares of this size."""
        super().__init__(encoder, head, normalisation)
        self.size = size

    def levels(self, images: UInt8[Tensor, "b c y x"]) -> dict[str, Tensor]:
        """The feature pyramid of photos, by name; the input of all heads."""
        assert isinstance(self.encoder, PyramidEncoder)
        return self.head.levels(self.encoder.pyramid(self.normalise(images)))

    def forward(
        self, batch: LabelledBatch
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The loss of a batch, for the training loop, and the parts that it is the sum of."""
        levels = self.levels(batch.images)
        images, targets = _image_list(batch.images), _targets(batch.labels)
        proposals, losses = self.head.rpn(images, levels, targets)
        _, more = self.head.roi_heads(levels, proposals, images.image_sizes, targets)
        losses = {**losses, **more}
        return torch.stack(list(losses.values())).sum(), {n: v.detach() for n, v in losses.items()}

    @torch.inference_mode()
    def find(self, images: UInt8[Tensor, "b c y x"]) -> Found:
        """The objects of photos; the network must be in eval mode."""
        levels, listed = self.levels(images), _image_list(images)
        proposals, _ = self.head.rpn(listed, levels, None)
        found, _ = self.head.roi_heads(levels, proposals, listed.image_sizes, None)
        return found


def build_detector(
    encoder: nn.Module,
    normalisation: Normalisation,
    num_classes: int,
    recipe: DetectorRecipe,
    *,
    size: int,
) -> Detector:
    """Puts a fresh Mask R-CNN on an encoder.

    Raises:
        ValueError: The encoder doesn't give grids of 4, 8, 16 and 32 pixels a cell.
    """
    encoder = with_pyramid(encoder)
    assert isinstance(encoder, PyramidEncoder)
    head = DetectionHead(encoder.pyramid_channels, num_classes, recipe)
    return Detector(encoder, head, normalisation, size=size)


def _image_list(images: UInt8[Tensor, "b c y x"]) -> ImageList:
    """Photos of one size, as torchvision's heads take them."""
    height, width = images.shape[-2:]
    return ImageList(images, [(height, width)] * len(images))


def _targets(objects: CropObjects) -> list[dict[str, Tensor]]:
    """Targets in torchvision's form: class 0 is the background."""
    targets: list[dict[str, Tensor]] = [
        {"boxes": boxes.to(torch.float32), "labels": _labels(classes)}
        for boxes, classes in zip(objects.boxes, objects.classes, strict=True)
    ]
    for target, masks in zip(targets, objects.masks):  # none at all where boxes alone are learnt
        target["masks"] = masks
    return targets


def _labels(classes: Integer[Tensor, " n"]) -> Integer[Tensor, " n"]:
    return classes.to(torch.int64) + 1
