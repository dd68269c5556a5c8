"""The parts of an adaptation: what is said of their settings names them as `detcon adapt` does."""

from contextlib import AbstractContextManager

from detcon.config import fixed_part, in_part
from detcon.downstream.recipe import GridRecipe
from detcon.masks.recipe import MasksRecipe
from detcon.pretraining.recipe import PretrainRecipe

_OWN = ("data", "format", "images", "labels", "masks", "out", "seed", "seeds", "val", "weights")
_ELSEWHERE = {"task": "task", "backbone": "weights", "backbone_partial": "weights.partial"}


def of_pretraining() -> AbstractContextManager[None]:
    """Within, settings of a pretraining are named: `pretrain.encoder.name=`."""
    return in_part(PretrainRecipe, lambda name: _place("pretrain", name))


def of_transfer() -> AbstractContextManager[None]:
    """Within, settings of a transfer are named: `transfer.task.ignore=`."""
    return in_part(GridRecipe, lambda name: _ELSEWHERE.get(name) or _place("transfer", name))


def of_masks() -> AbstractContextManager[None]:
    """Within, sentences about other settings of masks say how masks made with them are taken."""
    way_out = "make them so with 'detcon masks', and give their folder as masks="
    return fixed_part(MasksRecipe, _OWN, way_out)


def _place(part: str, name: str) -> str:
    group = name.partition(".")[0]
    if group in _OWN:
        return name
    return f"{'pretrain' if group == 'encoder' else part}.{name}"
