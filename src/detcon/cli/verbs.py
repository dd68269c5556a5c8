"""The commands of the command line, in one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from shlex import quote
from typing import Any


@dataclass(frozen=True)
class Verb:
    """One command: its settings, its function, an example, and the next command.

    Attributes:
        does: Its description, in one line.
        recipe: "module:Class" of its settings, in `detcon`.
        function: "module:name" of the function that is called with the loaded recipe.
        then: From the settings to the command that a user would want next; several, a line each.
        flags: Switches `--NAME`, which stand for `NAME=true`, and their descriptions.
        bare: The setting of a first word without `=` that is no YAML file; with "*", of all words
            without `=`. Otherwise such a word names a recipe.
        table: "module:name" of a function from the settings to a table of results to print.
        page: Whether a page of the results is made afterwards.
        parts: The files in `out`, as a pattern, that change only where there was something to do;
            "*" where `out` is a file.
        records_words: Whether the function records the words of the command line.
    """

    does: str
    recipe: str
    function: str
    example: str
    then: Callable[[Any], str] = lambda settings: ""
    flags: Mapping[str, str] = field(default_factory=dict)
    bare: str = ""
    table: str = ""
    page: Callable[[Any], bool] = lambda settings: False
    parts: str = ""
    records_words: bool = False


def _own_code(settings: Any) -> str:
    """The user's own network and task, which no file may run by naming them."""
    encoder = settings.encoder
    task: Any = getattr(settings, "task", None)
    words = [f" encoder.name={quote(encoder.name)}"] if encoder and encoder.is_own else []
    if getattr(task, "kind", None) == "own":
        words.append(f" task={quote(task.function)}")
    return "".join(words)


_AFTER_SCENES = {
    "folder": "detcon masks images={out}/train/images out={out}-masks",
    "coco": "detcon masks images={out}/train2017 out={out}-masks",
    "voc": "detcon masks images={out}/VOCdevkit/VOC2012/JPEGImages out={out}-masks",
    "cityscapes": "detcon masks images={out}/leftImg8bit/train out={out}-masks",
    "nyu": "",
}

_OTHER_TASKS = (
    "  # fine-tuned: folder_fcn, objects: coco_mask_rcnn_small, depth: folder_depth, "
    "classes of photos: folder_linear_classification"
)

_AFTER_CONVERT = {
    "png": "detcon masks images=PHOTOS out=OTHER generator.kind=annotations generator.folder={out}",
    "coco": "detcon masks images=PHOTOS out=OTHER generator.kind=annotations generator.format=coco "
    "generator.folder={out}/masks.json",
    "tfrecord": "detcon masks images=PHOTOS out=OTHER generator.kind=annotations "
    "generator.format=tfrecord generator.folder={out}",
}

