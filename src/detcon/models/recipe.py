"""Settings of an encoder and of its input, without the networks: no torch is loaded here."""

import difflib
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from detcon.config import Recipe, is_recorded, shown

BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
RESNETS = {f"resnet{depth}": depth for depth in (*BASIC, *BOTTLENECK)}

WeightsSource = Annotated[
    str, Field(description="backbone file or checkpoint, torchvision:resnet50, timm:convnext_atto")
]
Digest = Annotated[
    str | None, Field(description="of the tensors; computed and recorded, checked where given")
]


class Normalisation(Recipe):
    """Mean and standard deviation of the channels of photos in [0, 1]."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    @classmethod
    def of(cls, channels: int) -> "Normalisation":
        """ImageNet's for RGB; other channels are brought from [0, 1] to [-2, 2]."""
        if channels == 3:
            return cls()
        return cls(mean=(0.5,) * channels, std=(0.25,) * channels)


class EncoderRecipe(Recipe):
    """Which network turns a photo into a grid of features."""

    main: ClassVar[str] = "name"

    name: str = Field(
        default="resnet50",
        description="resnet18 to resnet200, a timm model, or your own network as "
        "package.module:function",
    )
    width: float = Field(default=1.0, gt=0, description="multiplies the channels of a ResNet")
    stride: int = Field(default=32, description="pixels to a cell of the grid: 32, 16, 8")
    same_padding: bool = Field(default=False, description="TensorFlow's padding of strides")
    in_channels: int = Field(default=3, ge=1, description="channels of the photos")
    zero_init: bool = Field(
        default="auto",
        validate_default=True,
        description="residual branches start at scale 0; false: at 1; auto: as the official code, "
        "0 in the bottlenecks of ResNet-50 and deeper, 1 in ResNet-18 and -34",
    )
    project_first: bool = Field(
        default=False,
        description="a convolution on the first block's shortcut in a ResNet-18 or -34, as in "
        "the official code; torchvision has none",
    )
    drop_path: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of photos that skip a timm model's last block while it learns "
        "(stochastic depth); earlier blocks are skipped less",
    )

    @classmethod
    def with_derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Resets `zero_init` where another network is named: each has a default of its own."""
        return {"zero_init": "auto", **values} if "name" in values else values

    @field_validator("zero_init", mode="before")
    @classmethod
    def _of_network(cls, value: Any, info: Any) -> Any:
        """Resolves "auto" as Haiku does: the last norms of bottlenecks begin at 0, no others.

        Recipes from before this setting all began at 0.
        """
        if value != "auto":
            return value
        return is_recorded(info) or RESNETS.get(info.data.get("name")) not in BASIC

    @model_validator(mode="after")
    def _is_known(self) -> "EncoderRecipe":
        _check_stride(self.stride)
        if self.name not in RESNETS:
            if not self.is_own:
                _check_timm(self.name)
            usual = {"width": 1.0, "stride": 32, "same_padding": False, "zero_init": True}
            given = [name for name, value in usual.items() if getattr(self, name) != value]
            if given:
                without = " ".join(f"encoder.{name}={shown(usual[name])}" for name in given)
                those = "that" if len(given) == 1 else "those"
                raise ValueError(
                    f"'{self.name}' is no ResNet and takes no {', no '.join(given)}, which the "
                    f"recipe sets if you didn't; give {without} in place of {those}"
                )
        if self.project_first and RESNETS.get(self.name) not in BASIC:
            raise ValueError(
                f"project_first applies to resnet18 and resnet34 alone, not to '{self.name}'"
            )
        return self

    def check_drop_path(self) -> None:
        """Refuses drop path where there is none.

        Raises:
            ValueError: The network isn't timm's.
        """
        if self.drop_path and (self.is_own or self.name in RESNETS):
            raise ValueError(
                f"drop_path applies to timm models alone, not to '{self.name}'; leave it out"
            )

    @property
    def is_own(self) -> bool:
        """Whether the network is the user's own, `package.module:function`."""
        return ":" in self.name

    def with_stride(self, stride: int | None) -> "EncoderRecipe":
        """The same ResNet with another stride; a timm model keeps its own.

        Raises:
            ValueError: There is no such stride.
        """
        if stride is None or self.name not in RESNETS:
            return self
        _check_stride(stride)
        return self.model_copy(update={"stride": stride})


def _check_timm(name: str) -> None:
    import timm  # which loads torch: only for the networks that need it

    if not timm.is_model(name):
        raise ValueError(f"there is no encoder '{name}'{near_encoders(name)}")


def near_encoders(name: str) -> str:
    """The end of a message on a wrong name: those that hold it or are most like it, or some."""
    import timm

    names = timm.list_models()
    ours = difflib.get_close_matches(name, RESNETS, n=1, cutoff=0.8)
    holding = sorted((one for one in names if name in one), key=lambda one: one.find(name))
    near = dict.fromkeys([*ours, *(holding or difflib.get_close_matches(name, names))][:4])
    if not near:
        return f"; give one of {', '.join(RESNETS)}, or of timm's, as convnext_atto"
    return f"; near: {', '.join(near)}"


def _check_stride(stride: int) -> None:
    if stride not in (8, 16, 32):
        raise ValueError(f"an encoder's stride can be 8, 16 or 32, not {stride}")
