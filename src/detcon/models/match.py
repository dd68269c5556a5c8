"""Which tensors of a file fit into a network, and which don't."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Match:
    """What a network got from a file, by the network's names.

    Attributes:
        matched: Filled from the file.
        missing: Of the network alone; fresh.
        reshaped: Of both, with other shapes; fresh.
        left_over: Of the file alone.
        aside: What is no part of the network, by the file's names: heads, other networks.
        style: How the file names its tensors.
        prefix: What stands before each name there.
        fresh: Of both, but fresh because photos have other channels than the file's.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    reshaped: tuple[str, ...]
    left_over: tuple[str, ...]
    aside: tuple[str, ...] = ()
    style: str = ""
    prefix: str = ""
    fresh: tuple[str, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether every tensor of one has its place in the other."""
        return not (self.missing or self.reshaped or self.left_over)

    def faults(self) -> str:
        """What isn't as it should be, as the end of a sentence that begins with "it"."""
        found = (
            (self.missing, "lacks {} of its tensors"),
            (self.reshaped, "has other shapes of {} of its tensors"),
            (self.left_over, "has {} besides"),
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
    network: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    *,
    aside: tuple[str, ...] = (),
    style: str = "",
    prefix: str = "",
    fresh: tuple[str, ...] = (),
) -> Match:
    """Compares names and shapes; counters of batch norms may be missing, some files leave them out.

    Args:
        network: The state of the network.
        given: What there is, by the network's names.
        aside: What was left aside before.
        style: For the report.
        prefix: For the report.
        fresh: Tensors that aren't to be taken from the file.
    """
    network = {name: tensor for name, tensor in network.items() if name not in fresh}
    given = {name: tensor for name, tensor in given.items() if name not in fresh}
    both = [name for name in network if name in given]
    same = [name for name in both if given[name].shape == network[name].shape]
    counters = {name for name in network if name.endswith("num_batches_tracked")}
    return Match(
        matched=tuple(same),
        missing=tuple(n for n in network if n not in given and n not in counters),
        reshaped=tuple(n for n in both if n not in same),
        left_over=tuple(n for n in given if n not in network),
        aside=aside,
        style=style,
        prefix=prefix,
        fresh=fresh,
    )


def _some(names: tuple[str, ...]) -> str:
    if not names:
        return "none"
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} ({', '.join(names[:3])}{more})"
