"""A probe of the encoder during pretraining: a curve that shows whether it gets better."""

from pathlib import Path

import torch
from torch import nn

from detcon.config import in_part
from detcon.data.labelled.examples import Examples, drawn_subset, nested_subset
from detcon.downstream.network import FeaturesError
from detcon.downstream.recipe import ProbingRecipe, TransferRecipe
from detcon.downstream.task import open_task
from detcon.models.backbone_file import Backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.notes import note

_named_as_typed = in_part(ProbingRecipe, "probing.{}".format)


class PeriodicProbe:
    """Labelled photos, and a copy of the encoder that takes over the weights of the trained one.

    The copy takes memory, but keeps evaluation mode, 32 bits and another stride away from the
    network that is being trained.
    """

    @_named_as_typed
    def __init__(
        self,
        recipe: ProbingRecipe,
        encoder: EncoderRecipe,
        *,
        normalisation: Normalisation,
        seed: int,
    ) -> None:
        """Opens the labelled data; validates everything it can before training.

        Raises:
            ValueError: Labelled data that are missing or don't fit the task.
        """
        self._task = task = open_task(recipe.task)
        same = recipe.model_dump(exclude={"every"})
        self._settings = TransferRecipe(backbone="online", out="", seed=seed, **same)
        labelled = task.open(self._settings, encoder.in_channels)
        self._names = labelled.names
        chosen = nested_subset(len(labelled.train.keys), recipe.labels, seed)
        self._train = Examples(labelled.train, chosen)
        self._val = Examples(labelled.val, drawn_subset(labelled.val.keys, recipe.val_photos))
        task.check(self._train, self._val, self._names)
        own = encoder.with_stride(recipe.stride)
        with torch.random.fork_rng(devices=[]):
            backbone = Backbone(build_encoder(own, run_own=True), own, normalisation, "online", {})
            self._network = task.build(self._settings, backbone, labelled.names).eval()
        self._head = self._network.head

    @_named_as_typed
    def measure(self, encoder: nn.Module) -> dict[str, float]:
        """Probes a copy of the encoder, on its device, in 32 bits and evaluation mode.

        Returns:
            `probe_mIoU` of pixels or `probe_accuracy` of photos, in per cent; nothing, and a note,
            where features aren't finite.
        """
        network, settings = self._network, self._settings
        network.encoder.load_state_dict(encoder.state_dict())
        network.to(next(encoder.parameters()).device)
        try:
            self._task.learn(settings, network, self._train, Path())
            score = self._task.score(settings, network, self._val, self._names)
        except FeaturesError:
            note("a probe is left out: the encoder's features are NaN or infinite")
            return {}
        finally:  # a bank isn't kept until the next time
            network.head = self._head
            network.cpu()
        return {f"probe_{score.metric}": score.value}
