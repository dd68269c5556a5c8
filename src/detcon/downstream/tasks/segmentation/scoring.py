"""Scores a segmentation: intersection over union by class."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchmetrics.classification import MulticlassJaccardIndex

from detcon.data.labelled.examples import Example
from detcon.downstream.task import Score
from detcon.downstream.tasks.segmentation.data import VOID

Classifier = Callable[[UInt8[Tensor, "1 c y x"]], UInt8[Tensor, "1 y x"]]
"""Names the class of each pixel of a whole picture."""


def score(
    classify: Classifier,
    pictures: Iterable[Example],
    names: tuple[str, ...],
    device: torch.device | str = "cpu",
) -> Score:
    """Classifies whole pictures and compares them with the truth.

    Intersection and union are counted over all pictures together, as PASCAL VOC does, and void
    pixels are left out whatever was predicted there. The mean is over classes that occur in the
    truth or in a prediction: a class that is neither can't be got right or wrong, while one
    that is predicted and never true counts as 0. (torchmetrics gives 0 for the former as well
    when asked by class; its own macro average leaves them out, as here.)

    Args:
        classify: The model.
        pictures: What to score on.
        names: The names of the classes.
        device: Where the model is.
    """
    metric = MulticlassJaccardIndex(len(names), average="none", ignore_index=VOID).to(device)
    for picture in pictures:
        predicted = torch.from_numpy(classify_picture(classify, picture.image, device)).to(device)
        metric.update(predicted.long(), torch.from_numpy(picture.labels).to(device).long())
    return _by_class(metric, names)


@torch.inference_mode()
def classify_picture(
    classify: Classifier, photo: UInt8[np.ndarray, "y x c"], device: torch.device | str
) -> UInt8[np.ndarray, "y x"]:
    """The class of each pixel of one photo."""
    image = torch.from_numpy(photo).to(device).permute(2, 0, 1)[None]
    return classify(image)[0].cpu().numpy()


def _by_class(metric: MulticlassJaccardIndex, names: tuple[str, ...]) -> Score:
    by_class = (100 * metric.compute()).tolist()
    occurs = ((metric.confmat.sum(0) + metric.confmat.sum(1)) > 0).tolist()
    per_class = {n: v if there else None for n, v, there in zip(names, by_class, occurs)}
    counted = [value for value in per_class.values() if value is not None]
    return Score("mIoU", sum(counted) / max(len(counted), 1), per_class=per_class)
