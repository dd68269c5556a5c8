"""The batches of a pretraining, in rounds.

With discovery, the network finds new masks before each round. Without it, there is one round.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detcon.data.batch import Batch
from detcon.data.dataset import PhotoViews
from detcon.data.loader import batches
from detcon.masks.store import MaskStore
from detcon.pretraining.discovery import Discoverer
from detcon.pretraining.recipe import PretrainRecipe
from detcon.train.environment import ranks


@dataclass
class Rounds:
    """Opens the batches of a run, round by round.

    The loop asks for a batch only when all updates before it are made. So between two batches,
    masks are found by the network as it is at that moment, and no worker makes views of the next
    round ahead of time.

    Attributes:
        settings: The whole recipe.
        steps: Updates in all.
        views: The current ones; None before the network has found masks.
        discoverer: Finds masks; None if the first round is the only one.
        open_views: The views of the photos with the masks of a store.
    """

    settings: PretrainRecipe
    steps: int
    views: PhotoViews | None
    discoverer: Discoverer | None
    open_views: Callable[[MaskStore], PhotoViews]

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Yields this rank's share of the batches from a step on.

        Raises:
            StoreError: If the masks of the round that `first_step` belongs to are gone.
            TooManyUnreadable: If too many photos couldn't be read to find their masks.
            ValueError: As `detcon.data.loader.batches`.
        """
        settings, share = self.settings, ranks()
        every = self.steps if settings.discovery is None else settings.discovery.every
        while first_step < self.steps:
            begin = first_step // every * every
            end = min(begin + every, self.steps)
            yield from batches(
                self._views(begin, first_step),
                batch_size=settings.batch_size,
                seed=settings.seed,
                first_step=first_step,
                num_steps=end,
                workers=settings.workers,
                rank=share.rank,
                world=share.world,
            )
            first_step = end

    def names(self, batch: Batch) -> list[str]:
        """The photos of the last batch."""
        assert self.views is not None, "a batch has come"
        return [str(self.views.keys[i]) for i in batch.index.tolist()]

    def _views(self, begin: int, step: int) -> PhotoViews:
        """The views of the round that begins at step `begin`; `step` is the next one."""
        if self.discoverer is not None and (begin or self.views is None):
            self.views = None  # its photos in memory can go
            self.views = self.open_views(MaskStore(self.discoverer.masks(begin, step)))
        assert self.views is not None, "there are masks, or a network that finds them"
        return self.views
