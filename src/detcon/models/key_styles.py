"""Key styles: other libraries' names for the tensors of a ResNet, translated to torchvision's.

A style is recognised by the names of its blocks, wherever in a checkpoint they lie; the name of the
file says nothing. Three styles are enough, because most methods keep torchvision's names below a
prefix of their own:

- torchvision, `layer1.0.conv1.weight`: also timm, mmcv, MoCo (`module.encoder_q.`), SimSiam
  (`module.encoder.`), DINO (`teacher.backbone.`), SwAV (`module.`), VISSL
  (`classy_state_dict.base_model.model.trunk._feature_blocks.`);
- sequence, `4.0.conv1.weight`: the children of torchvision's ResNet in an `nn.Sequential`, as
  lightly's and PyTorch Lightning Bolts' examples keep them (`backbone.`);
- detectron2, `res2.0.conv1.weight` next to `res2.0.conv1.norm.weight` (`backbone.bottom_up.`), as
  `tools/convert-torchvision-to-d2.py` there names them.

Names don't show which convolution of a block has the stride. Detectron2's MSRA models have it on
the 1x1 convolution, and take BGR: they load, and compute something else.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_HEAD = re.compile(
    r"(fc|linear|last_?layer|temperature|logit_scale|cent(er|re))\b"
    r"|\w*(head|classif|proj|pred|proto|queue|mlp|neck)",
    re.IGNORECASE,
)
_SECOND_CHOICE = ("encoder_k", "momentum", "target", "student")
"""MoCo is transferred by its query encoder, BYOL by its online network, DINO by its teacher."""


class UnknownKeys(ValueError):
    """Tensors whose names or shapes fit no known network, or more than one."""


@dataclass(frozen=True)
class Style:
    """One way to name the tensors of a ResNet.

    Attributes:
        name: For reports.
        block: Matches the first convolution of a block; its groups are `prefix` and `stage`.
        rename: From a name without the prefix to torchvision's.
    """

    name: str
    block: re.Pattern[str]
    rename: Callable[[str], str]


@dataclass(frozen=True)
class Translated:
    """The tensors of one network, by the names in our encoder.

    Attributes:
        tensors: All that may belong to the network.
        style: How the file names its tensors.
        prefix: The start of each name in the file, left out here.
        aside: Names in the file of other parts: heads, projectors, other networks.
    """

    tensors: dict[str, Tensor]
    style: str
    prefix: str
    aside: tuple[str, ...]


def is_head(name: str) -> bool:
    """Whether a tensor of this name belongs to a classifier, projector, predictor or queue."""
    return _HEAD.match(name) is not None


def from_sequence(name: str) -> str:
    """`4.0.conv1.weight` → `layer1.0.conv1.weight`."""
    child, dot, rest = name.partition(".")
    return _CHILDREN.get(child, child) + dot + rest


def from_detectron2(name: str) -> str:
    """`res2.0.conv1.norm.weight` → `layer1.0.bn1.weight`."""
    name = name.removeprefix("stem.")
    # res2 is the first stage: detectron2 counts the stem as the first
    name = re.sub(r"^res([2-5])\.", lambda found: f"layer{int(found[1]) - 1}.", name)
    name = re.sub(r"\bconv([1-3])\.norm\.", r"bn\1.", name)
    name = re.sub(r"\bshortcut\.norm\.", "downsample.1.", name)
    return re.sub(r"\bshortcut\.", "downsample.0.", name)


def to_detectron2(name: str) -> str:
    """`layer1.0.bn1.weight` → `res2.0.conv1.norm.weight`; what is in no layer is in the stem."""
    stem = "" if name.startswith("layer") else "stem."
    name = re.sub(r"^layer([1-4])\.", lambda found: f"res{int(found[1]) + 1}.", name)
    name = re.sub(r"\bbn([1-3])\.", r"conv\1.norm.", name)
    name = re.sub(r"\bdownsample\.1\.", "shortcut.norm.", name)
    return stem + re.sub(r"\bdownsample\.0\.", "shortcut.", name)


def _block(stage: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<prefix>(?:.*?\.)?){stage}\.\d+\.conv1\.weight")


STYLES = (
    Style("torchvision", _block("layer(?P<stage>[1-4])"), str),
    Style("sequence", _block("(?P<stage>[4-7])"), from_sequence),
    Style("detectron2", _block("res(?P<stage>[2-5])"), from_detectron2),
)


def flatten(loaded: Any, prefix: str = "") -> dict[str, Tensor]:
    """All tensors of nested mappings, by their path: `state_dict.module.conv1.weight`."""
    found = {}
    for key, value in loaded.items() if isinstance(loaded, Mapping) else ():
        if isinstance(value, Tensor):
            found[f"{prefix}{key}"] = value
        else:
            found |= flatten(value, f"{prefix}{key}.")
    return found


def translate(tensors: Mapping[str, Tensor]) -> Translated:
    """Finds the ResNet among the tensors, and gives it torchvision's names.

    Of several networks it takes the one that the method transfers (see `_SECOND_CHOICE`).

    Raises:
        UnknownKeys: No style fits, or several networks are left to choose from.
    """
    prefix, style = _find_network(tensors)
    inside = {
        style.rename(name.removeprefix(prefix)): name for name in tensors if name.startswith(prefix)
    }
    # what is neither a part of a ResNet nor a head stays in, so that the match reports it
    mine = {
        new: tensors[old]
        for new, old in inside.items()
        if new.partition(".")[0] in PARTS or not is_head(new)
    }
    taken = {inside[new] for new in mine}
    return Translated(mine, style.name, prefix, tuple(n for n in tensors if n not in taken))


def _find_network(names: Iterable[str]) -> tuple[str, Style]:
    stages: dict[tuple[str, Style], set[str]] = {}
    names = list(names)
    for name in names:
        for style in STYLES:
            if found := style.block.fullmatch(name):
                stages.setdefault((found["prefix"], style), set()).add(found["stage"])
    # one stage alone is no ResNet: `4.0.conv1.weight` may be a layer of a projector
    networks = [key for key, seen in stages.items() if len(seen) > 1]
    first = [(p, s) for p, s in networks if not any(word in p for word in _SECOND_CHOICE)]
    networks = first or networks
    if not networks:
        raise UnknownKeys(
            f"has no names of a ResNet, such as layer1.0.conv1.weight (torchvision), "
            f"res2.0.conv1.weight (detectron2) or 4.0.conv1.weight (a sequence); it has "
            f"{', '.join(names[:3]) or 'no tensors'}; name a timm model with encoder.name="
        )
    if len(networks) > 1:
        places = ", ".join(f"'{prefix}'" for prefix, _ in networks)
        raise UnknownKeys(
            f"holds {len(networks)} ResNets, below {places}; save the one you want alone"
        )
    return networks[0]
