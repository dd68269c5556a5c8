"""Encoders: photos to a grid of features.

Our own ResNet by depth, and any other network by its timm name.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from detcon.config import find_named
from detcon.models.recipe import RESNETS, EncoderRecipe
from detcon.models.resnet import ResNet, initialise

STRIDES = [4, 8, 16, 32]  # of detectors' grids
PLAIN = ("vision_transformer", "deit", "eva")  # timm's files of transformers with one grid


def build_encoder(recipe: EncoderRecipe, *, run_own: bool = False) -> nn.Module:
    """Builds the network with fresh weights; its attribute `num_channels` is the feature size.

    Args:
        recipe: The architecture.
        run_own: Whether a name `package.module:function` may be imported and called: only where
            the user gave it, never where a file did.

    Raises:
        ValueError: The user's own network can't be made, or may not be; or drop path is asked of
            a network that has none.
    """
    recipe.check_drop_path()
    if recipe.is_own:
        if not run_own:
            raise ValueError(
                f"the network is {recipe.name}: code, which isn't run because a file names it; if "
                f"you trust it, give encoder.name={recipe.name}, or in Python "
                f"encoder=EncoderRecipe(name='{recipe.name}')"
            )
        return OwnEncoder(recipe.name, recipe.in_channels)
    if recipe.name not in RESNETS:
        return TimmEncoder(recipe.name, recipe.in_channels, drop_path=recipe.drop_path)
    encoder = ResNet(
        RESNETS[recipe.name],
        width=recipe.width,
        stride=recipe.stride,
        same_padding=recipe.same_padding,
        in_channels=recipe.in_channels,
        project_first=recipe.project_first,
    )
    encoder.apply(functools.partial(initialise, zero_init=recipe.zero_init))
    return encoder


def feature_grid(encoder: nn.Module, size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of the features of a photo of this size, without computing them.

    >>> feature_grid(build_encoder(EncoderRecipe(name="resnet18", stride=16)), (64, 100))
    (4, 7)

    Raises:
        ValueError: If the network can't take photos of this size.
    """
    y, x = (size, size) if isinstance(size, int) else size
    if isinstance(encoder, ResNet):  # each layer of stride 2 halves a side and rounds it up
        stride = encoder.pyramid_strides[-1]
        return -(-y // stride), -(-x // stride)
    if isinstance(encoder, OwnEncoder):
        return encoder.grid_shape(y, x)[1:]
    # on the meta device, which costs no arithmetic, but a second of imports
    state = {**dict(encoder.named_parameters()), **dict(encoder.named_buffers())}
    on_meta = {name: tensor.to("meta") for name, tensor in state.items()}
    channels = next(p.shape[1] for p in encoder.parameters() if p.ndim == 4)
    photo = torch.empty(2, channels, y, x, device="meta", dtype=next(encoder.parameters()).dtype)
    try:
        features = torch.func.functional_call(encoder, on_meta, (photo,))
    except (AssertionError, RuntimeError) as error:  # timm asserts
        reason = str(error).splitlines()[0]
        if isinstance(encoder, TimmEncoder) and encoder.own_size not in (None, (y, x)):
            reason = "give {} x {}, the size that it is made for, or take another encoder".format(
                *encoder.own_size
            )
        name = getattr(encoder, "name", type(encoder).__name__)
        raise ValueError(f"photos of {y} x {x} pixels don't fit '{name}': {reason}") from error
    return features.shape[2], features.shape[3]


class OwnEncoder(nn.Module):
    """A user's own network, made by a function `package.module:function` without arguments.

    It takes photos [b c y x] and returns a grid [b d h w], or several in a list or a mapping (as
    transformers' backbones), of which the last is used. Its weights keep their own names.
    """

    def __init__(self, name: str, in_channels: int) -> None:
        super().__init__()
        self.name, self.in_channels = name, in_channels
        function = find_named(name, "encoder.name")
        try:
            self.body = function()
        except TypeError as error:
            raise ValueError(
                f"encoder.name={name} can't be called without arguments: {error} (--debug shows "
                f"where)"
            ) from error
        if not isinstance(self.body, nn.Module):
            kind = type(self.body).__name__
            raise ValueError(f"encoder.name={name} must make a torch.nn.Module, but made a {kind}")
        grids = self._tried(224, 224)
        self.pyramid_channels = [grid.shape[1] for grid in grids]
        self.pyramid_strides = [round(224 / grid.shape[2]) for grid in grids]
        self.num_channels = self.pyramid_channels[-1]

    def forward(self, photos: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d h w"]:
        return self.pyramid(photos)[-1]

    def pyramid(self, photos: Float[Tensor, "b c y x"]) -> list[Tensor]:
        """All grids that the network returns."""
        return self._grids(self.body(photos))

    def _grids(self, output: Any) -> list[Tensor]:
        if isinstance(output, Mapping):
            output = output.get("feature_maps", list(output.values()))
        parts = list(output) if isinstance(output, list | tuple) else [output]
        grids = [part for part in parts if isinstance(part, Tensor) and part.ndim == 4]
        if not grids:
            last = parts[-1] if parts else None
            shape = f"shape {list(last.shape)}" if isinstance(last, Tensor) else type(last).__name__
            raise ValueError(f"'{self.name}' must return a grid [b d h w], but returns {shape}")
        return grids

    def grid_shape(self, y: int, x: int) -> tuple[int, int, int]:
        """Channels, height and width of the grid of a photo of this size, by trying it.

        Raises:
            ValueError: The network can't take such photos, or returns no grid.
        """
        grid = self._tried(y, x)[-1]
        return grid.shape[1], grid.shape[2], grid.shape[3]

    def _tried(self, y: int, x: int) -> list[Tensor]:
        place, was_training = next(self.body.parameters()), self.body.training
        photos = torch.zeros(1, self.in_channels, y, x, device=place.device, dtype=place.dtype)
        try:
            with torch.no_grad():
                output = self.body.eval()(photos)
        except Exception as error:  # the user's code
            raise ValueError(
                f"photos of {self.in_channels} channels and {y} x {x} pixels don't fit "
                f"'{self.name}': {str(error).splitlines()[0] if str(error) else repr(error)}"
            ) from error
        finally:
            self.body.train(was_training)
        return self._grids(output)


class TimmEncoder(nn.Module):
    """Any timm model that returns feature maps; the last of them is the encoder's output.

    A plain transformer's grid has passed its last norm and has no class or register tokens: it is
    timm's `forward_features` without them. Its position embedding is resampled to the photo.

    Networks that cut photos into patches (transformers, ConvNeXt) would drop or refuse what is left
    at the edges. They see photos resized to the nearest whole number of cells, at least one, so
    that the grid always covers the whole photo.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        stages: tuple[int, ...] = (-1,),
        *,
        drop_path: float = 0.0,
        cell: int | None = None,
    ) -> None:
        """Makes the model; `pyramid` gives the feature maps of these stages, the last one last.

        Stages, drop path and cell don't change the names or shapes of the weights.

        Args:
            name: Of the model.
            in_channels: Of the photos.
            stages: Numbers of the stages, as timm counts them.
            drop_path: The rate of stochastic depth (arXiv 1603.09382) at the last block; it grows
                from 0 at the first.
            cell: Side of the photo's squares that become a cell of the last grid, in pixels; a
                photo is resized for it. None: as the model has it.

        Raises:
            ValueError: The model has no drop path.
        """
        super().__init__()
        self.name, self.in_channels, self.drop_path = name, in_channels, drop_path
        self.body = timm_features(name, in_channels, stages, drop_path)
        info: Any = self.body.feature_info
        self.all_strides: list[int] = [stage["reduction"] for stage in info.info]
        self.own_stride: int = info.reduction()[-1]
        self.cell = cell or self.own_stride
        self.pyramid_channels: list[int] = info.channels()
        self.pyramid_strides: list[int] = [
            stride * self.cell // self.own_stride for stride in info.reduction()
        ]
        self.num_channels: int = self.pyramid_channels[-1]
        self.has_patches = any(
            _cuts_patches(name, part) for name, part in self.body.named_modules()
        )

    @property
    def own_size(self) -> tuple[int, int] | None:
        """Height and width of the photos that the model is made for."""
        size = (getattr(self.body, "pretrained_cfg", None) or {}).get("input_size")
        return None if size is None else (size[1], size[2])

    def recompute_activations(self) -> None:
        """Lets timm compute its blocks again in the backward pass.

        Raises:
            ValueError: If the model has batch norms, whose statistics timm would move twice, or
                doesn't know how.
        """
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in self.modules()):
            raise ValueError(f"loop.recompute doesn't work with the batch norms of '{self.name}'")
        body = getattr(self.body, "model", self.body)  # a transformer is wrapped once more
        switch = getattr(body, "set_grad_checkpointing", None)
        if not callable(switch):
            raise ValueError(f"loop.recompute doesn't work with '{self.name}'")
        switch(True)

    def forward(self, photos: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d h w"]:
        return self.pyramid(photos)[-1]

    def pyramid(self, photos: Float[Tensor, "b c y x"]) -> list[Tensor]:
        """The feature maps that were asked for, channels first."""
        return [
            grid.movedim(-1, 1) if grid.shape[1] != channels else grid  # Swin gives channels last
            for grid, channels in zip(
                self.body(self._fitted(photos)), self.pyramid_channels, strict=True
            )
        ]

    def _fitted(self, photos: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c h w"]:
        """Photos of whole cells, of `own_stride` pixels each."""
        if not self.has_patches:
            return photos
        rounded = [(side + self.cell // 2) // self.cell for side in photos.shape[-2:]]
        size: list[Any] = [torch.sym_max(1, cells) * self.own_stride for cells in rounded]
        # an exported graph takes photos of all sizes: it must not be decided for this one
        if not torch.compiler.is_exporting() and size == list(photos.shape[-2:]):
            return photos
        return interpolate(photos, size=size, mode="bilinear", align_corners=False)


def timm_features(
    name: str,
    in_channels: int,
    stages: tuple[int, ...] = (-1,),
    drop_path: float = 0.0,
    *,
    pretrained: bool = False,
) -> nn.Module:
    """A timm model that returns feature maps; a plain transformer's pass its last norm.

    Raises:
        ValueError: The model has no drop path.
    """
    import timm  # two seconds with torchvision, which ResNets don't need
    from timm.layers.drop import DropPath
    from timm.models._features import FeatureGetterNet

    options: dict[str, Any] = {"features_only": True, "out_indices": stages}
    options |= {"in_chans": in_channels, "pretrained": pretrained}
    if drop_path:
        options["drop_path_rate"] = drop_path
    if timm.model_entrypoint(name.partition(".")[0]).__module__.split(".")[-1] in PLAIN:
        options["feature_cls"] = functools.partial(FeatureGetterNet, norm=True)
    try:  # a transformer that takes photos of any size
        body = timm.create_model(name, dynamic_img_size=True, **options)
    except TypeError as of_size:
        try:
            body = timm.create_model(name, **options)
        except TypeError as error:
            if not drop_path:
                raise error from of_size
            body = None
    if drop_path and (body is None or not any(isinstance(m, DropPath) for m in body.modules())):
        raise ValueError(f"'{name}' has no drop path; leave drop_path out")
    assert body is not None
    return body


def _cuts_patches(name: str, part: nn.Module) -> bool:
    """Whether a convolution's windows stand side by side, but those inside of attention."""
    return (
        isinstance(part, nn.Conv2d)
        and part.kernel_size == part.stride != (1, 1)
        and part.padding in (0, (0, 0))
        and "attn" not in name
    )


@runtime_checkable
class PyramidEncoder(Protocol):
    """An encoder that returns the grid of each stage."""

    pyramid_channels: list[int]
    pyramid_strides: list[int]  # pixels to a cell

    def pyramid(self, photos: Tensor) -> list[Tensor]: ...


def with_pyramid(encoder: nn.Module) -> nn.Module:
    """An encoder with the same weights, by the same names, that gives what a detector needs.

    That is four grids of 4, 8, 16 and 32 pixels a cell, or one of one of these sizes (a plain
    transformer's), for a simple feature pyramid. ResNets come back as they are; a timm model is
    built again with more outputs, a transformer of patches of 14 pixels so that a cell is 16 pixels
    of a photo: it sees photos at 14/16 of their size.

    Raises:
        ValueError: A model whose grids have other strides.
    """
    if isinstance(encoder, TimmEncoder):
        encoder = _for_detection(encoder)
    assert isinstance(encoder, PyramidEncoder)
    strides = list(encoder.pyramid_strides)
    if strides != STRIDES and not (len(strides) == 1 and strides[0] in STRIDES):
        name = getattr(encoder, "name", type(encoder).__name__)
        raise ValueError(
            f"detection needs grids of 4, 8, 16 and 32 pixels a cell, or one of these alone, but "
            f"'{name}' here has {', '.join(map(str, strides))}; give stride=32 for a ResNet, or "
            f"take another model, as convnext_tiny"
        )
    return encoder


def _for_detection(encoder: TimmEncoder) -> TimmEncoder:
    strides, stages, cell = encoder.all_strides, (-1,), None
    if len(set(strides)) == 1:
        cell = 2 ** round(math.log2(strides[0]))
    elif set(STRIDES) <= set(strides) and strides[-1] == STRIDES[-1]:
        stage_of = {stride: number for number, stride in enumerate(strides)}
        stages = tuple(stage_of[stride] for stride in STRIDES)
    else:
        stages = tuple(range(len(strides)))
    made = TimmEncoder(
        encoder.name, encoder.in_channels, stages, drop_path=encoder.drop_path, cell=cell
    )
    made.load_state_dict(encoder.state_dict())
    return made
