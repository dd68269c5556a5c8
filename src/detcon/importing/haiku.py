"""Haiku's ResNets: their module paths and array layouts, as torchvision's names and tensors.

Haiku calls a block's parts `res_net50/~/block_group_0/~/block_1/~/conv_2` (torchvision:
`layer1.1.conv3`). Convolutions lie as [y x in out]. A batch norm keeps two averages of each
statistic: `hidden`, and `average`, which is `hidden` without the pull of its start at 0; the latter
is what evaluation uses. Norms are called `batchnorm_0`, `initial_batchnorm`, `shortcut_batchnorm`,
or the same without "batch".
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detcon.importing.npy import Arrays
from detcon.models.encoders import build_encoder
from detcon.models.key_styles import is_head
from detcon.models.recipe import BASIC, BOTTLENECK, EncoderRecipe

_STEM = "initial_conv"
_BLOCK = re.compile(r"block_group_(?P<group>[0-3])/~/block_(?P<block>\d{1,3})/~/conv_\d")
_PART = re.compile(
    r"(?:layer(?P<group>\d)\.(?P<block>\d+)\.)?"
    r"(?P<kind>conv|bn|downsample\.)(?P<number>\d)\.(?P<entry>\w+)"
)
_NORM = {
    "weight": ("", "scale"),
    "bias": ("", "offset"),
    "running_mean": ("/~/mean_ema", "average"),
    "running_var": ("/~/var_ema", "average"),
    "num_batches_tracked": ("/~/mean_ema", "counter"),
}
_SPARE = (("mean_ema", "hidden"), ("var_ema", "hidden"), ("var_ema", "counter"))
"""Arrays of a norm that aren't read: averages with the pull to 0, and a second counter."""

Place = tuple[str, str]
"""The place of an array in the file: module path and entry."""


class UnknownNetwork(ValueError):
    """The arrays are not of a known ResNet; the message continues after the file's name."""


@dataclass(frozen=True)
class Encoder:
    """The encoder of a checkpoint, with torchvision's names.

    Attributes:
        network: Its name in the file: "res_net50".
        norms: The name of its norms in the file: "batchnorm" or "norm".
        left: The number of arrays that were not read, by part of the file.
    """

    recipe: EncoderRecipe
    tensors: dict[str, Tensor]
    network: str
    norms: str
    left: dict[str, int]


def read_encoder(arrays: Arrays, *, same_padding: bool) -> Encoder:
    """Finds the encoder in a checkpoint; each of its arrays must have a place in the network.

    `same_padding` is a setting of the new network, as a file holds no trace of it.

    Raises:
        UnknownNetwork: There is no encoder, or more than one, or it is no known ResNet, or an
            array is missing, left over, or of another shape or type.
    """
    prefix = _find_prefix(arrays)
    mine = [m for m in arrays if m.startswith(prefix) and not is_head(m.removeprefix(prefix))]
    recipe = _architecture(arrays, prefix, same_padding)
    norms = "batchnorm" if any("batchnorm" in module for module in mine) else "norm"
    with torch.device("meta"):
        wanted = build_encoder(recipe).state_dict()
    places = {name: haiku_place(name, prefix=prefix, norms=norms) for name in wanted}
    _check_complete(arrays, mine, places.values(), recipe.name)
    tensors = {
        name: _tensor(arrays[module][entry], tuple(wanted[name].shape), (module, entry))
        for name, (module, entry) in places.items()
    }
    left = _count_left(arrays, mine, len(places))
    return Encoder(recipe, tensors, prefix.removesuffix("/~/"), norms, left)


def haiku_place(name: str, *, prefix: str, norms: str) -> Place:
    """Where Haiku keeps a tensor: `layer1.0.bn2.bias` is `offset` of `.../batchnorm_1`.

    Module paths begin with the prefix, `res_net50/~/`; `norms` is "batchnorm" or "norm".
    """
    found = _PART.fullmatch(name)
    assert found, name
    kind, number = found["kind"], int(found["number"])
    is_norm = kind == "bn" or (kind == "downsample." and number == 1)
    part = norms if is_norm else "conv"
    inside, entry = _NORM[found["entry"]] if is_norm else ("", "w")
    if found["group"] is None:
        return f"{prefix}initial_{part}{inside}", entry
    block = f"{prefix}block_group_{int(found['group']) - 1}/~/block_{found['block']}/~/"
    part = f"shortcut_{part}" if kind == "downsample." else f"{part}_{number - 1}"
    return block + part + inside, entry


