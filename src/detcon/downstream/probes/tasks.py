"""Probes as transfer tasks: what can be read off frozen features."""

from pathlib import Path

from torch import nn

from detcon.downstream.network import Network
from detcon.downstream.pictures import Pictures, watched
from detcon.downstream.probes.linear_segmentation import fit_probe
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.segmentation.fcn import Segmenter
from detcon.downstream.segmentation.task import Segmentation
from detcon.models.backbone_file import Backbone
from detcon.train.environment import open_fabric


class LinearSegmentation(Segmentation):
    """Names the class of each pixel by a linear layer on frozen features."""

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> Segmenter:
        channels = int(backbone.encoder.num_channels)  # pyright: ignore[reportArgumentType]
        mean, std = backbone.normalisation.mean, backbone.normalisation.std
        return Segmenter(backbone.encoder, nn.Conv2d(channels, len(names), 1), mean=mean, std=std)

    def learn(
        self, settings: TransferRecipe, network: Network, train: Pictures, folder: Path
    ) -> None:
        network.to(open_fabric("32", settings.loop.accelerator).device).eval()
        assert isinstance(network.head, nn.Conv2d)
        network.head = fit_probe(
            network.features,
            watched(train, "features"),
            network.head.out_channels,
            settings.probe,
            network.device,
        )
