"""The model file: a finished network of a transfer task, with all that is needed to use it.

A safetensors file of encoder and head; its metadata has their settings and the classes:
`detcon.load_model("model.safetensors").predict(photo)`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

import detcon
from detcon.config import RecipeError, recorded
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskRecipe, TransferRecipe, task_name
from detcon.downstream.task import Task, open_task
from detcon.downstream.tasks.own.recipe import OwnRecipe
from detcon.files import copy_again, write_whole
from detcon.models.backbone_file import Backbone, BackboneError, check_finite
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.models.sources import MODEL_ENTRY as ENTRY
from detcon.photos import decode, shrink
from detcon.results.result import RESULT

MODEL = "model.safetensors"
FORMAT = "detcon-model-1"


class ModelError(ValueError):
    """A file that isn't a model, or is damaged."""


@dataclass(frozen=True)
class Model:
    """A trained network with its task, classes and settings.

    Attributes:
        task: What its predictions mean.
        network: Encoder and head, in eval mode.
        names: Of the classes; empty where the task has none.
        settings: The recipe that it was trained by.
        in_channels: Of the photos that it takes.
    """

    task: Task
    network: Network
    names: tuple[str, ...]
    settings: TransferRecipe
    in_channels: int

    def to(self, device: str | torch.device) -> "Model":
        """Moves the network."""
        self.network.to(device)
        return self

    def predict(self, photo: str | Path | UInt8[np.ndarray, "y x c"]) -> Any:
        """Predicts for a photo: a file, or its upright pixels.

        The network sees the photo as it saw its training photos, shrunk to the recipe's `size`.

        Returns:
            The prediction at the photo's own size: for segmentation the class of each pixel, [y x];
            see the tasks for the others.

        Raises:
            UnreadablePhoto: The photo is damaged.
        """
        if not isinstance(photo, np.ndarray):
            photo = decode(Path(photo).read_bytes(), str(photo), channels=self.in_channels)
        return self.predict_all([photo])[0]

    def predict_all(self, photos: Sequence[UInt8[np.ndarray, "_ _ c"]]) -> list[Any]:
        """Predicts for upright photos, as `predict` does; those of one size make one batch."""
        found = self.task.predict(
            self.network, [shrink(photo, self.settings.size) for photo in photos]
        )
        return [
            self.task.enlarge(one, (photo.shape[0], photo.shape[1]))
            for one, photo in zip(found, photos, strict=True)
        ]


def save_model(
    path: Path,
    network: Network,
    settings: TransferRecipe,
    backbone: Backbone,
    names: tuple[str, ...],
) -> None:
    """Writes a network, in one move, with everything needed to build it again."""
    about = {
        "format": FORMAT,
        "settings": settings.model_dump(mode="json"),
        "encoder": backbone.recipe.model_dump(mode="json"),
        "normalisation": backbone.normalisation.model_dump(mode="json"),
        "names": list(names),
        "version": detcon.__version__,
    }
    state = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    write_whole(path, save(state, {ENTRY: json.dumps(about)}))


def find_model(path: str | Path) -> Path:
    """The model file of a folder, or the file itself."""
    return Path(path, MODEL) if Path(path).is_dir() else Path(path)


def settings_of(path: str | Path) -> TransferRecipe:
    """The recipe that a model was trained by, which `load_model` can open, without building it."""
    return recorded(TransferRecipe, _about(find_model(path))["settings"])


def load_model(
    path: str | Path, *, encoder: EncoderRecipe | None = None, task: str | None = None
) -> Model:
    """Opens `model.safetensors` of a transfer, or the folder that it lies in.

    Args:
        path: The file or the folder.
        encoder: The architecture, for a model on a network of the user's own, whose code isn't run
            because a file names it: `EncoderRecipe(name="my_package.module:function")`.
        task: The same for a task of the user's own: "my_package.module:MyTask".

    Raises:
        ModelError: No such file, one that is damaged, one that is no model, or one on another
            encoder than was given.
        ValueError: It is on a network of the user's, and `encoder` wasn't given.

    >>> import tempfile
    >>> from detcon.models.backbone_file import load_backbone
    >>> settings = TransferRecipe(data="photos", backbone="random", out="run")  # segmentation
    >>> backbone = load_backbone("random", encoder=EncoderRecipe(name="resnet18", width=0.25))
    >>> names = ("sky", "road", "tree")
    >>> network = open_task(settings.task).build(settings, backbone, names)
    >>> with tempfile.TemporaryDirectory() as folder:  # as a transfer leaves it
    ...     save_model(Path(folder, MODEL), network, settings, backbone, names)
    ...     model = load_model(folder)
    >>> model.names, model.predict(np.zeros((40, 60, 3), np.uint8)).shape  # a class for each pixel
    (('sky', 'road', 'tree'), (40, 60))
    """
    path = find_model(path)
    try:
        about = _about(path)
        settings = recorded(TransferRecipe, about["settings"])
        recipe = EncoderRecipe.model_validate(about["encoder"])
        normalisation = Normalisation.model_validate(about["normalisation"])
        names = tuple(about["names"])
    except FileNotFoundError as error:
        way_out = "'detcon transfer' writes one into the folder of each seed"
        if (result := path.with_name(RESULT)).is_file():
            way_out = f"remove {result}, and give the command of the transfer again"
        raise ModelError(f"there is no model {path}; {way_out}") from error
    except KeyError as error:
        raise ModelError(
            f"{path} is no model of a transfer (it may be a backbone); give the {MODEL} that "
            f"'detcon transfer' wrote"
        ) from error
    except (OSError, SafetensorError, ValueError, TypeError, ValidationError, RecipeError) as error:
        raise ModelError(
            f"{path} is damaged, or was written by a later version of detcon ({_short(error)}); "
            f"{copy_again(path)}"
        ) from error
    if encoder is not None and encoder.name != recipe.name:
        raise ModelError(
            f"{path} is on the encoder {recipe.name}, but encoder.name={encoder.name} was given; "
            f"leave it out"
            + (f", or give encoder.name={recipe.name} if you trust it" if recipe.is_own else "")
        )
    _check_task(path, settings.task, task)
    opened = open_task(settings.task)
    built = build_encoder(recipe, run_own=encoder is not None)
    backbone = Backbone(built, recipe, normalisation, str(path), {})
    network = opened.build(settings, backbone, names)
    try:
        network.load_state_dict(load_file(path))
        check_finite(path, network)
    except RuntimeError as error:
        raise ModelError(f"{path} doesn't fit the network it names ({_short(error)})") from error
    except BackboneError as error:
        raise ModelError(str(error)) from error
    return Model(opened, network.eval(), names, settings, recipe.in_channels)


def _about(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {})[ENTRY])


def _check_task(path: Path, recipe: TaskRecipe, given: str | None) -> None:
    """The user's own code is run only where the user names it."""
    name = task_name(recipe)
    if given is not None and given != name:
        raise ModelError(f"{path} is a model of {name}, but task={given} was given; leave it out")
    if given is None and isinstance(recipe, OwnRecipe):
        raise ModelError(
            f"{path} is a model of {name}: code, which isn't run because a file names it; if you "
            f"trust it, give task={name}"
        )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
