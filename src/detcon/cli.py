"""The command line: a verb, an optional recipe, and `name=value` for everything else.

A verb's settings are its recipe's fields, so its help and its checks come from there, and its
Python function takes the same names.
"""

import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import detcon
from detcon.config import Recipe, RecipeError, load_recipe, parse_overrides, records_within, to_yaml

app = typer.Typer(
    help="Object-level self-supervised pretraining by contrastive detection.\n\n"
    "Photos become masks, masks a backbone, a backbone a better detector or segmenter.",
    epilog="Each verb takes an optional recipe and name=value settings: detcon VERB --help. "
    "An interrupted command, given again, goes on where it stopped.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
OURS = {"ignore_unknown_options": False, "help_option_names": []}
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


@dataclass(frozen=True)
class Verb:
    """One command: where its recipe and its function live, and what comes after it.

    Attributes:
        recipe: "module:Class" of its settings.
        function: "module:name" of what it calls.
        example: A command line that works.
        then: From the settings to the command that a user would want next.
        shown: "module:name" of what makes a table of the settings' results, to be printed.
    """

    recipe: str
    function: str
    example: str
    then: Callable[[Any], str] = lambda settings: ""
    shown: str = ""


_AFTER_EXPORT = {
    "torchvision": "torchvision.models.NAME().load_state_dict(STATE, strict=False) of {out}",
    "timm": "timm.create_model(NAME, num_classes=0, checkpoint_path='{out}')",
    "detectron2": "in its configuration MODEL.WEIGHTS: {out}, INPUT.FORMAT: RGB, "
    "MODEL.RESNETS.STRIDE_IN_1X1: false, PIXEL_MEAN and PIXEL_STD of 255 times the normalisation",
    "onnx": "onnxruntime.InferenceSession('{out}').run(None, {{'photos': PHOTOS}})",
    "hub": "complete {out}/README.md, then hf upload OWNER/NAME {out}",
}

_AFTER_SCENES = {
    "folder": "detcon masks images={out}/train/images out={out}-masks",
    "coco": "detcon masks images={out}/train2017 out={out}-masks",
    "voc": "detcon masks images={out}/VOCdevkit/VOC2012/JPEGImages out={out}-masks",
    "cityscapes": "detcon masks images={out}/leftImg8bit/train out={out}-masks",
    "nyu": "",
}

_AFTER_CONVERT = {
    "png": "detcon masks images=PHOTOS out=OTHER generator.kind=annotations generator.folder={out}",
    "coco": "detcon masks images=PHOTOS out=OTHER generator.kind=annotations generator.format=coco "
    "generator.folder={out}/masks.json",
    "tfrecord": "detcon masks images=PHOTOS out=OTHER generator.kind=annotations "
    "generator.format=tfrecord generator.folder={out}",
}

VERBS = {
    "scenes": Verb(
        "scenes.write:ScenesRecipe",
        "scenes.write:make_scenes",
        "detcon scenes out=scenes num=2000 size=160 seed=0",
        lambda s: _AFTER_SCENES[s.format].format(out=s.out),
    ),
    "masks": Verb(
        "masks.recipe:MasksRecipe",
        "masks.store.fill:make_masks",
        "detcon masks recipes/masks/felzenszwalb.yaml images=photos out=masks",
        lambda s: f"detcon show images={s.images} masks={s.out} out=sheet.png",
    ),
    "train-ranker": Verb(
        "masks.recipe:TrainRankerRecipe",
        "masks.sources.mcg.training:train_ranker",
        "detcon train-ranker images=photos truth=labels out=ranker.npz",
        lambda s: (
            f"detcon masks recipes/masks/{s.generator.kind}.yaml images=PHOTOS out=MASKS "
            f"generator.ranker={s.out}"
        ),
    ),
    "score": Verb(
        "report.score:ScoreRecipe",
        "report.score:score",
        "detcon score masks=grid,felzenszwalb truth=labels out=score.html",
        lambda s: f"open {s.out} in a browser",
        "report.score:score_table",
    ),
    "convert": Verb(
        "masks.recipe:ConvertRecipe",
        "masks.store.convert:convert_masks",
        "detcon convert masks=masks to=png out=masks-png",
        lambda s: f"to read them back, {_AFTER_CONVERT[s.to].format(out=s.out)}",
    ),
    "show": Verb(
        "report.sheet:ShowRecipe",
        "report.sheet:show",
        "detcon show images=photos masks=masks out=sheet.png",
    ),
    "pretrain": Verb(
        "pretraining.recipe:PretrainRecipe",
        "pretraining.training:pretrain",
        "detcon pretrain recipes/pretrain/detcon_s_small.yaml images=photos masks=masks out=run",
        lambda s: (
            "detcon transfer recipes/transfer/folder_linear.yaml "
            f"backbone={s.out}/backbone.safetensors data=LABELLED out={s.out}-transfer"
        ),
    ),
    "transfer": Verb(
        "downstream.recipe:GridRecipe",
        "downstream.transfer:transfer",
        "detcon transfer recipes/transfer/folder_fcn.yaml backbone=run/backbone.safetensors "
        "data=labelled out=run-transfer labels=100 seeds=3",
        lambda s: (
            ""
            if s.is_grid
            else f"detcon predict model={s.out}/seed{s.seed} images=PHOTOS out=found"
        ),
    ),
    "predict": Verb(
        "downstream.predicting:PredictRecipe",
        "downstream.predicting:predict",
        "detcon predict model=run-transfer/seed0 images=photos out=found",
    ),
    "export": Verb(
        "exporting.recipe:ExportRecipe",
        "exporting.write:export",
        "detcon export backbone=run/backbone.safetensors to=torchvision out=backbone.pth",
        lambda s: _AFTER_EXPORT[s.to].format(out=s.out),
    ),
    "import": Verb(
        "importing.recipe:ImportRecipe",
        "importing.write:import_weights",
        "detcon import resnet50_detcon_b_imagenet_1k.npy out=detcon_b.safetensors",
        lambda s: (
            "detcon transfer recipes/transfer/folder_fcn.yaml "
            f"backbone={s.out} data=LABELLED out=transfer"
        ),
        "importing.write:imported_table",
    ),
    "study": Verb(
        "study:StudyRecipe",
        "study:run_study",
        "detcon study studies/quick.yaml",
        lambda s: "" if s.report else "the same command with --report, for figure and tables",
    ),
    "demo": Verb(
        "demo:DemoRecipe",
        "demo:demo",
        "detcon demo",
        lambda s: f"open {s.out}/report.html in a browser",
    ),
}


def main() -> None:
    """The entry point of the command `detcon`."""
    try:
        app()
    except (ValueError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        err.print(f"detcon: {escape(_sentence(error))}")
        sys.exit(2)


Words = Annotated[list[str] | None, typer.Argument(help="a recipe, and name=value settings")]
Help = Annotated[bool, typer.Option("--help", help="show the settings and leave")]
Debug = Annotated[bool, typer.Option("--debug", help="show the traceback of an error")]


@app.command(context_settings=OURS)
def scenes(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Render built-in scenes, or compose cut-outs on photos, with exact labels."""
    _carry_out("scenes", words, help)


@app.command(context_settings=OURS)
def masks(
    words: Words = None,
    check: Annotated[bool, typer.Option("--check", help="make damaged shards anew")] = False,
    help: Help = False,
    debug: Debug = False,
) -> None:
    """Find the masks of a folder of photos, and store them."""
    _carry_out("masks", [*(words or []), *(["check=true"] if check else [])], help)


@app.command("train-ranker", context_settings=OURS)
def train_ranker(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Learn from annotated photos which candidates of MCG are objects."""
    _carry_out("train-ranker", words, help)


@app.command(context_settings=OURS)
def score(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Hold masks against annotations, before paying for pretraining."""
    _carry_out("score", words, help)


@app.command(context_settings=OURS)
def convert(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Write masks as PNG files, as COCO's JSON, or as the official TFRecords."""
    _carry_out("convert", words, help)


@app.command(context_settings=OURS)
def show(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Draw photos, their masks and two views of each on one sheet."""
    _carry_out("show", words, help)


@app.command(context_settings=OURS)
def pretrain(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Pretrain a backbone on photos and their masks."""
    _carry_out("pretrain", words, help)


@app.command(context_settings=OURS)
def transfer(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Train and score a task with few labels on one backbone, or on a grid of them."""
    settings = _carry_out("transfer", words, help)
    if settings and settings.is_grid and _load("train.environment:is_first_rank")():
        page = _load("report.page:make_report")([settings.out], out=f"{settings.out}/report.html")
        _say_written(page, f"open {page} in a browser")


@app.command(context_settings=OURS)
def predict(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Run a finished model on photos: label maps, boxes and masks, or depth."""
    _carry_out("predict", words, help)


@app.command(context_settings=OURS)
def export(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Write a backbone for torchvision, timm, detectron2, ONNX or the Hugging Face hub."""
    _carry_out("export", words, help)


@app.command("import", context_settings=OURS)
def import_(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Read DeepMind's released weights (.npy) into a backbone file."""
    is_file = [word.endswith(".npy") and "=" not in word for word in words or []]
    named = [f"weights={w}" if bare else w for w, bare in zip(words or [], is_file, strict=True)]
    _carry_out("import", named, help)


@app.command(context_settings=OURS)
def report(words: Words = None, help: Help = False, debug: Debug = False) -> None:
    """Make one page from run folders: detcon report runs/* out=report.html."""
    recipe = _load("report.page:ReportRecipe")
    if help:
        return _teach("report", recipe, "detcon report runs/* out=report.html")
    runs = [word for word in words or [] if "=" not in word]
    settings = parse_overrides(word for word in words or [] if "=" in word)
    if not runs:
        raise RecipeError("name the run folders: detcon report runs/* out=report.html")
    page = _load("report.page:make_report")(runs, **settings)
    _say_written(page, f"open {page} in a browser")


@app.command(context_settings=OURS)
def study(
    words: Words = None,
    plan: Annotated[bool, typer.Option("--plan", help="only list cells and hours")] = False,
    report: Annotated[bool, typer.Option("--report", help="only write the report")] = False,
    help: Help = False,
    debug: Debug = False,
) -> None:
    """Run a grid of pretrainings and transfers, and report what a claim comes to."""
    flags = {"plan=true": plan, "report=true": report}
    _carry_out("study", [*(words or []), *(word for word, on in flags.items() if on)], help)


@app.command(context_settings=OURS)
def demo(
    words: Words = None,
    quick: Annotated[bool, typer.Option("--quick", help="smaller, in two minutes")] = False,
    help: Help = False,
    debug: Debug = False,
) -> None:
    """Walk the whole way on built-in scenes, to a page you can open."""
    _carry_out("demo", [*(words or []), *(["quick=true"] if quick else [])], help)


@app.command()
def version() -> None:
    """Print the version."""
    out.print(detcon.__version__)


def _carry_out(name: str, words: Sequence[str] | None, help: bool) -> Any:
    """Calls the verb's function; returns its settings, or None after teaching them."""
    verb = VERBS[name]
    model: type[Recipe] = _load(verb.recipe)
    if help:
        _teach(name, model, verb.example)
        return None
    recipes = [word for word in words or [] if "=" not in word]
    if len(recipes) > 1:
        raise RecipeError(
            f"'{recipes[1]}' is a second recipe; give one recipe, and settings as name=value"
        )
    overrides = parse_overrides(word for word in words or [] if "=" in word)
    recipe = recipes[0] if recipes else None
    settings = load_recipe(model, recipe, overrides)
    out.print(escape(to_yaml(settings).rstrip()), style="dim")
    written = _load(verb.function)(recipe, **overrides)
    if written is None:
        return settings
    if verb.shown:
        out.print(_load(verb.shown)(settings))
    place = written if isinstance(written, Path) else settings.model_dump()["out"]
    _say_written(place, verb.then(settings))
    return settings


def _say_written(place: str | Path, then: str) -> None:
    out.print(f"wrote {escape(str(place))}")
    if then:
        out.print(f"next: {escape(then)}")


def _load(address: str) -> Any:
    module, name = address.split(":")
    return getattr(import_module(f"detcon.{module}"), name)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f" {error.filename}" if error.filename else ""
        return f"cannot use{place}: {error.strerror.lower()}; make room or choose another place"
    return str(error)


def _teach(name: str, model: type[Recipe], example: str) -> None:
    """Prints what a verb does, an example, and every setting with its default."""
    out.print(f"[bold]detcon {name}[/bold]: {(model.__doc__ or '').strip()}\n")
    out.print(f"  {escape(example)}\n")
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    for title in ("setting", "default", "what it is"):
        table.add_column(title, overflow="fold")
    for setting, default, description in _settings(model):
        table.add_row(escape(setting), escape(default), escape(description))
    out.print(table)
    out.print("\nSettings are name=value, in any order. --debug shows the traceback of an error.")


def _settings(model: Any, prefix: str = "") -> list[tuple[str, str, str]]:
    rows = []
    for name, field in model.model_fields.items():
        inner = records_within(field.annotation)
        default = (
            "" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        )
        if not inner:
            rows.append((prefix + name, default or "required", field.description or ""))
            continue
        rows.append((prefix + name, "", field.description or ""))
        for record in inner:
            kind = _kind(record)
            if kind:
                rows.append((f"{prefix}{name}.kind={kind}", "", _first_line(record)))
            if issubclass(record, BaseModel):
                rows += [
                    row for row in _settings(record, f"{prefix}{name}.") if row[0][-5:] != ".kind"
                ]
            else:
                rows += _fields_of_dataclass(record, f"{prefix}{name}.")
    return rows


def _fields_of_dataclass(record: Any, prefix: str) -> list[tuple[str, str, str]]:
    return [
        (prefix + f.name, "required" if f.default is MISSING else _shown(f.default), "")
        for f in fields(record)
        if f.name != "kind"
    ]


def _kind(record: Any) -> str:
    hint = typing.get_type_hints(record).get("kind")
    return str(get_args(hint)[0]) if hint is not None else ""


def _first_line(record: Any) -> str:
    return (record.__doc__ or "").strip().splitlines()[0]


def _shown(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "none" if value is None else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return "see recipes"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
