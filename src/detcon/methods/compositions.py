"""The methods, composed of their parts."""

import copy
import functools
from typing import Literal

from torch import nn

from detcon.methods.method import Method
from detcon.methods.objectives import Contrast, CrossEntropy, Objective, Regression
from detcon.methods.towers import Teacher, Tower
from detcon.models.heads import Head
from detcon.models.recipe import Normalisation
from detcon.models.resnet import Block, initialise


def detcon_s(
    encoder: nn.Module,
    *,
    hidden: int = 2048,
    outputs: int = 128,
    temperature: float = 0.1,
    local_negatives: bool = True,
    num_groups: int = 1,
    own_view: bool = True,
    normalisation: Normalisation | None = None,
) -> Method:
    """DetCon on SimCLR: one network for both views, regions contrasted with each other.

    Args:
        encoder: Made by `build_encoder`; has `num_channels`.
        hidden: Width of the projector.
        outputs: Size of the embedding.
        temperature: Of the contrast.
        local_negatives: Whether other masks of the same photo are negatives.
        num_groups: Of the batch; see `Contrast`.
        own_view: Whether the anchor's own view holds negatives; see `Contrast`.
        normalisation: Of photos in [0, 1]; ImageNet's by default.
    """
    online = Tower(encoder, Head(_channels(encoder), hidden, outputs, output_norm=True))
    return Method(
        online,
        objective=Contrast(temperature, local_negatives, num_groups, own_view),
        normalisation=normalisation,
    )


def detcon_b(
    encoder: nn.Module,
    *,
    hidden: int = 4096,
    outputs: int = 256,
    temperature: float = 0.1,
    local_negatives: bool = True,
    num_groups: int = 1,
    own_view: bool = True,
    same_start: bool = False,
    normalisation: Normalisation | None = None,
) -> Method:
    """DetCon on BYOL: a predictor, and a target that follows; regions contrasted across them.

    The arguments are those of `detcon_s`, and `same_start`: the target's encoder starts from the
    weights of `encoder`, which aren't fresh, in place of fresh weights of its own.
    """
    objective = Contrast(temperature, local_negatives, num_groups, own_view)
    return _with_target(encoder, hidden, outputs, objective, normalisation, same_start)


def simclr(
    encoder: nn.Module,
    *,
    hidden: int = 2048,
    outputs: int = 128,
    temperature: float = 0.1,
    num_groups: int = 1,
    normalisation: Normalisation | None = None,
) -> Method:
    """SimCLR (arXiv:2002.05709): DetCon-S on batches whose one region is the whole view.

    Its loss is twice NT-Xent. The arguments are those of `detcon_s`.
    """
    return detcon_s(
        encoder,
        hidden=hidden,
        outputs=outputs,
        temperature=temperature,
        num_groups=num_groups,
        normalisation=normalisation,
    )


def byol(
    encoder: nn.Module,
    *,
    hidden: int = 4096,
    outputs: int = 256,
    same_start: bool = False,
    normalisation: Normalisation | None = None,
) -> Method:
    """BYOL (arXiv:2006.07733): regression of the whole view, no negatives.

    On batches of several regions it is region BYOL, with the loss of R2O (arXiv:2208.11821): each
    region is regressed onto itself in the other view. The arguments are those of `detcon_b`.
    """
    return _with_target(encoder, hidden, outputs, Regression(), normalisation, same_start)


def region_distillation(
    encoder: nn.Module,
    teacher: Teacher,
    *,
    objective: Literal["contrast", "regression"] = "contrast",
    hidden: int = 2048,
    outputs: int = 256,
    temperature: float = 0.07,
    local_negatives: bool = True,
    num_groups: int = 1,
    normalisation: Normalisation | None = None,
) -> Method:
    """Distillation of regions: a frozen teacher's features of a mask, from the same view.

    Teacher and student share masks, not grids: the teacher's features are pooled by
    `Batch.teacher_weights`. Contrast tells each region from all others of the view and of the other
    photos, as SLidR does (arXiv:2203.16258). Regression maximises the cosine with the teacher's
    feature, which most of a ReLU network's features share with each other: it is met halfway
    without telling regions apart.

    Args:
        encoder: The student, made by `build_encoder`.
        teacher: A `Teacher` around the encoder of `load_backbone(source)`.
        objective: Of the predictions, which have the teacher's width.
        hidden: Width of projector and predictor.
        outputs: Size of the student's embedding, between projector and predictor.
        temperature: Of the contrast, as are `local_negatives` and `num_groups`; see `Contrast`.
        normalisation: The student's, of photos in [0, 1]; the teacher has its own.
    """
    contrast = Contrast(temperature, local_negatives, num_groups, within=True)
    return Method(
        Tower(encoder, Head(_channels(encoder), hidden, outputs)),
        objective=contrast if objective == "contrast" else Regression(within=True),
        predictor=Head(outputs, hidden, _channels(teacher.encoder)),
        target=teacher,
        normalisation=normalisation,
    )


def supervised(
    encoder: nn.Module,
    *,
    num_classes: int,
    label_smoothing: float = 0.0,
    normalisation: Normalisation | None = None,
) -> Method:
    """Classification of whole photos: the baseline with labels.

    Args:
        encoder: Made by `build_encoder`.
        num_classes: Classes are 0 to num_classes - 1.
        label_smoothing: Share of the label spread over all classes.
        normalisation: Of photos in [0, 1].
    """
    classifier = nn.Linear(_channels(encoder), num_classes)
    classifier.apply(initialise)
    online = Tower(encoder, classifier)
    return Method(online, objective=CrossEntropy(label_smoothing), normalisation=normalisation)


def _with_target(
    encoder: nn.Module,
    hidden: int,
    outputs: int,
    objective: Objective,
    normalisation: Normalisation | None,
    same_start: bool,
) -> Method:
    """A method with a predictor, and a target with its own first weights.

    The official code draws the target's first weights from another seed than the online
    network's, and its authors saw no difference; `initialise` draws ours. A timm encoder has its
    own initialisation; it is copied, as are weights that aren't fresh. The target keeps all of its
    blocks where the online network drops paths, as DINO's teacher does (arXiv:2104.14294).
    """
    online = Tower(encoder, Head(_channels(encoder), hidden, outputs))
    target = copy.deepcopy(online)
    for part in target.modules():
        if isinstance(getattr(part, "drop_prob", None), float):  # timm's DropPath
            setattr(part, "drop_prob", 0.0)  # noqa: B010  (nn.Module says it holds tensors alone)
    redrawn = target.projector if same_start or hasattr(encoder, "body") else target
    blocks = [module for module in encoder.modules() if isinstance(module, Block)]
    zero_init = not any(block.last_norm.weight.any() for block in blocks)
    redraw = functools.partial(initialise, zero_init=zero_init)
    redrawn.apply(redraw)
    predictor = Head(outputs, hidden, outputs)
    return Method(
        online, objective=objective, predictor=predictor, target=target, normalisation=normalisation
    )


def _channels(encoder: nn.Module) -> int:
    channels = getattr(encoder, "num_channels", None)
    if not isinstance(channels, int):
        raise TypeError(f"{type(encoder).__name__} has no num_channels; use build_encoder(recipe)")
    return channels
