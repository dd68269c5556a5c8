"""The order of the photos in an epoch, drawn from (seed, epoch)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Integer, UInt64

TABLE = 100_000_000  # photos, up to which the order is a table: 0.8 GB in each rank
_ROUNDS = 6
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of SplitMix64, doi:10.1145/2714064.2660195


def permutation(num_photos: int, seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
    """The order of an epoch as a table."""
    return np.random.default_rng(_source(seed, epoch)).permutation(num_photos)


def _source(seed: int, epoch: int) -> np.random.SeedSequence:
    # The key keeps it apart from the draws of photo 0, view 0: numpy fills up short seeds with
    # zeros, so that [seed, epoch] alone would be the same as [seed, epoch, 0, 0].
    return np.random.SeedSequence([seed, epoch], spawn_key=(0,))


@dataclass(frozen=True)
class Cipher:
    """An order that is computed for each place: a permutation without a table.

    A Feistel network takes the numbers below a power of 4 to each other, one to one; what falls
    above the photos' number goes through it again until it falls below, which keeps it one to one
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", the cycle-walking cipher).
    """

    num_photos: int
    keys: tuple[int, ...]

    def __getitem__(self, places: slice) -> Int64[np.ndarray, " n"]:
        """The photos at these places of the order."""
        found = np.arange(*places.indices(self.num_photos), dtype=np.uint64)
        outside = np.ones(len(found), bool)
        while outside.any():
            found[outside] = self._enciphered(found[outside])
            outside = found >= self.num_photos
        return found.astype(np.int64)

    def _enciphered(self, numbers: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
        bits = ((self.num_photos - 1).bit_length() + 1) // 2
        mask = (1 << bits) - 1
        left, right = numbers >> bits, numbers & mask
        for key in self.keys:
            left, right = right, left ^ (_mixed(right + np.uint64(key)) & mask)
        return left << bits | right


def _mixed(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    x = (x ^ (x >> 30)) * _MIX[0]
    x = (x ^ (x >> 27)) * _MIX[1]
    return x ^ (x >> 31)


def order_of(num_photos: int, seed: int, epoch: int) -> Integer[np.ndarray, " n"] | Cipher:
    """The order of an epoch, to be cut into batches: each photo once."""
    if num_photos <= TABLE:
        return permutation(num_photos, seed, epoch)
    keys = _source(seed, epoch).generate_state(_ROUNDS, np.uint64)
    return Cipher(num_photos, tuple(keys.tolist()))
