"""Settings of a transfer, and of a probe during pretraining."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from detcon.config import Recipe, is_recorded, shown, split_list
from detcon.downstream.tasks.depth.recipe import DepthRecipe
from detcon.downstream.tasks.detection.recipe import DetectionRecipe
from detcon.downstream.tasks.own.recipe import OwnRecipe
from detcon.downstream.tasks.probes.recipe import KnnSegmentationRecipe, ProbeRecipe
from detcon.downstream.tasks.segmentation.recipe import SegmentationRecipe
from detcon.downstream.tasks.settings import Count, Side
from detcon.formats.reading.holdout import Holdout
from detcon.formats.registry import FormatName
from detcon.models.recipe import EncoderRecipe
from detcon.train.recipe import LoopRecipe

FineTuned = SegmentationRecipe | DetectionRecipe | DepthRecipe
TaskRecipe = FineTuned | ProbeRecipe | OwnRecipe
BACKBONE = "file, torchvision:resnet50, timm:convnext_atto, or random"
Labels = Annotated[
    Count | None, Field(description="use only this many labelled training photos; null: all")
]
KINDS: dict[str, Any] = {one.model_fields["kind"].default: one for one in get_args(TaskRecipe)}


def task_name(task: TaskRecipe) -> str:
    """The kind of a task; of the user's own, where it is."""
    return task.function if isinstance(task, OwnRecipe) else task.kind


class TaskSettings(Recipe):
    """A task, and the labelled data that it is learnt from and scored on."""

    task: TaskRecipe = Field(
        default=SegmentationRecipe(),
        discriminator="kind",
        description="fine-tune an FCN, a Mask R-CNN or a depth head; or linear_segmentation, "
        "knn_segmentation, linear_classification, knn_classification: probes of the frozen "
        "encoder; or own: a class of your own",
    )
    data: str = Field(description="folder of the labelled data")
    format: FormatName = Field(
        default="folder",
        description="its layout: train/ and val/ with images/ and labels/ or depth/, for "
        "classification with a folder for each class; or a data set as downloaded or exported; "
        "auto: recognised",
    )
    val: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the photos that are drawn for validation, by a hash of their names, "
        "where the data set has no val",
    )
    val_groups: str | None = Field(
        default=None,
        description="keep groups of photos together when val is drawn: a text such as _ groups "
        "photos whose names are the same up to it, / those of one folder; or a .csv of photo,group",
    )
    val_photos: Count | None = Field(
        default=None,
        description="score on so many validation photos alone, drawn by a hash of their names: "
        "faster, and not to be compared with figures of all; null: all",
    )
    size: Side | None = Field(
        default=None, description="longest side of the photos, shrunk when read; null: as is"
    )
    stride: Literal[8, 16, 32] | None = Field(
        default=16,
        description="pixels to a cell of the features; detection and depth: 32; null: the "
        "backbone's",
    )

    @property
    def holdout(self) -> Holdout | None:
        """How val is drawn where the data set has none."""
        return None if self.val is None else Holdout(self.val, self.val_groups)

    @model_validator(mode="after")
    def _groups_need_a_share(self) -> "TaskSettings":
        if self.val_groups is not None and self.val is None:
            raise ValueError("val_groups is for a val that is drawn; give val=0.2 too")
        return self

    @classmethod
    def with_derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The task's usual stride, where none is given."""
        task = KINDS.get(_kind(cls, values))
        return {"stride": getattr(task, "usual_stride", 16), **values}

    @model_validator(mode="before")
    @classmethod
    def _task_has_its_own(cls, values: Any, info: Any) -> Any:
        if not isinstance(values, dict) or not set(FLAT) & set(values):
            return values
        kind = _kind(cls, values)
        if not is_recorded(info):
            raise ValueError(_new_places(values, kind))
        return from_flat(values, kind)


