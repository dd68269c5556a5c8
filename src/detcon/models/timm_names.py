"""The names of a timm model's tensors: in the whole model, and in its features alone.

`features_only=True` renames: `stages.0.blocks` becomes `stages_0.blocks` where timm flattens a
sequence, and `norm1.weight` becomes `model.norm1.weight` where it wraps a transformer. Both kinds
are one, once the prefix is gone and every underscore is a full stop.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from detcon.models.key_styles import Translated, UnknownKeys, is_head


def to_timm(names: Iterable[str], model: str) -> dict[str, str]:
    """From the names in our encoder to those in the whole timm model."""
    whole = {_plain(name): name for name in whole_names(model)}
    return {name: whole[_plain(name)] for name in names}


def from_timm(tensors: Mapping[str, Tensor], names: Iterable[str], model: str) -> Translated:
    """Gives tensors of a timm model the `names` in our encoder.

    The tensors may have the names of the whole model or of its features, below any prefix. What
    the whole model has after its last grid (a last norm, a classifier) is left aside.

    Raises:
        UnknownKeys: None of the names is the model's, or several networks have them.
    """
    mine = {_plain(name): name for name in names}
    whole = whole_names(model)
    later = {_plain(name) for name in whole} - set(mine)
    prefix = _prefix(tensors, [*mine.values(), *whole], model)
    found, aside = {}, []
    for old, tensor in tensors.items():
        rest = old.removeprefix(prefix)
        if old.startswith(prefix) and _plain(rest) in mine:
            found[mine[_plain(rest)]] = tensor
        elif not old.startswith(prefix) or _plain(rest) in later or is_head(rest):
            aside.append(old)
        else:
            found[rest] = tensor
    return Translated(found, "timm", prefix, tuple(aside))


def whole_names(model: str) -> list[str]:
    """The names of all tensors of a timm model, without making them."""
    import timm  # two seconds with torchvision, which ResNets don't need

    with torch.device("meta"):
        return list(timm.create_model(model).state_dict())


def _plain(name: str) -> str:
    return name.removeprefix("model.").replace("_", ".")


def _prefix(tensors: Iterable[str], names: Iterable[str], model: str) -> str:
    known, seen = set(names), Counter()
    for given in tensors:
        parts = given.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in known:
                seen[".".join([*parts[:start], ""]) if start else ""] += 1
                break
    if not seen:
        raise UnknownKeys(
            f"has none of the names of '{model}', such as {', '.join(sorted(known)[:2])}"
        )
    (first, most), *others = seen.most_common(2)
    if others and others[0][1] == most:
        raise UnknownKeys(
            f"holds '{model}' more than once, below '{first}' and '{others[0][0]}'; save the one "
            f"you want alone"
        )
    return first
