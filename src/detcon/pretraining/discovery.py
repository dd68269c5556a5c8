"""Masks found by the network during its training: clusters of its features.

They lie in stores in the run folder.
"""

import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from detcon.masks.recipe import MasksRecipe
from detcon.masks.sources.clusters import Clusters
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.masks.store.header import describe, read_header
from detcon.masks.store.shard import StoreError
from detcon.models.backbone_file import save_backbone
from detcon.notes import say
from detcon.photos import Photos, TooManyUnreadable
from detcon.pretraining.recipe import Discovery, PretrainRecipe
from detcon.train.checkpoint import kept_steps
from detcon.train.environment import is_first_rank, ranks
from detcon.train.replica import wait_for_ranks
from detcon.train.run import LAST

FOLDER = "discovery"


def discovered(run: str | Path) -> list[Path]:
    """The stores of discovered masks in a run folder, `discovery/step-000512`, the last one last.

    A store's name holds the number of updates after which the network found its masks.
    """
    return sorted(path for path in Path(run, FOLDER).glob("step-*") if path.is_dir())


@dataclass(frozen=True)
class Discoverer:
    """Finds the masks of a round with the current network, or opens those found before.

    Attributes:
        settings: The whole recipe.
        discovery: The settings of discovery in it.
        photos: The photos that `settings.images` names.
        encoder: The network in training, or its average; masks are found by a copy of it.
        run: The run folder.
        steps: Updates in all.
        left_out: Photos that are known to be unreadable.
    """

    settings: PretrainRecipe
    discovery: Discovery
    photos: Photos
    encoder: nn.Module
    run: Path
    steps: int
    left_out: Collection[str] = ()

    def masks(self, begin: int, step: int) -> Path:
        """Finds or opens the masks for the updates from `begin` on; `step` is the next update.

        If `step` is `begin`, they are found now. Else the run goes on from a checkpoint that was
        made after they were found, and the weights that found them are gone. All ranks must ask at
        the same time.

        Raises:
            StoreError: If they were found and are gone.
            TooManyUnreadable: If too many photos couldn't be read.
        """
        store = self.run / FOLDER / f"step-{begin:06}"
        if step == begin:
            self._find(begin, store)
            return store
        try:
            MaskStore(store)
        except StoreError as error:
            raise StoreError(
                f"the run in {self.run} goes on after update {step}, but the masks that it found "
                f"after update {begin} are not whole in {store}; put them back, or give another "
                f"out= to begin again"
            ) from error
        return store

    def _find(self, step: int, store: Path) -> None:
        """Uses the first rank's weights; each rank does its share of the photos."""
        began, share = time.monotonic(), ranks()
        masks_recipe = self._recipe(store, step)
        if is_first_rank():
            recipe, normalisation = self.settings.encoder, self.settings.normalisation
            save_backbone(_weights(store), self.encoder, recipe, normalisation=normalisation)
            self._remove_others(masks_recipe, store)
        wait_for_ranks()
        make_masks(masks_recipe, shard=f"{share.rank + 1}/{share.world}")
        wait_for_ranks()
        self._check_readable(MaskStore(store))
        if is_first_rank():
            self._forget(step)
            say(
                f"discovery: masks of {len(self.photos):,} photos from the features after {step} "
                f"updates, {time.monotonic() - began:.0f} s"
            )

    def _num(self, step: int) -> int:
        """Clusters of the round from `step` on: from `num` evenly to `last_num`."""
        first, last = self.discovery.num, self.discovery.last_num
        rounds = -(-self.steps // self.discovery.every)
        if last is None or rounds < 2:
            return first
        return round(first + (last - first) * (step // self.discovery.every) / (rounds - 1))

    def _recipe(self, store: Path, step: int) -> MasksRecipe:
        settings, discovery = self.settings, self.discovery
        return MasksRecipe(
            images=settings.images,
            channels=settings.encoder.in_channels,
            out=str(store),
            generator=Clusters(
                backbone=str(_weights(store)),
                encoder=settings.encoder.name if settings.encoder.is_own else None,
                stride=discovery.stride,
                num=self._num(step),
                side=discovery.side,
                seed=settings.seed,
            ),
            workers=max(1, settings.workers),
        )

    def _remove_others(self, masks_recipe: MasksRecipe, store: Path) -> None:
        """Removes a store made with other weights; keeps an unfinished one made with these.

        On another machine, or on a GPU, a resumed run may come here with weights that differ in
        the last digit from those of the first time.
        """
        if not store.exists():
            return
        generator = masks_recipe.generator
        assert isinstance(generator, Clusters)
        asked = describe(generator.identified(), self.photos, masks_recipe.shard_size)
        try:
            same = read_header(store)["fingerprint"] == asked["fingerprint"]
        except StoreError:
            same = False
        if not same:
            shutil.rmtree(store)

    def _check_readable(self, store: MaskStore) -> None:
        """Refuses masks where more photos than `max_unreadable` couldn't be read."""
        lost = [key for key in store.unreadable if key not in self.left_out]
        share = self.settings.max_unreadable
        most = max(1, int(share * len(self.photos))) if share else 0
        if len(lost) <= most:
            return
        wait_for_ranks()
        if is_first_rank():
            shutil.rmtree(store.folder)  # it is made again when the photos are back
        raise TooManyUnreadable(
            f"{len(lost)} of {len(self.photos)} photos couldn't be read to find their masks, and "
            f"max_unreadable={share:g} allows {most}: {store.unreadable[lost[0]]}; copy them "
            f"again, or raise max_unreadable, and give the command again to go on"
        )

    def _forget(self, step: int) -> None:
        """Removes masks of earlier rounds, except those that a checkpoint needs to resume."""
        every = self.discovery.every
        begins = {made // every * every for made in kept_steps(self.run / LAST)} | {step}
        needed = {f"step-{begin:06}" for begin in begins}
        for path in (self.run / FOLDER).iterdir():
            if path.is_file():
                path.unlink()
            elif path.name not in needed:
                shutil.rmtree(path)


def _weights(store: Path) -> Path:
    """The file of the weights while the store is filled."""
    return store.with_suffix(".safetensors")
