"""From JPEG files to updated weights, beside the DetCon example of lightly's documentation.

    python benchmarks/end_to_end.py            # a quarter of an hour on one thread
    python benchmarks/end_to_end.py lightly_train=ENV/bin/lightly-train   # beside
    python benchmarks/end_to_end.py table      # the result as Markdown

Both sides read the same 500 x 375 JPEGs with OpenCV, hold the same masks, take views of 96 pixels
and train a ResNet-18 with a projector of 512 and 128 in bf16 and channels-last, by SGD, in one
process. Ours is `fit` on `batches`; the peer is lightly's transform, pooling, projector and loss,
put together as in its example: all of 25 ids are pooled in each view, and none is drawn. `as
published` is that example with its own masks (Felzenszwalb on the fly), precision and layout.

LightlyTrain is AGPL and never imported: its command runs on the same photos, in an environment of
its own, at its defaults but for the size of views and batches; its time is that of six epochs less
that of two, so that its start doesn't count.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
from jpegs import make_photos
from lightly.loss import DetConSLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.models.utils import pool_masked
from lightly.transforms import DetConSTransform
from pairs import RESULTS, Pairs, asked, save
from skimage.segmentation import felzenszwalb
from torch import nn
from torch.nn.functional import interpolate
from torchvision.tv_tensors import Image, Mask

from detcon import MaskStore, detcon_s
from detcon.data.dataset import PhotoViews
from detcon.data.loader import batches
from detcon.data.recipe import ViewsRecipe
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.photos import Photos
from detcon.train.loop import fit
from detcon.train.plan import Plan
from detcon.train.recipe import Cosine, LoopRecipe, Sgd

PHOTOS, BATCH, SIZE, IDS, RUNS, WARM_UP = 256, 64, 96, 25, 10, 1
STEPS = PHOTOS // BATCH
LOOP = LoopRecipe(
    precision="bf16", log_every=10_000, checkpoint_every=None, checkpoint_minutes=None
)


class Peer(nn.Module):
    """lightly's example: every id is pooled, all are contrasted."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*list(torchvision.models.resnet18().children())[:-2])
        self.head = SimCLRProjectionHead(512, 512, 128)

    def forward(self, photos: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        features = self.backbone(photos)
        cells = interpolate(masks.float(), size=features.shape[2:], mode="nearest").long()
        pooled = pool_masked(features, cells.squeeze(1), num_cls=IDS).permute(0, 2, 1)
        return self.head(pooled.flatten(0, 1)).unflatten(0, pooled.shape[:2])


class PeerPhotos(torch.utils.data.Dataset):
    """Photos and masks to lightly's views."""

    def __init__(self, photos: Photos, labels: Callable[..., np.ndarray]) -> None:
        self.photos, self.labels = photos, labels
        self.transform = DetConSTransform(input_size=SIZE)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Any:
        key = self.photos.keys[index]
        photo = cv2.imread(str(self.photos.path(key)), cv2.IMREAD_COLOR_RGB)
        labels = np.clip(self.labels(key, photo), 0, IDS - 1).astype(np.int64)
        image = Image(torch.from_numpy(photo).permute(2, 0, 1))
        return self.transform(image, Mask(torch.from_numpy(labels)[None]))


def peer_epoch(dataset: PeerPhotos, *, matched: bool) -> Callable[[], None]:
    """A function that trains lightly's example for one epoch."""
    torch.manual_seed(0)
    network, criterion = Peer(), DetConSLoss()
    if matched:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.06)
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, drop_last=True)

    def epoch() -> None:
        for views in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=matched):
                one, two = (network(photos, masks) for photos, masks in views)
                ids = torch.arange(IDS).expand(len(one), -1)
                loss = criterion(one.float(), two.float(), ids, ids)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return epoch


