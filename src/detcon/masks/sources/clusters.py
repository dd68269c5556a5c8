"""Masks from clusters of a backbone's features: cells with similar features are one mask."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import cv2
import numpy as np
from jaxtyping import Float, Float32, Integer, UInt8

from detcon.masks.masks import Masks
from detcon.masks.sources.ranges import check_ranges

if TYPE_CHECKING:
    from detcon.models.backbone_file import Backbone

_FINER = 8  # pixels of a map to a cell of the features, each way
_RANDOM = "resnet50"
_AT_REST = 1e-7  # change of the mean distance to the centres at which k-means ends


@dataclass(frozen=True)
class Clusters:
    """k-means on the cells of a photo's feature map, photo by photo.

    The mask discovery of ODIN (Henaff et al., ECCV 2022, arXiv 2203.08777), but done before
    training and stored. In ODIN, a moving average of the network in training finds new masks for
    every view. Here a finished backbone finds them, for instance that of an earlier run. With
    random weights the clusters show little more than colour and position. ODIN's number of
    clusters is unconfirmed; the default `num` is the number of masks that DetCon samples.

    The features of cells are normalised to length 1 and clustered by k-means. The similarity to
    each centre is then interpolated between cells, and a pixel belongs to the most similar
    centre. The photo's key seeds the first centres, so that a photo's masks depend on no other
    photo. Photos pass one at a time, because results would depend on the rest of a batch; on a
    GPU a few workers, which are threads, keep it busy.

    Args:
        backbone: One of our files, a checkpoint, "torchvision:resnet50", "timm:convnext_atto", or
            "random", as `load_backbone` takes it.
        encoder: The architecture of "random" (resnet50 unless given) and of files of timm models.
        stride: Pixels to a cell of a ResNet's grid: 32, 16 or 8. None: the file's own.
        num: The largest number of clusters in a photo.
        side: Photos are resized to this longest side: 448 gives a grid of 14 x 14 at stride 32.
        connected: Whether pieces of a cluster that don't touch become separate masks.
        min_area: The smallest share of the photo that a mask covers; smaller ones are dropped.
        seed: Seed of "random" weights and of the first centres.
        digest: Digest of the weights. `make_masks` records it; a given one must match.
    """

    backbone: str = "random"
    encoder: str | None = None
    stride: int | None = None
    num: int = 16
    side: int = 448
    connected: bool = False
    min_area: float = 0.0
    seed: int = 0
    digest: str | None = None
    revision: ClassVar[int] = 2  # raised with every change of the masks of the same settings
    kind: Literal["clusters"] = "clusters"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges(self, num=2, side=32, seed=0)
        if self.stride not in (None, 8, 16, 32):
            raise ValueError(f"stride of clusters can be 8, 16 or 32, not {self.stride}")
        if not 0 <= self.min_area < 1:
            raise ValueError(f"min_area of clusters must be from 0 to 1, got {self.min_area}")

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Finds a photo's clusters."""
        from detcon.models.dense_features import dense_features

        features = dense_features(self._network(), image, side=self.side)
        rng = np.random.default_rng([self.seed, *key.encode()])
        labels = cluster_cells(features, self.num, rng)
        if self.connected or self.min_area:
            labels = _pieces(labels, self.connected, self.min_area * labels.size)
        return Masks.from_labels(labels, size=(image.shape[0], image.shape[1]))

    def identified(self) -> "Clusters":
        """The same settings with the digest of the weights, which are loaded for it."""
        from detcon.masks.sources.networks import check_digest

        weights = self._network().encoder.state_dict()
        return replace(self, digest=check_digest(f"backbone {self.backbone}", weights, self.digest))

    def _network(self) -> "Backbone":
        file = Path(self.backbone)
        stamp = (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else None
        return _open(self.backbone, self.encoder, self.stride, self.seed, stamp)


def cluster_cells(
    features: Float[np.ndarray, "d h w"], num: int, rng: np.random.Generator
) -> Integer[np.ndarray, "y x"]:
    """Clusters the cells of a grid and returns a map that is eight times finer."""
    d, h, w = features.shape
    points = features.reshape(d, h * w).T
    points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    centres = find_centres(points.astype(np.float32), num, rng)
    # x c - |c|^2 / 2 = (|x|^2 - |x - c|^2) / 2: largest for the nearest centre, and linear in x,
    # so that interpolating it gives the same as clustering interpolated features
    likeness = points @ centres.T - (centres**2).sum(1) / 2
    size = (w * _FINER, h * _FINER)
    layers = np.ascontiguousarray(likeness.T).reshape(-1, h, w)
    finer = [cv2.resize(layer, size, interpolation=cv2.INTER_LINEAR) for layer in layers]
    return np.unique(np.argmax(finer, axis=0), return_inverse=True)[1].reshape(size[::-1])


def find_centres(
    points: Float32[np.ndarray, "n d"], num: int, rng: np.random.Generator
) -> Float32[np.ndarray, "k d"]:
    """The centres of k-means, started once from those of k-means++.

    There are fewer than `num` where fewer points differ, or where a cluster loses all its points.
    """
    from scipy.cluster.vq import kmeans  # a third of a second

    return kmeans(points, _first_centres(points, num, rng), thresh=_AT_REST)[0]


def _first_centres(
    points: Float32[np.ndarray, "n d"], num: int, rng: np.random.Generator
) -> Float32[np.ndarray, "k d"]:
    """k-means++ (Arthur and Vassilvitskii, SODA 2007): points far from each other.

    SciPy's own, of `kmeans2`, takes the same points, but keeps clusters that lose all theirs.
    """
    centres = [points[rng.integers(len(points))]]
    least = np.full(len(points), np.inf)  # squared distance of each point to its nearest centre
    while len(centres) < num:
        least = np.minimum(least, ((points - centres[-1]) ** 2).sum(1, dtype=np.float64))
        if not least.sum() > 0:  # all points are centres
            break
        centres.append(points[rng.choice(len(points), p=least / least.sum())])
    return np.stack(centres)


def _pieces(
    labels: Integer[np.ndarray, "y x"], connected: bool, least: float
) -> Integer[np.ndarray, "y x"]:
    """Splits what does not touch if `connected`, drops what is too small, and renumbers."""
    found = np.full(labels.shape, -1)
    num = 0
    for label in range(labels.max() + 1):
        mask = (labels == label).astype(np.uint8)
        parts = cv2.connectedComponents(mask, connectivity=4)[1] if connected else mask
        for part in range(1, parts.max() + 1):
            inside = parts == part
            if inside.sum() >= least:
                found[inside], num = num, num + 1
    return found


@lru_cache(maxsize=2)
def _open(
    source: str, name: str | None, stride: int | None, seed: int, stamp: tuple[int, int] | None
) -> "Backbone":
    """Opens a backbone once in a process, on a GPU if there is one; again if `stamp` changed."""
    import torch

    from detcon.masks.sources.networks import free_device
    from detcon.models.backbone_file import load_backbone
    from detcon.models.recipe import EncoderRecipe

    name = name or (_RANDOM if source == "random" else None)
    encoder = EncoderRecipe(name=name) if name else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = load_backbone(source, encoder=encoder, stride=stride)
    backbone.encoder.to(free_device()).eval()
    return backbone
