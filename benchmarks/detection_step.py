"""A training step of detection beside torchvision's own model in a bare loop, on the same batch.

    python benchmarks/detection_step.py            # about two minutes on one idle core

The peer is torchvision's Mask R-CNN, whole, with the same encoder, pyramid, heads and sizes; its
transform normalises and batches, but doesn't resize. It gets the photos as floats, and a loop of
forward, backward and update. Ours is `fit` itself, on uint8 crops: it and the peer take turns
within one run, and CPU time is counted. Both choose regions at random, and their weights differ
after the first step.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pairs import Pairs, save
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from detcon.data.labelled.crops import LabelledBatch
from detcon.downstream.tasks.detection.data import CropObjects
from detcon.downstream.tasks.detection.mask_rcnn import DetectionHead, build_detector, build_rcnn
from detcon.downstream.tasks.detection.recipe import DetectorRecipe
from detcon.models.encoders import PyramidEncoder, build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.train.loop import fit
from detcon.train.optim import build_optimizer
from detcon.train.plan import Plan
from detcon.train.recipe import Cosine, LoopRecipe, Sgd

RUNS, WARM_UP, OBJECTS, CLASSES = 10, 2, 6, 80
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LOOP = LoopRecipe(precision="32", log_every=1000, checkpoint_every=None, checkpoint_minutes=None)
OPTIMIZER = Sgd(lr=1e-4)
CASES = {
    "resnet18, 256 px, batch 2": (EncoderRecipe(name="resnet18"), 256, 2, DetectorRecipe()),
    "resnet18 at half width, 128 px, batch 8, small heads": (
        EncoderRecipe(name="resnet18", width=0.5),
        128,
        8,
        DetectorRecipe(
            channels=64, hidden=256, anchor=4, proposals=200, rpn_batch=128, box_batch=64
        ),
    ),
}


class Backbone(nn.Module):
    """Encoder and pyramid, as torchvision's detectors want them."""

    def __init__(self, encoder: nn.Module, fpn: nn.Module, out_channels: int) -> None:
        super().__init__()
        self.encoder, self.fpn, self.out_channels = encoder, fpn, out_channels

    def forward(self, photos: Tensor) -> dict[str, Tensor]:
        assert isinstance(self.encoder, PyramidEncoder)
        return self.fpn({str(i): x for i, x in enumerate(self.encoder.pyramid(photos))})


def make_batch(size: int, num: int) -> LabelledBatch:
    """Noise with rectangles for objects."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, size * 3 // 4, (num, OBJECTS, 2))
    boxes = np.concatenate([corners, corners + rng.integers(8, size // 4, corners.shape)], 2)
    masks = np.zeros((num, OBJECTS, size, size), np.uint8)
    for photo, number in np.ndindex(num, OBJECTS):
        left, top, right, bottom = boxes[photo, number]
        masks[photo, number, top:bottom, left:right] = 1
    return LabelledBatch(
        torch.from_numpy(rng.integers(256, size=(num, 3, size, size), dtype=np.uint8)),
        CropObjects(
            tuple(torch.from_numpy(boxes.astype(np.float32))),
            tuple(torch.from_numpy(rng.integers(CLASSES, size=(num, OBJECTS)))),
            tuple(torch.from_numpy(masks)),
        ),
        torch.arange(num),
    )


def peer_of(recipe: EncoderRecipe, sizes: DetectorRecipe, batch: LabelledBatch) -> Any:
    """A function that makes a step of torchvision's model, and no more."""
    encoder, size = build_encoder(recipe), batch.images.shape[-1]
    assert isinstance(encoder, PyramidEncoder)
    fpn = DetectionHead(encoder, CLASSES, sizes).fpn
    backbone = Backbone(encoder, fpn, sizes.channels)
    model = build_rcnn(backbone, CLASSES, sizes)
    model.transform = GeneralizedRCNNTransform(size, size, MEAN, STD, _skip_resize=True)
    model.to(memory_format=torch.channels_last).train()
    updates = build_optimizer(OPTIMIZER, model, len(batch.images))
    images = list(batch.images.float() / 255)
    targets = [
        {"boxes": boxes, "labels": classes + 1, "masks": masks}
        for boxes, classes, masks in zip(*batch.labels, strict=True)
    ]

    def step() -> None:
        loss = sum(model(images, targets).values())
        assert isinstance(loss, Tensor)
        loss.backward()
        updates.step()
        updates.zero_grad(set_to_none=True)

    return step


def measure(recipe: EncoderRecipe, size: int, num: int, sizes: DetectorRecipe) -> Pairs:
    """CPU seconds of a step and of the peer's, in turns."""
    torch.manual_seed(0)
    encoder = build_encoder(recipe)
    network = build_detector(encoder, Normalisation(), CLASSES, sizes, size=size)
    batch = make_batch(size, num)
    peer, ours, bare = peer_of(recipe, sizes, batch), [], []

    def turns(first: int) -> Iterator[LabelledBatch]:
        for _ in range(WARM_UP + RUNS):
            start = time.process_time()
            yield batch
            ours.append(time.process_time() - start)
            start = time.process_time()
            peer()
            bare.append(time.process_time() - start)
        yield batch

    with tempfile.TemporaryDirectory() as folder:
        fit(
            network.train(),
            turns,
            plan=Plan(
                steps=WARM_UP + RUNS + 1,
                optimizer=OPTIMIZER,
                schedule=Cosine(),
                loop=LOOP,
                batch_size=num,
            ),
            folder=Path(folder),
        )
    return Pairs(ours[WARM_UP:], bare[WARM_UP:])


def main() -> None:
    figures = {}
    for case, (recipe, size, num, sizes) in CASES.items():
        figures[case] = measure(recipe, size, num, sizes).figures()
        print(f"{case}: {figures[case]}")
    if sys.argv[1:] != ["look"]:
        print(f"wrote {save('detection_step', figures).name}")


if __name__ == "__main__":
    main()
