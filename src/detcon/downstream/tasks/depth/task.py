"""Depth prediction as a transfer task: metres to what each pixel shows."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8

from detcon.data.labelled.crops import LabelledCrops, join_maps
from detcon.data.labelled.examples import Example, Examples, LabelledData, watched
from detcon.data.labelled.window import draw_window
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.strips import write_png
from detcon.downstream.task import Score
from detcon.downstream.tasks.depth.data import cut_depth, open_depth_data
from detcon.downstream.tasks.depth.network import DepthNetwork, depth_head
from detcon.downstream.tasks.depth.recipe import DepthRecipe
from detcon.downstream.tasks.depth.scoring import score
from detcon.downstream.tasks.segmentation.data import resize_nearest
from detcon.downstream.tasks.settings import height_and_width
from detcon.downstream.training import fine_tune
from detcon.models.backbone_file import Backbone
from detcon.palette import depth_colours


@dataclass(frozen=True)
class Depth:
    """Predicts how far away everything is.

    Laina et al. (arXiv 1606.00373) as BYOL (arXiv 2006.07733, appendix D.6) uses it. One departure:
    a whole photo is predicted and scored, while the code released with Laina et al. predicts its
    centre crop and stretches that to the whole depth map. BYOL's order of the changes of colour
    isn't known: brightness, saturation and hue come in a random order here, grey comes last.
    """

    recipe: DepthRecipe

    @property
    def updates(self) -> int:
        return self.recipe.steps

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        return open_depth_data(settings, channels)

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> DepthNetwork:
        head = depth_head(backbone.channels, self.recipe)
        return DepthNetwork(backbone.encoder, head, backbone.normalisation, self.recipe.loss)

    def learn(
        self, settings: TransferRecipe, network: Network, train: Examples, folder: Path
    ) -> None:
        draw = functools.partial(
            draw_window,
            size=height_and_width(self.recipe.crop),
            scale=self.recipe.scale,
            flip=self.recipe.flip,
            place=self.recipe.place,
        )
        crops = LabelledCrops(
            train,
            settings.seed,
            draw,
            cut_depth,
            join_maps,
            fill=network.mean_colour,
            colour=self.recipe.colour,
        )
        fine_tune(settings, self.recipe, network, crops, folder)

    def score(
        self, settings: TransferRecipe, network: Network, val: Examples, names: tuple[str, ...]
    ) -> Score:
        def predict(example: Example) -> Float32[np.ndarray, "y x"]:
            return _predict(network, example.image, example.labels.shape)

        return score(predict, watched(val, "scoring"))

    def predict(
        self, network: Network, photo: UInt8[np.ndarray, "y x c"]
    ) -> Float32[np.ndarray, "y x"]:
        return _predict(network, photo, photo.shape[:2])

    def truth(self, example: Example) -> Float32[np.ndarray, "y x"]:
        return resize_nearest(example.labels, example.image.shape[:2])

    def draw(
        self,
        photo: UInt8[np.ndarray, "y x c"],
        prediction: Float32[np.ndarray, "y x"],
        names: tuple[str, ...],
    ) -> UInt8[np.ndarray, "y x 3"]:
        return depth_colours(prediction)

    def enlarge(
        self, prediction: Float32[np.ndarray, "y x"], size: tuple[int, int]
    ) -> Float32[np.ndarray, "Y X"]:
        return np.asarray(cv2.resize(prediction, size[::-1], interpolation=cv2.INTER_LINEAR))

    def save(
        self,
        found: Iterable[tuple[str, Float32[np.ndarray, "y x"]]],
        folder: Path,
        names: tuple[str, ...],
    ) -> None:
        """Thousandths of a metre in `depth/KEY.png`, of 16 bits; 65.535 m is the farthest."""
        for key, depth in found:
            path = folder / "depth" / PurePosixPath(key).with_suffix(".png")
            write_png(path, np.clip(np.round(depth * 1000), 0, 65535).astype(np.uint16))


@torch.inference_mode()
def _predict(
    network: Network, photo: UInt8[np.ndarray, "y x c"], size: tuple[int, ...]
) -> Float32[np.ndarray, "h w"]:
    assert isinstance(network, DepthNetwork)
    image = torch.from_numpy(photo).to(network.device).permute(2, 0, 1)[None]
    return network.depths(image, (size[0], size[1]))[0].cpu().numpy()