class TransferSettings(TaskSettings):
    """Settings that all cells of a transfer share."""

    backbone_sha256: str | None = Field(
        default=None, description="of the file; computed and recorded, checked where given"
    )
    backbone_partial: bool = Field(
        default=False,
        description="take what matches of the file, leave the rest fresh, and report the match",
    )
    encoder: EncoderRecipe | None = Field(
        default=None, description="for a backbone that doesn't name its architecture"
    )
    out: str = Field(description="run folder; each seed has its own in it")
    seeds: int = Field(default=1, ge=1, description="runs, each with the next seed")
    seed: int = Field(default=0, ge=0, description="of the labelled subset, order, fresh weights")
    workers: int = Field(default=0, ge=0, description="processes that read and cut photos")
    loop: LoopRecipe = Field(default=LoopRecipe(), description="precision, logs, checkpoints")

    @model_validator(mode="after")
    def _drops_paths_in_the_task(self) -> "TransferSettings":
        if self.encoder is not None and self.encoder.drop_path:
            raise ValueError(
                f"encoder.drop_path is for a pretraining; give task.drop_path="
                f"{self.encoder.drop_path:g}, with a task that fine-tunes"
            )
        return self


class TransferRecipe(TransferSettings):
    """One cell of a transfer: one backbone, one amount of labels, one seed."""

    backbone: str = Field(description=BACKBONE)
    labels: Labels = None


def _several(value: Any) -> Any:
    """`A,B` on the command line is a list, as in YAML; "all" labels are null."""
    if isinstance(value, str) and "," in value:
        parts = [word for word in split_list(value) if word]
        value = value if parts == [value] else parts
    if isinstance(value, list | tuple):
        return tuple(None if one == "all" else one for one in value)
    return None if value == "all" else value


def _differ(value: Any) -> Any:
    if isinstance(value, tuple) and len(set(value)) < len(value):
        raise ValueError("name each only once")
    return value


def _amounts(value: Any) -> Any:
    """Checks numbers of photos; "all" stands for all of them."""
    value = _several(value)
    for one in value if isinstance(value, tuple) else (value,):
        if one is not None and (not str(one).isdigit() or int(one) < 1):
            raise ValueError("give numbers of photos, or all, as in labels=50,100,all")
    return value


Names = Annotated[str | tuple[str, ...], BeforeValidator(_several), AfterValidator(_differ)]
Amount = Count | None
Amounts = Annotated[Amount | tuple[Amount, ...], BeforeValidator(_amounts), AfterValidator(_differ)]


class GridRecipe(TransferSettings):
    """Trains a task from each backbone with each amount of labels, and scores it."""

    shelf: ClassVar[str] = "transfer"

    backbone: Names = Field(description=f"{BACKBONE}; several: A,B,random")
    labels: Amounts = Field(
        default=None,
        description="use only this many labelled training photos; null: all; several: 50,100,all",
    )

    @property
    def backbones(self) -> tuple[str, ...]:
        """Each backbone to try."""
        return (self.backbone,) if isinstance(self.backbone, str) else self.backbone

    @property
    def amounts(self) -> tuple[int | None, ...]:
        """Each amount of labels to try; None for all."""
        return self.labels if isinstance(self.labels, tuple) else (self.labels,)

    @property
    def is_grid(self) -> bool:
        """Whether there are several backbones or amounts of labels, not only seeds."""
        return isinstance(self.backbone, tuple) or isinstance(self.labels, tuple)


class ProbingRecipe(TaskSettings):
    """Measures the encoder by a probe, now and then during pretraining."""

    every: int = Field(ge=1, description="steps between probes; the last step has one too")
    task: ProbeRecipe = Field(
        default=KnnSegmentationRecipe(),
        discriminator="kind",
        description="how classes are read off the frozen features",
    )
    labels: Labels = None


class LabelFreeRecipe(Recipe):
    """Photos and views on which an encoder is measured without labels."""

    photos: int = Field(default=128, ge=2, description="photos of the sample, always the same")
    views: int = Field(
        default=8, ge=2, multiple_of=2, description="augmented views of each, for LiDAR"
    )
    neighbours: int = Field(
        default=10, ge=1, description="nearest regions of other photos, compared with the start's"
    )


