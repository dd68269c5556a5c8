"""Mask R-CNN with a feature pyramid on an encoder: torchvision's, with our sizes and norms.

He et al., "Mask R-CNN", ICCV 2017; Lin et al., "Feature Pyramid Networks", CVPR 2017. DetCon was
evaluated with the Cloud TPU implementation (tensorflow/tpu, models/official/detection). As there:
batch norm in the pyramid; one anchor scale and three ratios a level, 8 cells wide; 2000 candidates
before and 1000 after suppression at an overlap of 0.7; 512 regions a photo, a quarter of them
objects; masks of 28 x 28. Nothing is frozen. This isn't that implementation. It departs from it in:

- batch norm in the box head and the mask head; theirs is in the pyramid alone (`norm="pyramid"`);
- the losses of boxes: torchvision's smooth L1 with beta 1/9, summed and divided by the number of
  sampled anchors or regions; theirs are Huber losses with other deltas and other counts;
- the loss of the region proposals as a whole, which is torchvision's: the mean binary cross entropy
  of the sampled anchors, plus the loss of their boxes with weight 1;
- momentum and epsilon of batch norm: 0.9 and 1e-5; theirs are 0.997 and 1e-4.

On an encoder of a single grid, a plain transformer, ViTDet's simple feature pyramid takes the place
of the feature pyramid (arXiv 2203.16527), with its layer norms; the heads are the same.
"""

from collections import OrderedDict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from detcon.data.labelled.crops import LabelledBatch
from detcon.downstream.network import Network, finite
from detcon.downstream.tasks.detection.recipe import COARSEST, DetectorRecipe
from detcon.models.encoders import PyramidEncoder, with_pyramid
from detcon.models.recipe import Normalisation
from detcon.models.simple_pyramid import SimpleFeaturePyramid

LEVELS = (4, 8, 16, 32, COARSEST)
"""Pixels to a cell of each level of the pyramid; heads read the first four."""
RATIOS = (0.5, 1.0, 2.0)
POOLED = 7
"""Cells along a side of a region, in the box head."""


class DetectionHead(nn.Module):
    """Everything after the encoder: the pyramid, the region proposals, and the heads."""

    def __init__(self, encoder: PyramidEncoder, num_classes: int, recipe: DetectorRecipe) -> None:
        """Draws fresh weights for the grids of an encoder that `with_pyramid` gave."""
        super().__init__()
        of_grids, strides = encoder.pyramid_channels, encoder.pyramid_strides
        self.fpn: nn.Module
        if len(of_grids) == 1:
            self.fpn = SimpleFeaturePyramid(of_grids[0], recipe.channels, strides[0])
        else:
            self.fpn = FeaturePyramidNetwork(
                list(of_grids), recipe.channels, LastLevelMaxPool(), norm_layer=nn.BatchNorm2d
            )
        width = SimpleNamespace(out_channels=recipe.channels)  # all that torchvision's models ask
        model = build_rcnn(width, num_classes, recipe)
        self.rpn, self.roi_heads = model.rpn, model.roi_heads

    def levels(self, grids: Sequence[Tensor]) -> dict[str, Tensor]:
        """The pyramid over the encoder's grids, in float32 at least: anchors take its precision."""
        if isinstance(self.fpn, SimpleFeaturePyramid):
            made, names = LastLevelMaxPool()(self.fpn(grids[0]), [], ["0", "1", "2", "3"])
            named = dict(zip(names, made, strict=True))
        else:
            named = self.fpn(OrderedDict((str(i), grid) for i, grid in enumerate(grids)))
        return {name: _at_least_float32(level) for name, level in named.items()}


