"""Settings of the methods."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from detcon.config import Recipe
from detcon.models.recipe import Digest, EncoderRecipe, WeightsSource

Regions = Annotated[int, Field(ge=1, description="masks sampled per view")]
Temperature = Annotated[float, Field(gt=0, description="divides the cosine similarities")]
Hidden = Annotated[int, Field(ge=1, description="hidden width of projector and predictor")]
Outputs = Annotated[int, Field(ge=1, description="size of the embedding")]
Local = Annotated[bool, Field(description="other masks of the same photo are negatives")]
Negatives = Annotated[
    str,
    Field(
        pattern="^(all|1/[1-9][0-9]*)$",
        description="photos that give negatives: all of the batch, or a share such as 1/4",
    ),
]
Ema = Annotated[
    float, Field(ge=0, le=1, description="EMA rate of the target network, at the start")
]


class DetConS(Recipe):
    """DetCon on SimCLR: one network, regions contrasted between two views."""

    kind: Literal["detcon_s"] = "detcon_s"
    num_regions: Regions = 16
    temperature: Temperature = 0.1
    local_negatives: Local = True
    negatives: Negatives = "all"
    hidden: Hidden = 2048
    outputs: Outputs = 128


class DetConB(Recipe):
    """DetCon on BYOL: a predictor, and a target network that follows."""

    kind: Literal["detcon_b"] = "detcon_b"
    num_regions: Regions = 16
    temperature: Temperature = 0.1
    local_negatives: Local = True
    negatives: Negatives = "all"
    hidden: Hidden = 4096
    outputs: Outputs = 256
    ema: Ema = 0.996


class SimCLR(Recipe):
    """SimCLR: whole views contrasted between photos."""

    kind: Literal["simclr"] = "simclr"
    temperature: Temperature = 0.1
    negatives: Negatives = "all"
    hidden: Hidden = 2048
    outputs: Outputs = 128


class BYOL(Recipe):
    """BYOL: whole views regressed onto a target network that follows; no negatives."""

    kind: Literal["byol"] = "byol"
    hidden: Hidden = 4096
    outputs: Outputs = 256
    ema: Ema = 0.996


class RegionBYOL(Recipe):
    """BYOL of regions: each regressed onto itself in the other view; no negatives.

    The loss of R2O (arXiv:2208.11821), which finds its regions while it learns: `discovery`.
    """

    kind: Literal["region_byol"] = "region_byol"
    num_regions: Regions = 16
    hidden: Hidden = 4096
    outputs: Outputs = 256
    ema: Ema = 0.996


class TeacherRecipe(Recipe):
    """The frozen network whose features of regions are distilled."""

    main: ClassVar[str] = "source"

    source: WeightsSource
    digest: Digest = None
    encoder: EncoderRecipe | None = Field(
        default=None,
        description="its architecture, where the source doesn't tell: a timm model's checkpoint",
    )
    stride: Literal[8, 16, 32] | None = Field(
        default=None, description="output stride of a ResNet; null: that of the source"
    )
    size: int | None = Field(
        default=None,
        ge=1,
        description="side in pixels to which views are resized for the teacher, such as a "
        "multiple of its patches; null: views.size",
    )


class RegionDistillation(Recipe):
    """Distillation of a frozen teacher's features of regions, whatever its grid."""

    kind: Literal["region_distillation"] = "region_distillation"
    teacher: TeacherRecipe = Field(
        description="the teacher: method.teacher=FILE, torchvision:NAME or timm:NAME"
    )
    num_regions: Regions = 16
    objective: Literal["contrast", "regression"] = Field(
        default="contrast",
        description="contrast: find the teacher's feature of the region among all of the batch; "
        "regression: cosine with it",
    )
    temperature: Temperature = 0.07
    local_negatives: Local = True
    negatives: Negatives = "all"
    hidden: Hidden = 2048
    outputs: Outputs = 256


class Supervised(Recipe):
    """Classification of whole photos: the baseline with labels."""

    kind: Literal["supervised"] = "supervised"
    classes: str = Field(default="folders", description="folders, or a CSV with path and class")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="spread over all classes")


MethodRecipe = Annotated[
    DetConS | DetConB | SimCLR | BYOL | RegionBYOL | RegionDistillation | Supervised,
    Field(discriminator="kind"),
]
WithMasks = DetConS | DetConB | RegionBYOL | RegionDistillation
WithTarget = DetConB | BYOL | RegionBYOL


def kinds_with_masks() -> str:
    """The methods that learn from masks, for messages: `detcon_s, detcon_b or region_byol`."""
    *kinds, last = (one.model_fields["kind"].default for one in get_args(WithMasks))
    return f"{', '.join(kinds)} or {last}"


def num_groups(method: MethodRecipe) -> int | None:
    """The number of groups that `negatives` cuts the batch into; None without contrast."""
    if isinstance(method, BYOL | RegionBYOL | Supervised):
        return None
    if isinstance(method, RegionDistillation) and method.objective == "regression":
        return None
    return 1 if method.negatives == "all" else int(method.negatives.removeprefix("1/"))