def _find_prefix(arrays: Arrays) -> str:
    stems = [m for m in arrays if m == _STEM or m.endswith(f"/{_STEM}")]
    if not stems:
        first = ", ".join(list(arrays)[:3]) or "nothing"
        raise UnknownNetwork(
            f"has no encoder: a module whose path ends in {_STEM}, such as "
            f"res_net50/~/{_STEM}; it has {first}"
        )
    if len(stems) > 1:
        raise UnknownNetwork(
            f"holds {len(stems)} encoders ({', '.join(stems[:3])}), but one is expected"
        )
    return stems[0].removesuffix(_STEM)


def _architecture(arrays: Arrays, prefix: str, same_padding: bool) -> EncoderRecipe:
    """Depth from the number of blocks, width and channels of the photos from two shapes."""
    blocks = [0, 0, 0, 0]
    for module in arrays:
        if found := _BLOCK.fullmatch(module.removeprefix(prefix)):
            group = int(found["group"])
            blocks[group] = max(blocks[group], int(found["block"]) + 1)
    last = f"{prefix}block_group_3/~/block_0/~/conv_0"
    shapes = [arrays.get(m, {}).get("w", np.empty(0)).shape for m in (f"{prefix}{_STEM}", last)]
    for depth, wanted in (BASIC | BOTTLENECK).items():
        is_deep = f"{prefix}block_group_0/~/block_0/~/conv_2" in arrays
        if tuple(blocks) == wanted and is_deep == (depth in BOTTLENECK):
            break
    else:
        raise UnknownNetwork(
            f"has {', '.join(map(str, blocks))} blocks in the groups of {prefix or 'its network'}, "
            f"which is no ResNet of 18, 34, 50, 101, 152 or 200 layers"
        )
    stem, inner = shapes
    if len(stem) != 4 or len(inner) != 4 or 0 in stem or inner[3] != 8 * stem[3]:
        raise UnknownNetwork(
            f"has w of {prefix}{_STEM} of shape {list(stem)} and w of {last} of shape "
            f"{list(inner)}, but [7, 7, 3, 64] and [1, 1, 1024, 512] or multiples are expected"
        )
    return EncoderRecipe(
        name=f"resnet{depth}",
        width=stem[3] / 64,
        in_channels=stem[2],
        same_padding=same_padding,
        project_first=depth in BASIC
        and f"{prefix}block_group_0/~/block_0/~/shortcut_conv" in arrays,
    )


def _check_complete(arrays: Arrays, mine: list[str], places: Iterable[Place], network: str) -> None:
    """Refuses missing arrays, and arrays of the encoder that have no place in our network."""
    wanted = dict.fromkeys(places)
    if missing := [place for place in wanted if place[1] not in arrays.get(place[0], {})]:
        raise UnknownNetwork(
            f"lacks {_said(missing)}, which a {network} has; it was cut down, or is another network"
        )
    besides = [
        (module, entry)
        for module in mine
        for entry in arrays[module]
        if (module, entry) not in wanted and (module.rpartition("/")[2], entry) not in _SPARE
    ]
    if besides:
        raise UnknownNetwork(f"has {_said(besides)} that no {network} has")


def _tensor(array: np.ndarray, shape: tuple[int, ...], place: Place) -> Tensor:
    """An array as torch has it.

    Convolutions [y x in out] become [out in y x], vectors of norms [1 1 1 c] become [c], counters
    have no axes.
    """
    counts = place[1] == "counter"
    kind = np.integer if counts else np.floating
    if not np.issubdtype(array.dtype, kind):
        due = "whole" if counts else "floating-point"
        raise UnknownNetwork(
            f"has {_said([place])} of type {array.dtype}, but {due} numbers are expected"
        )
    due = (1, 1, 1, *shape) if shape else ()
    if len(shape) == 4:
        due = (*shape[2:], shape[1], shape[0])
    if array.shape != due:
        raise UnknownNetwork(
            f"has {_said([place])} of shape {list(array.shape)}, but {list(due)} is expected"
        )
    array = array.transpose(3, 2, 0, 1) if len(shape) == 4 else array.reshape(shape)
    tensor = torch.tensor(array, dtype=torch.int64 if counts else torch.float32)
    if not tensor.isfinite().all():
        raise UnknownNetwork(f"has {_said([place])} with values that are not finite")
    return tensor


def _count_left(arrays: Arrays, mine: list[str], num_read: int) -> dict[str, int]:
    """The number of arrays that are not read: of the encoder's norms, and of other parts."""
    inside = sum(len(arrays[module]) for module in mine) - num_read
    others = Counter[str]()
    for module in arrays.keys() - set(mine):
        others[module.partition("/")[0]] += len(arrays[module])
    return {"averages of norms": inside} | dict(sorted(others.items()))


def _said(places: list[Place]) -> str:
    module, entry = places[0]
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{entry} of {module}{more}"
