"""State dicts for torchvision, timm and detectron2, as bytes."""

import io
import pickle
from collections.abc import Mapping

import torch
from safetensors.torch import save
from torch import Tensor

from detcon.models.backbone_file import Backbone, plain_state
from detcon.models.key_styles import to_detectron2
from detcon.models.recipe import RESNETS
from detcon.models.timm_names import to_timm


def timm_state(backbone: Backbone) -> dict[str, Tensor]:
    """The tensors by the names of the whole timm model; its last norm and classifier are missing.

    timm's ResNets have torchvision's names, which are ours.
    """
    state = plain_state(backbone.encoder)
    if backbone.recipe.name in RESNETS:
        return state
    names = to_timm(state, backbone.recipe.name)
    return {names[name]: tensor for name, tensor in state.items()}


def pack_state(state: Mapping[str, Tensor], suffix: str) -> bytes:
    """A state dict as torch saves it, or as safetensors."""
    if suffix == ".safetensors":
        return save(dict(state), {"format": "pt"})
    file = io.BytesIO()
    torch.save(dict(state), file)
    return file.getvalue()


def pack_detectron2(backbone: Backbone) -> bytes:
    """detectron2's file of arrays, as its `tools/convert-torchvision-to-d2.py` makes it.

    `matching_heuristics` lets detectron2 match the ends of names, so that one file fills every
    model with such a ResNet in it. Its `__author__` must not be "Caffe2", which would convert BGR.
    Counters of batch norms are left out: detectron2's frozen norms have none.
    """
    arrays = {
        to_detectron2(name): tensor.numpy()
        for name, tensor in plain_state(backbone.encoder).items()
        if not name.endswith("num_batches_tracked")
    }
    return pickle.dumps({"model": arrays, "__author__": "detcon", "matching_heuristics": True})
