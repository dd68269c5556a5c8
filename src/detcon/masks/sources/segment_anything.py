"""Masks of Segment Anything and similar networks, run by `transformers` (the extra `sam`)."""

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from detcon.masks.masks import Masks
from detcon.masks.sources.ranges import check_ranges
from detcon.photos import shrink

_MOST_AT_ONCE = 64  # points
_THINNEST = 64  # sides; a thinner photo would vanish in the network's size, and gets one mask


@dataclass(frozen=True)
class SegmentAnything:
    """The best, possibly overlapping masks of a network prompted with a grid of points.

    Segment Anything (Kirillov et al., ICCV 2023, arXiv 2304.02643) and similar networks that
    `transformers` runs as "mask-generation": SAM, SAM-HQ, SAM 2 and later ones. Masks that the
    network rates low, or that change much with the threshold, are dropped. Of the others the best
    rated are taken in turn if they overlap little with those taken before. These networks were
    trained on masks that people corrected, so pretraining on their masks is not free of
    annotation.

    Photos pass one at a time; on a GPU a few workers, which are threads, keep it busy.

    Args:
        model: A folder that `save_pretrained` wrote, with the image processor's settings, or a
            name on the Hugging Face hub. Only safetensors are read, and no code.
        num: The largest number of masks; a photo without any gets one that covers it.
        points: Points along each side of the grid.
        min_rating: The least IoU that the network predicts for a mask, from 0 to 1.
        min_stability: The least IoU between the mask at a lower and at a higher threshold.
        min_area: The smallest share of the photo that a mask covers.
        max_overlap: The largest intersection over union of two masks.
        max_side: Photos are first shrunk to this longest side, and the map stays that small. None:
            full size; the network resizes to its own size, mostly 1024, in any case.
        digest: Digest of the weights. `make_masks` records it; a given one must match.
    """

    model: str = "facebook/sam-vit-base"
    num: int = 16
    points: int = 32
    min_rating: float = 0.88
    min_stability: float = 0.95
    min_area: float = 0.005
    max_overlap: float = 0.5
    max_side: int | None = 512
    digest: str | None = None
    kind: Literal["sam"] = "sam"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        shares = ("min_rating", "min_stability", "min_area", "max_overlap")
        check_ranges(self, shares, num=1, points=1, max_side=1)

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Finds a photo's masks."""
        from PIL import Image

        if image.shape[2] != 3:
            raise ValueError(
                f"SAM takes RGB, but the photo has {image.shape[2]} channels; give channels=3"
            )
        size, small = (image.shape[0], image.shape[1]), shrink(image, self.max_side)
        stack, scores = np.zeros((0, *small.shape[:2]), bool), np.zeros(0)
        if max(size) <= _THINNEST * min(size):
            found = _open(self.model)(
                Image.fromarray(small),
                points_per_batch=_at_once(self.points**2),
                points_per_crop=self.points,
                pred_iou_thresh=self.min_rating,
                stability_score_thresh=self.min_stability,
            )
            stack = np.array([np.asarray(one, bool) for one in found["masks"]], bool)
            stack = stack.reshape(-1, *small.shape[:2])
            scores = np.asarray([float(one) for one in found["scores"]], np.float64)
        chosen = choose_masks(
            stack, scores, num=self.num, min_area=self.min_area, max_overlap=self.max_overlap
        )
        if not chosen:
            return Masks.from_stack(np.ones((1, *small.shape[:2]), bool), np.zeros(1), size)
        return Masks.from_stack(stack[chosen], scores[chosen], size)

    def identified(self) -> "SegmentAnything":
        """The same settings with the digest of the weights, which are loaded for it."""
        from detcon.masks.sources.networks import check_digest

        weights = _open(self.model).model.state_dict()
        return replace(self, digest=check_digest(f"model {self.model}", weights, self.digest))


def choose_masks(
    stack: Bool[np.ndarray, "k y x"],
    scores: Float[np.ndarray, " k"],
    *,
    num: int,
    min_area: float,
    max_overlap: float,
) -> list[int]:
    """The best masks that are large enough and overlap little with better ones, best first.

    Of equal scores the first wins; empty masks never count.
    """
    flat = stack.reshape(len(stack), stack.shape[1] * stack.shape[2])
    areas = flat.sum(1)
    chosen: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if len(chosen) == num:
            break
        if areas[place] < max(1, min_area * flat.shape[1]):
            continue
        both = (flat[chosen] & flat[place]).sum(1)
        if (both <= max_overlap * (areas[chosen] + areas[place] - both)).all():
            chosen.append(place)
    return chosen


def _at_once(num: int) -> int:
    """Points in a batch, a divisor of their number: transformers 4 needs a full last batch."""
    return max(size for size in range(1, _MOST_AT_ONCE + 1) if num % size == 0)


@lru_cache(maxsize=1)
def _open(model: str) -> Any:
    """Opens a model once in a process, on a GPU if there is one."""
    try:
        pipeline = import_module("transformers").pipeline
    except ImportError as error:
        raise ValueError(
            "masks of SAM need transformers, which is not installed here: pip install 'detcon[sam]'"
        ) from error
    from detcon.masks.sources.networks import free_device

    try:
        return pipeline(
            "mask-generation",
            model=model,
            device=free_device(),
            model_kwargs={"use_safetensors": True},
        )
    except Exception as error:  # of many kinds; all mean the same to a user
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"cannot open the model {model} for mask generation ({reason}); give a folder with "
            f"config.json, preprocessor_config.json and model.safetensors of SAM or the like, or "
            f"its name on the hub"
        ) from error
