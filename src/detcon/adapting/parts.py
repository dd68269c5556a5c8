"""The parts of an adaptation: what is said of their settings names them as `detcon adapt` does."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from detcon.config import in_part
from detcon.config.parts import renamed
from detcon.downstream.recipe import GridRecipe
from detcon.masks.recipe import MasksRecipe
from detcon.notes import reworded
from detcon.pretraining.recipe import PretrainRecipe

_OWN = ("data", "format", "images", "labels", "masks", "out", "seed", "seeds", "val", "weights")
_ELSEWHERE = {"task": "task", "backbone": "weights", "backbone_partial": "weights.partial"}


def of_pretraining() -> AbstractContextManager[None]:
    """Within, settings of a pretraining are named: `pretrain.encoder.name=`."""
    return in_part(PretrainRecipe, lambda name: _place("pretrain", name))


def of_transfer() -> AbstractContextManager[None]:
    """Within, settings of a transfer are named: `transfer.task.ignore=`."""
    return in_part(GridRecipe, lambda name: _ELSEWHERE.get(name) or _place("transfer", name))


@contextmanager
def of_masks() -> Iterator[None]:
    """Within, sentences about other settings of masks say how masks made with them are taken."""
    with reworded(_with_way_out):
        yield


def _place(part: str, name: str) -> str:
    group = name.partition(".")[0]
    if group in _OWN:
        return name
    return f"{'pretrain' if group == 'encoder' else part}.{name}"


def _with_way_out(sentence: str) -> str:
    others: list[str] = []

    def place(name: str) -> str:
        others.extend([name] if name not in _OWN else [])
        return name

    renamed(sentence, MasksRecipe, place)
    if not others:
        return sentence
    return f"{sentence}; make them so with 'detcon masks', and give their folder as masks="
