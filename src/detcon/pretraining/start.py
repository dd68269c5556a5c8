"""The weights that a pretraining reads: those it starts from, and those of a teacher."""

from pathlib import Path

import torch
from torch import nn

from detcon.config import RecipeError, recorded, shown
from detcon.methods.method import Method
from detcon.methods.recipe import RegionDistillation, TeacherRecipe
from detcon.models.backbone_file import (
    PARTIAL,
    Backbone,
    BackboneError,
    load_backbone,
    plain_state,
    weights_digest,
)
from detcon.models.recipe import RESNETS
from detcon.notes import reworded
from detcon.pretraining.recipe import PretrainRecipe, WeightsRecipe
from detcon.results.environment import read_environment
from detcon.results.recipe import read_recipe


def open_start(settings: PretrainRecipe) -> tuple[PretrainRecipe, Backbone | None]:
    """Loads the weights that a recipe names.

    Returns:
        The recipe with the architecture and normalisation of the weights, and their digest; and
        the weights, None where the recipe names none, or where they are gone but the run in its
        folder is finished and needs them no more.

    Raises:
        BackboneError: No such source, or tensors without a place.
        RecipeError: The source has another digest than the recipe, or is "random".
    """
    given = settings.weights
    if given is None:
        return settings, None
    if given.source == "random":
        raise RecipeError("weights=random names none; leave weights out to start from fresh ones")
    try:
        return _opened(settings, given)
    except BackboneError:
        there = _finished(settings)
        if there is None:
            raise
    digest = given.digest or (there.weights and there.weights.digest)
    return settings.model_copy(
        update={
            "encoder": there.encoder,
            "normalisation": there.normalisation,
            "weights": given.model_copy(update={"digest": digest}),
        }
    ), None


def _finished(settings: PretrainRecipe) -> PretrainRecipe | None:
    """The recipe of a finished run in the folder; None where there is none."""
    saved = read_recipe(Path(settings.out))
    if saved is None or not read_environment(Path(settings.out)).get("finished"):
        return None
    return recorded(PretrainRecipe, saved.values)


def _opened(
    settings: PretrainRecipe, given: WeightsRecipe
) -> tuple[PretrainRecipe, Backbone | None]:
    encoder = settings.encoder
    told = reworded(lambda sentence: sentence.replace(PARTIAL, "weights.partial=true"))
    with torch.random.fork_rng(devices=[]), told:
        torch.manual_seed(settings.seed)  # of what the source doesn't have
        backbone = load_backbone(
            given.source,
            # a checkpoint doesn't name its timm model; a ResNet is known from its tensors
            encoder=None if ":" in given.source or encoder.name in RESNETS else encoder,
            stride=given.stride,
            partial=given.partial,
            in_channels=encoder.in_channels,
            bands=given.bands,
            drop_path=encoder.drop_path,
        )
    changed = {
        "encoder": backbone.recipe,
        "normalisation": backbone.normalisation,
        "weights": given.model_copy(update={"digest": _digest(backbone, given, "weights")}),
    }
    return settings.model_copy(update=changed), backbone


def open_teacher(settings: PretrainRecipe) -> tuple[PretrainRecipe, Backbone | None]:
    """Loads the teacher that a recipe of region distillation names.

    Returns:
        The recipe with the digest of its weights; and the teacher, None for other methods, or where
        it is gone but the run in the folder is finished.

    Raises:
        BackboneError: No such source, or it doesn't have all tensors.
        RecipeError: The source has another digest than the recipe, or takes other photos.
    """
    method = settings.method
    if not isinstance(method, RegionDistillation):
        return settings, None
    given, channels = method.teacher, settings.encoder.in_channels
    if given.source == "random":
        raise RecipeError("method.teacher=random knows nothing; give weights that were trained")
    try:
        backbone = load_backbone(given.source, encoder=given.encoder, stride=given.stride)
    except BackboneError:
        there = _finished(settings)
        if there is None or not isinstance(there.method, RegionDistillation):
            raise
        backbone, digest = None, given.digest or there.method.teacher.digest
    else:
        digest = _digest(backbone, given, "method.teacher")
        if backbone.recipe.in_channels != channels:
            raise RecipeError(
                f"the teacher {given.source} takes photos of {backbone.recipe.in_channels} "
                f"channels, but these have {channels}; give a teacher of the same photos"
            )
    teacher = given.model_copy(update={"digest": digest})
    changed = {"method": method.model_copy(update={"teacher": teacher})}
    return settings.model_copy(update=changed), backbone


def _digest(backbone: Backbone, given: WeightsRecipe | TeacherRecipe, setting: str) -> str:
    """The digest of a source's weights. Raises `RecipeError` if the recipe has another one."""
    assert backbone.match is not None
    state = plain_state(backbone.encoder)
    digest = weights_digest({name: state[name] for name in backbone.match.matched})
    if given.digest not in (None, digest):
        raise RecipeError(
            f"the weights {given.source} have the digest {digest}, not {given.digest}: other "
            f"weights are there now; give the right ones, or leave {setting}.digest out"
        )
    return digest


def describe_start(backbone: Backbone, asked: PretrainRecipe) -> str:
    """One line for the user: what the training starts from, and what is fresh."""
    recipe, match = backbone.recipe, backbone.match
    assert match is not None
    text = f"starting from {backbone.name}: {recipe.name}"
    if recipe.name in RESNETS:
        text += f" of width {recipe.width:g} and stride {recipe.stride}"
    others = [
        f"encoder.{name}={shown(value)}"
        for name in ("name", "width")
        if (value := getattr(asked.encoder, name)) != getattr(recipe, name)
    ]
    if others:
        text += f", as the weights say, in place of {' '.join(others)}"
    if not match.is_full:
        text += f"; {match}"
    if match.fresh:
        text += (
            f"; its first convolution is fresh: the photos have {recipe.in_channels} channels "
            f"(weights.bands=mean takes the mean of its filters)"
        )
    if asked.optimizer.encoder_lr is not None:
        text += f"; its rate is {asked.optimizer.encoder_lr:g}"
    if asked.freeze_norms:
        text += "; its batch norms keep their statistics"
    return text


def freeze_norms(method: Method) -> None:
    """Lets the encoders' batch norms use and keep the statistics that they have."""
    for tower in (method.online, method.target):
        for part in tower.encoder.modules() if tower is not None else ():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
