"""Depth as a transfer task: metres to what each pixel shows."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8

from detcon.downstream.network import Network
from detcon.downstream.pictures import Labelled, Pictures, watched
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Score
from detcon.downstream.tasks.depth.crops import DepthCrops
from detcon.downstream.tasks.depth.heads import depth_head
from detcon.downstream.tasks.depth.measured import DepthSplit, Measured, resize_nearest
from detcon.downstream.tasks.depth.network import DepthNetwork
from detcon.downstream.tasks.depth.recipe import DepthRecipe
from detcon.downstream.tasks.depth.scoring import score
from detcon.downstream.training import fine_tune
from detcon.files import write_whole
from detcon.formats.registry import open_depth
from detcon.models.backbone_file import Backbone
from detcon.palette import depth_colours


class Depth:
    """Says how far away everything is.

    Laina et al. (arXiv 1606.00373) as BYOL (arXiv 2006.07733, appendix D.6) uses it. One departure:
    a whole picture is predicted and judged, while the code released with Laina et al. predicts its
    centre crop and stretches that to the whole depth map.
    """

    def __init__(self, recipe: DepthRecipe) -> None:
        self.recipe = recipe

    @property
    def updates(self) -> int:
        return self.recipe.steps

    def open(self, settings: TaskSettings, channels: int) -> Labelled:
        train, val = (
            DepthSplit(
                open_depth(settings.data, settings.format, name),
                f"{name} of {settings.data}",
                settings.size,
                whole=name == "val",
                channels=channels,
            )
            for name in ("train", "val")
        )
        train.check()
        val.check()
        return Labelled(train, val)

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> DepthNetwork:
        channels = int(backbone.encoder.num_channels)  # pyright: ignore[reportArgumentType]
        return DepthNetwork(
            backbone.encoder,
            depth_head(channels, self.recipe),
            mean=backbone.normalisation.mean,
            std=backbone.normalisation.std,
            loss=self.recipe.loss,
        )

    def learn(
        self, settings: TransferRecipe, network: Network, train: Pictures, folder: Path
    ) -> None:
        crop = self.recipe.crop
        crops = DepthCrops(
            train,
            size=(crop, crop) if isinstance(crop, int) else crop,
            seed=settings.seed,
            scale=self.recipe.scale,
            flip=self.recipe.flip,
            place=self.recipe.place,
            colour=self.recipe.colour,
            fill=network.mean_colour,
        )
        fine_tune(settings, self.recipe, network, train, crops.batch, folder)

    def score(
        self, settings: TransferRecipe, network: Network, val: Pictures, names: tuple[str, ...]
    ) -> Score:
        def predict(picture: Measured) -> Float32[np.ndarray, "y x"]:
            return _predict(network, picture.image, picture.depth.shape)

        return score(predict, watched(val, "judging"))

    def predict(
        self, network: Network, photo: UInt8[np.ndarray, "y x c"]
    ) -> Float32[np.ndarray, "y x"]:
        return _predict(network, photo, photo.shape[:2])

    def truth(self, item: Measured) -> Float32[np.ndarray, "y x"]:
        return resize_nearest(item.depth, item.image.shape[:2])

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
            path.parent.mkdir(parents=True, exist_ok=True)
            millimetres = np.clip(np.round(depth * 1000), 0, 65535).astype(np.uint16)
            write_whole(path, cv2.imencode(".png", millimetres)[1].tobytes(), durable=False)


@torch.inference_mode()
def _predict(
    network: Network, photo: UInt8[np.ndarray, "y x c"], size: tuple[int, ...]
) -> Float32[np.ndarray, "h w"]:
    assert isinstance(network, DepthNetwork)
    image = torch.from_numpy(photo).to(network.device).permute(2, 0, 1)[None]
    return network.depths(image, (size[0], size[1]))[0].cpu().numpy()