def build_rcnn(backbone: Any, num_classes: int, recipe: DetectorRecipe) -> FasterRCNN:
    """torchvision's Mask R-CNN, or Faster R-CNN for boxes alone, with our sizes and norms.

    `num_classes` is without the background; of the backbone, `out_channels` is read.
    """
    wide, outputs, norms = recipe.channels, num_classes + 1, recipe.norm == "all"
    options: dict[str, Any] = {
        "rpn_anchor_generator": AnchorGenerator(
            tuple((recipe.anchor * stride,) for stride in LEVELS), (RATIOS,) * len(LEVELS)
        ),
        "rpn_pre_nms_top_n_train": 2 * recipe.proposals,
        "rpn_post_nms_top_n_train": recipe.proposals,
        "rpn_pre_nms_top_n_test": recipe.proposals,
        "rpn_post_nms_top_n_test": recipe.proposals,
        "rpn_batch_size_per_image": recipe.rpn_batch,
        "box_roi_pool": MultiScaleRoIAlign(["0", "1", "2", "3"], POOLED, sampling_ratio=2),
        "box_head": box_head(wide * POOLED**2, recipe.hidden, norm=norms),
        "box_predictor": FastRCNNPredictor(recipe.hidden, outputs),
        "box_batch_size_per_image": recipe.box_batch,
        "box_score_thresh": recipe.least_score,
        "box_detections_per_img": recipe.detections,
    }
    if recipe.masks:
        options["mask_head"] = MaskRCNNHeads(
            wide, [wide] * recipe.mask_layers, 1, nn.BatchNorm2d if norms else None
        )
        options["mask_predictor"] = MaskRCNNPredictor(wide, wide, outputs)
    model = (MaskRCNN if recipe.masks else FasterRCNN)(backbone, **options)
    heads = model.roi_heads
    for part in (model.rpn.head, heads.box_predictor, heads.mask_predictor):
        if isinstance(part, nn.Module):  # losses, boxes and scores are computed in float32
            part.register_forward_hook(_give_float32)
    return model


def box_head(in_channels: int, hidden: int, *, norm: bool) -> nn.Sequential:
    """Two fully connected layers with ReLU and optional batch norm."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in (in_channels, hidden):
        layers.append(nn.Linear(width, hidden, bias=not norm))
        layers += [nn.BatchNorm1d(hidden), nn.ReLU()] if norm else [nn.ReLU()]
    head = nn.Sequential(*layers)
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return head


def _give_float32(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return _at_least_float32(outputs)
    return type(outputs)(_give_float32(module, inputs, part) for part in outputs)


def _at_least_float32(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return x.to(torch.promote_types(x.dtype, torch.float32))


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
        images, objects = _image_list(batch.images), batch.labels
        targets: list[dict[str, Tensor]] = [  # torchvision's class 0 is the background
            {"boxes": boxes.to(torch.float32), "labels": classes.to(torch.int64) + 1}
            for boxes, classes in zip(objects.boxes, objects.classes, strict=True)
        ]
        for target, masks in zip(targets, objects.masks):  # none where boxes alone are learnt
            target["masks"] = masks
        proposals, losses = self.head.rpn(images, levels, targets)
        _, more = self.head.roi_heads(levels, proposals, images.image_sizes, targets)
        losses = {**losses, **more}
        return torch.stack(list(losses.values())).sum(), {n: v.detach() for n, v in losses.items()}

    @torch.inference_mode()
    def find(self, images: UInt8[Tensor, "b c y x"]) -> Found:
        """The objects of photos; the network must be in eval mode."""
        levels, listed = self.levels(images), _image_list(images)
        for level in levels.values():
            finite(level)
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
        ValueError: The encoder gives neither grids of 4, 8, 16 and 32 pixels a cell, nor a single
            one of these.
    """
    encoder = with_pyramid(encoder)
    assert isinstance(encoder, PyramidEncoder)
    head = DetectionHead(encoder, num_classes, recipe)
    return Detector(encoder, head, normalisation, size=size)


def _image_list(images: UInt8[Tensor, "b c y x"]) -> ImageList:
    """Photos of one size, as torchvision's heads take them."""
    height, width = images.shape[-2:]
    return ImageList(images, [(height, width)] * len(images))
