"""A probe of an encoder that is still being trained: the curve that says whether it gets better."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from detcon.config import Recipe
from detcon.downstream.pictures import Pictures, nested_subset
from detcon.downstream.recipe import ProbeTask, TransferRecipe
from detcon.downstream.tasks.probes.classifier import CentreRecipe
from detcon.downstream.tasks.probes.logistic import ProbeRecipe
from detcon.downstream.tasks.probes.neighbours import KnnRecipe
from detcon.downstream.tasks.probes.reading import Probe
from detcon.downstream.tasks.registry import open_task
from detcon.formats.registry import Format
from detcon.models.backbone_file import Backbone
from detcon.models.encoders import build_encoder
from detcon.models.normalisation import Normalisation
from detcon.models.recipe import EncoderRecipe

Side = Annotated[int, Field(ge=8)]


class ProbingRecipe(Recipe):
    """What an encoder is probed on while it is trained; settings are those of a transfer."""

    every: int = Field(ge=1, description="steps between probes; the last step has one too")
    data: str = Field(description="labelled data, as for 'detcon transfer'")
    format: Format = Field(default="folder", description="how they lie there")
    task: ProbeTask = Field(
        default="knn_segmentation", description="how classes are read off the features"
    )
    labels: int | None = Field(
        default=None, ge=1, description="use only so many labelled training pictures; null: all"
    )
    stride: int | None = Field(
        default=16, description="pixels to a cell; null leaves the encoder's (timm models)"
    )
    size: Side | None = Field(default=None, description="longest side of the pictures")
    ignore: int | None = Field(default=None, ge=0, description="a class id that means void, as 255")
    num_classes: int | None = Field(default=None, ge=1, le=254, description="null: found out")
    probe: ProbeRecipe = Field(default=ProbeRecipe(), description="how the linear layer is fitted")
    knn: KnnRecipe = Field(default=KnnRecipe(), description="how the nearest neighbours vote")
    centre: CentreRecipe = Field(default=CentreRecipe(), description="of photos with one class")


class PeriodicProbe:
    """Labelled pictures, and an encoder of its own that takes over the weights of another.

    A copy costs the memory of one more encoder, and keeps all that a probe does (evaluation mode,
    32 bits, another stride) away from the network that is being trained.
    """

    def __init__(
        self,
        recipe: ProbingRecipe,
        encoder: EncoderRecipe,
        *,
        normalisation: Normalisation,
        seed: int,
    ) -> None:
        """Opens the labelled data; complains of everything that can be seen at once.

        Args:
            recipe: What to probe.
            encoder: Of the encoders that will be measured.
            normalisation: What their photos are normalised by.
            seed: Of the labelled subset, and of the cells that neighbours are looked for in.

        Raises:
            ValueError: Labelled data that are missing or don't fit the task.
        """
        task = open_task(recipe.task)
        assert isinstance(task, Probe)
        same = recipe.model_dump(exclude={"every"})
        self._task = task
        self._settings = TransferRecipe(backbone="online", out="", seed=seed, **same)
        labelled = task.open(self._settings, encoder.in_channels)
        self._names = labelled.names
        chosen = nested_subset(len(labelled.train.keys), recipe.labels, seed)
        self._train = Pictures(labelled.train, chosen)
        self._val = Pictures(labelled.val, range(len(labelled.val.keys)))
        own = encoder.with_stride(recipe.stride)
        with torch.random.fork_rng(devices=[]):
            backbone = Backbone(build_encoder(own), own, normalisation, "online", {})
            self._network = task.build(self._settings, backbone, labelled.names).eval()
        self._head = self._network.head

    def measure(self, encoder: nn.Module) -> dict[str, float]:
        """Probes a copy of the encoder, on its device, in 32 bits and evaluation mode.

        Returns:
            `probe_mIoU` of pixels or `probe_accuracy` of photos, in per cent.
        """
        network, settings = self._network, self._settings
        network.encoder.load_state_dict(encoder.state_dict())
        network.to(next(encoder.parameters()).device)
        try:
            network.head = self._task.reading.fit(settings, network, self._train)
            score = self._task.score(settings, network, self._val, self._names)
        finally:  # a bank isn't kept until the next time
            network.head = self._head
            network.cpu()
        return {f"probe_{score.metric}": score.value}