def in_turns(photos: Photos, store: MaskStore, peer: Callable[[], None]) -> Pairs:
    """Seconds of an epoch of ours and of the peer's, in turns within one run of `fit`."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderRecipe(name="resnet18"))
    views, grid = ViewsRecipe(size=SIZE, colour="detcon_s"), feature_grid(encoder, SIZE)
    dataset = PhotoViews(photos, store, views, grid=grid, seed=0, cache=False)
    num_steps = STEPS * (WARM_UP + RUNS)
    ours, theirs = [], []

    def turns(first: int) -> Iterator[Any]:
        made = batches(dataset, batch_size=BATCH, seed=0, num_steps=num_steps + 1)
        for _ in range(WARM_UP + RUNS):
            start = time.perf_counter()
            for _ in range(STEPS):
                yield next(made)
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            peer()
            theirs.append(time.perf_counter() - start)
        yield next(made)

    with tempfile.TemporaryDirectory() as folder:
        fit(
            detcon_s(encoder, hidden=512, outputs=128),
            turns,
            plan=Plan(
                steps=num_steps + 1,
                optimizer=Sgd(lr=0.06, momentum=0.0, weight_decay=0.0),
                schedule=Cosine(),
                loop=LOOP,
                batch_size=BATCH,
            ),
            folder=Path(folder),
        )
    return Pairs(ours[WARM_UP:], theirs[WARM_UP:])


def lightly_train(program: str, images: Path, folder: Path) -> float:
    """Photos a second of LightlyTrain's SimCLR."""
    seconds = []
    for epochs in (2, 6):
        words = {
            "out": folder / f"lightly_train{epochs}",
            "data": images,
            "model": "torchvision/resnet18",
            "method": "simclr",
            "epochs": epochs,
            "batch_size": BATCH,
            "num_workers": 0,
            "accelerator": "cpu",
            "transform_args.image_size": f"[{SIZE},{SIZE}]",
        }
        start = time.perf_counter()
        command = [program, "pretrain", *(f"{name}={value}" for name, value in words.items())]
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return 4 * PHOTOS / (seconds[1] - seconds[0])


def measure(folder: Path, program: str | None) -> dict[str, Any]:
    photos, store = make_photos(folder / "photos", (375, 500), PHOTOS)
    stored = PeerPhotos(photos, lambda key, _: store[key].labels)
    on_the_fly = PeerPhotos(
        photos, lambda _, photo: felzenszwalb(photo, scale=100, sigma=0.5, min_size=20)
    )
    pairs = {
        "matched": in_turns(photos, store, peer_epoch(stored, matched=True)),
        "as published": in_turns(photos, store, peer_epoch(on_the_fly, matched=False)),
    }
    figures = {name: with_rates(found) for name, found in pairs.items()}
    if program:
        images = Path(photos.root)
        figures["LightlyTrain"] = {"peer_photos_s": lightly_train(program, images, folder)}
    return figures


def with_rates(pairs: Pairs) -> dict[str, Any]:
    figures = pairs.figures()
    rates = {f"{who}_photos_s": PHOTOS / figures[f"{who}_seconds"] for who in ("ours", "peer")}
    return figures | rates


def print_table() -> None:
    figures = json.loads((RESULTS / "end_to_end.json").read_text())["figures"]
    print("| example | ours (photos/s) | theirs (photos/s) | faster by | least to greatest |")
    print("|---|---|---|---|---|")
    for name, f in figures.items():
        if "ratio" not in f:
            print(f"| {name}'s SimCLR | | {f['peer_photos_s']:.1f} | | |")
            continue
        spread = f"{1 / f['greatest_ratio']:.2f} to {1 / f['least_ratio']:.2f}"
        rates = f"{f['ours_photos_s']:.1f} | {f['peer_photos_s']:.1f}"
        print(f"| {name} | {rates} | **{1 / f['ratio']:.2f}** | {spread} |")


def main() -> None:
    if sys.argv[1:] == ["table"]:
        return print_table()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), next(iter(asked("lightly_train")), None))
    print(f"wrote {save('end_to_end', figures).name}")
    print_table()


if __name__ == "__main__":
    main()
