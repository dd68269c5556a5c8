"""How well masks of several sources overlap with what people, or the scenes, say is there.

    python studies/mask_sources.py data=BSDS500 split=val        # images/SPLIT, groundTruth/SPLIT
    detcon scenes out=SCENES num=1000 size=256 cutouts=CUTOUTS backgrounds=PHOTOS
    python studies/mask_sources.py data=SCENES split=val         # SPLIT/images, SPLIT/instances
    python studies/mask_sources.py data=SCENES split=val rankers=a.npz,b.npz   # MCG with rankers

Prints a table. The best overlap of a true region is its largest intersection over union with any
mask; regions of 0.5 % to 90 % of the photo count, all annotators' alike. ABO is the mean over all
regions, and by photo the mean of the photos' means; recall is the share of regions above 0.5 or
0.7. Where there are classes or objects, what belongs to none is no region.

BSDS500 is for research only: nothing that is shipped was fitted to it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, Integer, UInt8
from scipy.io import loadmat

from detcon import MCG, Felzenszwalb, Grid, MaskGenerator, Masks
from detcon.config import parse_overrides
from detcon.photos import decode

SOURCES = {
    "grid, 4 x 4": Grid(4),
    "Felzenszwalb, 1000": Felzenszwalb(),
    "Felzenszwalb, 500": Felzenszwalb(500.0, 500),
    "MCG": MCG(),
    "MCG, max_side=320": MCG(max_side=320),
    "MCG, with tuples": MCG(pairs=300, triplets=300, quadruplets=100),
    "MCG, all single regions": MCG(num=400, max_overlap=0.95),
}
Pixels = UInt8[np.ndarray, "y x 3"]
Truth = Integer[np.ndarray, "y x"]


def berkeley(folder: Path, split: str) -> Iterator[tuple[Pixels, list[Truth]]]:
    """Photos with the segmentations of several people."""
    for path in sorted((folder / "images" / split).glob("*.jpg")):
        truth = loadmat(folder / "groundTruth" / split / f"{path.stem}.mat")["groundTruth"][0]
        yield decode(path.read_bytes(), path.name), [one["Segmentation"][0, 0] for one in truth]


def scenes(folder: Path, split: str) -> Iterator[tuple[Pixels, list[Truth]]]:
    """Pictures of `detcon scenes` with their objects; 0 is none."""
    for path in sorted((folder / split / "images").iterdir()):
        truth = cv2.imread(str(folder / split / "instances" / f"{path.stem}.png"), -1)
        assert truth is not None
        yield decode(path.read_bytes(), path.name), [truth]


def best_overlaps(masks: Masks, truth: Truth) -> Float64[np.ndarray, " n"]:
    """Each true region's best overlap."""
    stack = masks.at_size(truth.shape).stack().reshape(masks.num_masks, -1)
    areas, truth, found = stack.sum(1), truth.ravel(), []
    for region in np.unique(truth[truth > 0]):
        is_region = truth == region
        if 0.005 <= is_region.mean() <= 0.9:
            both = stack[:, is_region].sum(1)
            found.append((both / (areas + is_region.sum() - both)).max(initial=0.0))
    return np.array(found, float)


def print_table(data: Path, split: str, sources: dict[str, MaskGenerator]) -> None:
    read = berkeley if (data / "groundTruth").exists() else scenes
    overlaps, nums = {name: [] for name in sources}, {name: [] for name in sources}
    for photo, truths in read(data, split):
        for name, generate in sources.items():
            masks = generate(photo)
            overlaps[name].append(np.concatenate([best_overlaps(masks, one) for one in truths]))
            nums[name].append(masks.num_masks)
    print("| masks | ABO | by photo | recall, 0.5 | recall, 0.7 | masks a photo |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, by_photo in overlaps.items():
        regions = np.concatenate(by_photo)
        photos = np.mean([one.mean() for one in by_photo if len(one)])
        print(
            f"| {name} | {regions.mean():.3f} | {photos:.3f} | {(regions > 0.5).mean():.3f} | "
            f"{(regions > 0.7).mean():.3f} | {np.mean(nums[name]):.1f} |"
        )


if __name__ == "__main__":
    settings = parse_overrides(sys.argv[1:])
    cv2.setNumThreads(1)
    rankers = settings["rankers"].split(",") if "rankers" in settings else []
    ranked = {f"MCG, {Path(file).stem}": MCG(ranker=file) for file in rankers}
    sources = {"MCG": MCG(), **ranked} if ranked else SOURCES
    print_table(Path(settings["data"]), settings["split"], sources)