VERBS = {
    "demo": Verb(
        "Run every step on built-in scenes: masks, pretraining, transfer and a page of results.",
        "demo:DemoRecipe",
        "demo:demo",
        "detcon demo",
        flags={"quick": "a smaller demo, in a minute"},
        then=lambda s: f"open {quote(s.out)}/report.html in a browser",
    ),
    "scenes": Verb(
        "Render built-in scenes, or compose cut-outs on photos, with exact labels.",
        "scenes.write:ScenesRecipe",
        "scenes.write:make_scenes",
        "detcon scenes out=scenes num=2000 size=160 seed=0",
        lambda s: _AFTER_SCENES[s.format].format(out=quote(s.out)),
    ),
    "masks": Verb(
        "Find the masks of a folder of photos, and store them.",
        "masks.recipe:MasksRecipe",
        "masks.store.fill:make_masks",
        "detcon masks felzenszwalb images=photos out=masks",
        lambda s: f"detcon show images={quote(s.images)} masks={quote(s.out)} out=sheet.png",
        flags={"check": "make masks again that are damaged, or older than what they are made of"},
        parts="shards/*",
    ),
    "score": Verb(
        "Score masks against annotations, before spending time on pretraining.",
        "report.recipe:ScoreRecipe",
        "report.score:score",
        "detcon score masks=grid,felzenszwalb truth=labels out=score.html",
        lambda s: f"open {quote(s.out)} in a browser",
        table="report.score:score_table",
    ),
    "show": Verb(
        "Draw photos, their masks and two views of each on one sheet.",
        "report.recipe:ShowRecipe",
        "report.sheet:show",
        "detcon show images=photos masks=masks out=sheet.png",
    ),
    "convert": Verb(
        "Write masks as PNG files, as COCO's JSON, or as the official TFRecords.",
        "masks.recipe:ConvertRecipe",
        "masks.store.convert:convert_masks",
        "detcon convert masks=masks to=png out=masks-png",
        lambda s: f"to read them again, {_AFTER_CONVERT[s.to].format(out=quote(s.out))}",
    ),
    "train-ranker": Verb(
        "Learn from annotated photos which candidate masks of MCG are objects.",
        "masks.recipe:TrainRankerRecipe",
        "masks.sources.mcg.training:train_ranker",
        "detcon train-ranker images=photos truth=labels out=ranker.npz",
        lambda s: (
            f"detcon masks {s.generator.kind} images=PHOTOS out=MASKS "
            f"generator.ranker={quote(s.out)}"
        ),
    ),
    "pretrain": Verb(
        "Pretrain a backbone on photos and their masks.",
        "pretraining.recipe:PretrainRecipe",
        "pretraining.training:pretrain",
        "detcon pretrain detcon_s_small images=photos masks=masks out=run",
        lambda s: (
            f"detcon transfer folder_linear backbone={quote(s.out)}/backbone.safetensors "
            f"data=LABELLED out={quote(s.out)}-transfer{_own_code(s)}{_OTHER_TASKS}"
        ),
        parts="backbone.safetensors",
    ),
    "transfer": Verb(
        "Train and score a task with few labels on one backbone, or on a grid of them.",
        "downstream.recipe:GridRecipe",
        "downstream.transfer:transfer",
        "detcon transfer folder_fcn backbone=run/backbone.safetensors data=labelled "
        "out=run-transfer labels=100 seeds=3",
        lambda s: (
            ""
            if s.is_grid
            else f"detcon predict model={quote(s.out)}/seed{s.seed} images=PHOTOS "
            f"out={quote(s.out)}-found{_own_code(s)}  # the validation photos: "
            f"images={quote(s.out)}/seed{s.seed}/val.txt; figures and pictures: "
            f"detcon report {quote(s.out)}"
        ),
        page=lambda s: s.is_grid,
    ),
    "adapt": Verb(
        "Adapt existing weights to your photos, and learn whether it helped.",
        "adapting.recipe:AdaptRecipe",
        "adapting.adapt:adapt",
        "detcon adapt images=photos weights=torchvision:resnet50 data=labelled out=adapted",
        lambda s: import_module("detcon.adapting.afterwards").what_to_do_with_it(s),
    ),
    "predict": Verb(
        "Run a finished model on photos: label maps, boxes and masks, or depth.",
        "downstream.recipe:PredictRecipe",
        "downstream.predicting:predict",
        "detcon predict model=run-transfer/seed0 images=photos out=found",
        lambda s: import_module("detcon.downstream.again").how_to_learn_again(s),
        parts="predicted.jsonl",
    ),
    "embed": Verb(
        "Write a vector for each photo, region or cell; find the nearest to a photo.",
        "embedding.recipe:EmbedRecipe",
        "embedding.table:embed",
        "detcon embed backbone=run/backbone.safetensors images=photos of=regions masks=masks "
        "out=regions.parquet near=photos/a.jpg",
        lambda s: (
            "" if s.near else f"the same command with near=PHOTO, for the {s.of} nearest to it"
        ),
        table="embedding.nearest:summary",
        parts="*",
    ),
    "export": Verb(
        "Write a backbone for torchvision, timm, transformers, smp, mmseg, mmdet or others.",
        "exporting.recipe:ExportRecipe",
        "exporting.write:export",
        "detcon export backbone=run/backbone.safetensors to=torchvision out=backbone.pth",
        lambda s: import_module("detcon.exporting.reloading").how_to_open(s),
        table="exporting.reloading:summary",
    ),
    "import": Verb(
        "Read DeepMind's released weights (.npy) into a backbone file.",
        "importing.recipe:ImportRecipe",
        "importing.write:import_weights",
        "detcon import resnet50_detcon_b_imagenet_1k.npy out=detcon_b.safetensors",
        lambda s: (
            f"detcon transfer folder_fcn backbone={quote(s.out)} data=LABELLED out=transfer"
            f"{_OTHER_TASKS}"
        ),
        bare="weights",
        table="importing.write:imported_table",
    ),
    "report": Verb(
        "Make one HTML page of run folders: losses, masks, results and predictions.",
        "report.recipe:ReportRecipe",
        "report.page:write_report_page",
        "detcon report runs/* out=report.html",
        lambda s: f"open {quote(s.out)} in a browser",
        bare="runs*",
    ),
    "study": Verb(
        "Run a grid of pretrainings and transfers to test a claim, and report the results.",
        "study.recipe:StudyRecipe",
        "study.running:run_study",
        "detcon study studies/quick.yaml",
        lambda s: "" if s.report else "the same command with --report, for figure and tables",
        flags={"plan": "only list the cells and their hours", "report": "only write the report"},
        records_words=True,
    ),
}
