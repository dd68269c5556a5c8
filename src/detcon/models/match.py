"""Which tensors of a file fit into a network, and which don't."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from detcon.models.key_styles import Translated


@dataclass(frozen=True)
class Match:
    """What a network got from a file, by the network's names.

    Attributes:
        matched: Filled from the file.
        missing: Only in the network; left fresh.
        reshaped: In both, with different shapes; left fresh.
        left_over: Only in the file.
        aside: As in `Translated`, and so are `style` and `prefix`.
        fresh: In both; left fresh because the photos have other channels.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    reshaped: tuple[str, ...]
    left_over: tuple[str, ...]
    aside: tuple[str, ...]
    style: str
    prefix: str
    fresh: tuple[str, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether network and file hold the same tensors."""
        return not (self.missing or self.reshaped or self.left_over)

    def faults(self) -> str:
        """What differs, as the end of a sentence that begins with "it"."""
        found = (
            (self.missing, "lacks {} of its tensors"),
            (self.reshaped, "has other shapes of {} of its tensors"),
            (self.left_over, "has {} more"),
        )
        return " and ".join(
            f"{words.format(len(names))}, first {names[0]}" for names, words in found if names
        )

    def __str__(self) -> str:
        below = f" below '{self.prefix}'" if self.prefix else ""
        return (
            f"{len(self.matched)} tensors matched (names of {self.style}{below}), "
            f"{_some(self.missing)} missing, {_some(self.reshaped)} of another shape, "
            f"{_some(self.left_over)} left over, {_some(self.aside)} left aside"
        )


def match_tensors(
    network: Mapping[str, Tensor], found: Translated, fresh: tuple[str, ...] = ()
) -> Match:
    """Compares names and shapes with the state of a network, but for the `fresh` tensors.

    Counters of batch norms may be missing: some files leave them out.
    """
    network = {name: tensor for name, tensor in network.items() if name not in fresh}
    given = {name: tensor for name, tensor in found.tensors.items() if name not in fresh}
    both = [name for name in network if name in given]
    same = [name for name in both if given[name].shape == network[name].shape]
    counters = {name for name in network if name.endswith("num_batches_tracked")}
    return Match(
        matched=tuple(same),
        missing=tuple(n for n in network if n not in given and n not in counters),
        reshaped=tuple(n for n in both if n not in same),
        left_over=tuple(n for n in given if n not in network),
        aside=found.aside,
        style=found.style,
        prefix=found.prefix,
        fresh=fresh,
    )


def _some(names: tuple[str, ...]) -> str:
    if not names:
        return "none"
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} ({', '.join(names[:3])}{more})"