class LabelFreeWatch(LabelFreeRecipe):
    """Measures the encoder without labels, now and then during pretraining."""

    every: int | None = Field(
        default=None,
        ge=1,
        description="steps between measurements; null: probing.every, if "
        "given, else a tenth of the run, or more where measuring would take longer than the steps",
    )
    figure: Literal["rankme", "lidar"] = Field(
        default="lidar",
        description="without probing: report a fall below 70 % of the start, and keep the last "
        "backbone before it",
    )


FLAT = (
    "crop", "scale", "flip", "ignore", "num_classes", "head_channels", "dilation", "detector",
    "centre", "probe", "knn", "depth", "batch_size", "steps", "optimizer", "schedule",
)  # fmt: skip
"""Settings of tasks that version 0.1 had at the top, for all tasks alike."""
UNPACKED = ("probe", "knn", "depth")
"""Those that were groups, and whose settings stand in `task` itself now."""


def from_flat(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Brings a recipe that version 0.1 saved into today's form.

    Settings that the task doesn't have are dropped: every task recorded those of all others.
    """
    flat: dict[str, Any] = {}
    for name in FLAT:
        if name in values:
            flat |= values[name] if name in UNPACKED else {name: values[name]}
    own = {name: value for name, value in flat.items() if name in KINDS[kind].model_fields}
    rest = {name: value for name, value in values.items() if name not in FLAT}
    return rest | {"task": {"kind": kind, **own}}


def _kind(model: type[Recipe], values: Mapping[str, Any]) -> str:
    """The kind of task that settings name, or the default of the model."""
    default = model.model_fields["task"].default
    task = values.get("task", default)
    if isinstance(task, Mapping):
        task = task.get("kind", default)
    return getattr(task, "kind", task)


def _new_places(values: Mapping[str, Any], kind: str) -> str:
    """Where settings are now that were at the top before."""
    moved = []  # old name, new name, value
    for name in (name for name in FLAT if name in values):
        value, place = values[name], "task" if name in UNPACKED else f"task.{name}"
        group = value if isinstance(value, Mapping) else None
        parts = {"": value} if group is None else {f".{one}": v for one, v in group.items()}
        moved += [(name + end, place + end, inner) for end, inner in parts.items()]
    known = KINDS[kind].model_fields if kind in KINDS else {}
    give = [f"{new}={shown(value)}" for _, new, value in moved if new.split(".")[1] in known]
    drop = [old for old, new, _ in moved if new.split(".")[1] not in known]
    names = ", ".join(f"'{old}'" for old, _, _ in moved)
    what = "is a setting of the task" if len(moved) == 1 else "are settings of the task"
    ways = [f"give {' '.join(give)}"] if give else []
    ways += [f"leave out {', '.join(drop)}, which {kind} doesn't have"] if drop else []
    return f"{names} {what} now: {'; '.join(ways)}"


class PredictRecipe(Recipe):
    """Predicts for many photos with a model of `detcon transfer`."""

    model: str = Field(description="model.safetensors of a transfer, or the folder it lies in")
    images: str = Field(description="folder of photos, or a manifest")
    out: str = Field(description="folder of the predictions")
    encoder: EncoderRecipe | None = Field(
        default=None,
        description="the architecture, where it is a network of your own: package.module:function",
    )
    task: str | None = Field(
        default=None, description="the task, where it is your own: package.module:name"
    )
    format: Literal["auto", "coco", "yolo", "labelme", "voc_xml", "folder"] = Field(
        default="auto",
        description="auto: PNG of classes or depth, COCO's results of a detector, CSV of classes; "
        "coco, yolo, labelme, voc_xml: labels of objects, to be corrected and learnt from; of "
        "these voc_xml holds boxes alone; folder: a labelled folder's maps and photos",
    )
    score: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="least score of an object that is drawn, and written in one of these formats",
    )
    draw: bool = Field(default=True, description="draw each prediction next to its photo")
    batch_size: int = Field(default=8, ge=1, description="photos that are predicted at once")
    workers: int = Field(default=0, ge=0, description="processes that read photos")
    accelerator: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="device")
