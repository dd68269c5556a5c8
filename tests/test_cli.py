"""Tests for the command line: what it teaches, what it says, and what it exits with."""

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

import detcon
from detcon import cli
from detcon.cli.main import _say_written
from detcon.config import load_recipe, recipes_for
from detcon.downstream.model_file import MODEL
from detcon.downstream.recipe import GridRecipe, PredictRecipe, TransferRecipe
from detcon.models.sources import MODEL_ENTRY
from detcon.pretraining.recipe import PretrainRecipe

STUDIES = Path(__file__).parents[1] / "studies"


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `detcon WORDS` in this process; returns its exit code, output and errors."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["detcon", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        seen = capsys.readouterr()
        return code or 0, seen.out, seen.err

    return call


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        picture = np.random.default_rng(i).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), picture)
    return folder


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_teaches_every_setting_with_an_example(verb, run):
    code, out, _ = run(verb, "--help")
    assert code == 0 and cli.VERBS[verb].does in out and "\nsettings\n" in out
    assert escape_free(cli.VERBS[verb].example) in escape_free(out)
    for flag in cli.VERBS[verb].flags:
        assert f"--{flag}" in out


def escape_free(text):
    return " ".join(text.split())


HEAVY = ("torch", "torchvision", "timm", "lightning", "numba", "matplotlib", "skimage", "scipy")
ASKED = """
import sys
from detcon import cli
for verb in {verbs}:
    for words in (["--help"], ["nonsense=1"]):
        sys.argv = ["detcon", verb, *words]
        try:
            cli.main()
        except SystemExit:
            pass
    loaded = [name for name in {heavy} if name in sys.modules]
    if loaded:
        sys.exit(f"detcon {{verb}} --help loads {{loaded}}")
"""


@pytest.mark.parametrize("room", ["pretraining.training", "downstream.transfer"])
def test_a_training_loads_what_a_resnet_needs(room):
    """Each of these would make its first step wait for half a second or more."""
    slow = [name for name in HEAVY if name not in ("torch", "numba", "scipy")]
    slow += ["transformers", "torch.utils.tensorboard", "scipy.signal", "scipy.stats"]
    code = f"import sys, detcon.{room}\n"
    code += f"sys.exit([name for name in {slow} if name in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_and_refusals_load_nothing_heavy():
    code = ASKED.format(verbs=list(cli.VERBS), heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = ("there is no setting 'nonsense'", "name the runs", "detcon study studies/quick.yaml")
    assert sum(map(done.stderr.count, said)) == len(cli.VERBS)


def test_the_list_of_commands(run):
    for words in ([], ["--help"]):
        code, out, _ = run(*words)
        assert code == 0 and all(f"\n  {verb} " in out for verb in cli.VERBS)
    assert run("version")[1].strip() == detcon.__version__ == run("--version")[1].strip()


def test_help_names_the_recipes_of_a_verb(run):
    _, out, _ = run("masks", "--help")
    assert "\nrecipes\n" in out and "\n  felzenszwalb_small " in out
    (grid,) = (one for one in recipes_for("masks") if one.name == "grid")
    assert "\n  grid " in out and grid.title.split(" ")[0] in out and grid.title.endswith(".")
    (scale,) = re.findall(r"generator\.scale +1000.0 +(\w.*)", out)
    assert scale.split()[0] in detcon.Felzenszwalb.__doc__  # settings of sources: their docstrings
    assert "recipes\n" not in run("show", "--help")[1]


def test_help_of_a_recipe_is_its_own_comment(run, tmp_path):
    """It was the help of the verb, as if no recipe had been named."""
    for verb, name in (("transfer", "folder_depth"), ("pretrain", "adapt"), ("masks", "grid")):
        code, out, _ = run(verb, name, "--help")
        (path,) = (one.path for one in recipes_for(verb) if one.name == name)
        lines = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
        assert code == 0 and all(line in out for line in lines)
        assert out.index(lines[0]) < out.index(lines[-1]) < out.index("\nsettings\n")
        assert "\nrecipes\n" not in out
    (tmp_path / "own.yaml").write_text(
        "# Mine [1].\n#\n#   detcon study own.yaml\n\n# no more\na: 1\n"
    )
    for verb in ("study", "report", "import", "show"):
        code, out, _ = run(verb, tmp_path / "own.yaml", "--help")
        assert code == 0 and ("\nMine [1].\n\n  detcon study own.yaml\n\n" in out) == (
            verb != "report"
        )
        assert "no more" not in out
    code, _, err = run("transfer", "folder_dept", "--help")
    assert code == 2 and "there is no recipe folder_dept; did you mean 'folder_depth'?" in err


def test_help_of_a_recipe_has_its_own_values_and_kinds_alone(run):
    """It was 512 lines: all tasks, and defaults that weren't the recipe's."""
    code, out, _ = run("transfer", "coco_mask_rcnn_small", "task.steps=60", "--help")
    values = dict(re.findall(r"^  ([\w.]+) +(\S+)", out, re.MULTILINE))
    assert code == 0 and "task.kind=" not in out and "task.head" not in values
    own = {"kind": "detection", "steps": "60", "detector.anchor": "4.0", "crop": "512"}
    own |= {"optimizer.kind": "adamw", "optimizer.lr": "0.0005", "schedule.kind": "cosine"}
    assert {name: values[f"task.{name}"] for name in own} == own
    assert (values["workers"], values["stride"], values["data"]) == ("4", "32", "required")
    assert "optimizer.trust" not in out and "milestones" not in out and "encoder.name" in values
    assert out.endswith(
        "Other kinds of task, task.optimizer, task.schedule have their own settings: "
        "detcon transfer --help\n"
    )
    _, of_kind, _ = run("transfer", "task=depth", "--help")
    assert "task.detector" not in of_kind and re.search(r"task.kind +depth", of_kind)
    code, wrong, _ = run("transfer", "task.stepps=3", "--help")
    assert code == 0 and "did you mean 'task.steps'?" in wrong and "task.kind=depth" in wrong


@pytest.mark.parametrize("verb", ["masks", "pretrain", "transfer"])
def test_help_of_each_recipe_that_ships_is_of_its_own_kinds(verb, run):
    for one in recipes_for(verb):
        code, out, _ = run(verb, one.name, "--help")
        assert code == 0 and "These are all settings" not in out, one.name


def test_help_names_the_kinds_of_a_choice(run):
    _, out, _ = run("pretrain", "--help")
    for word in ("optimizer.kind=lars", "method.kind=detcon_b", "views.size", "method.ema"):
        assert word in out


def test_a_verb_prints_its_recipe_what_it_wrote_and_what_comes_next(run, photos, tmp_path):
    settings = ["generator.rows=3", f"images={photos}", f"out={tmp_path / 'm'}"]
    code, out, _ = run("masks", "grid", *settings)
    assert code == 0
    assert "\n  generator.kind=grid  generator.rows=3" in out and "engine" not in out
    assert f"wrote {tmp_path / 'm'}" in out
    assert f"next: detcon show images={photos} masks={tmp_path / 'm'}" in out
    code, out, err = run("masks", "grid", *settings)
    assert code == 0 and "had their masks already" in err
    assert f"nothing new in {tmp_path / 'm'}" in out and "wrote" not in out
    code, out, _ = run(
        "show", f"images={photos}", f"masks={tmp_path / 'm'}", f"out={tmp_path / 's.png'}"
    )
    assert code == 0 and (tmp_path / "s.png").stat().st_size > 1000


def test_text_of_the_command_line_stays_text(run, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos.rename(tmp_path / "photos #2")
    for out in ("2024-05-17", "no", "1e3"):
        code, _, err = run("masks", "grid", "images=photos #2", f"out={out}")
        assert code == 0, err
        assert detcon.MaskStore(out).header["source"] == "photos #2"


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["masks", "images=nowhere", "out=m"], "there is no folder or manifest nowhere"),
        (["masks", "imags=p", "out=m"], "there is no setting 'imags'; did you mean 'images'?"),
        (["masks", "images=p"], "'out' is missing; give out=..."),
        (["mask"], "there is no command 'mask'; did you mean 'masks'?"),
        (["masks", "--chek"], "detcon masks has no switch '--chek'; did you mean '--check'?"),
        (["masks", "."], "there is no recipe ., but a folder: name its setting, as in images=."),
        (["show", "photos"], "there is no recipe photos; settings are written name=value"),
        (["masks", "gird", "images=p"], "there is no recipe gird; did you mean 'grid'?"),
        (["masks", "runs/a=1/recipe.yaml"], "there is no recipe runs/a=1/recipe.yaml; "),
        (["study", "a.yaml", "b.yaml"], "'b.yaml' is a second recipe"),
        (["import", "a.npy", "b.npy"], "there is no recipe b.npy"),
        (["import", "a.npy", "weights=b.npy"], "'weights' is given twice, by name and without"),
        (["masks", "a.yaml", "b.yaml"], "'b.yaml' is a second recipe; give one recipe"),
        (["masks", "images=p", "out=m", "workers=many"], "'workers' cannot be 'many': input"),
        (["masks", "images=p", "out=m", "workers=0"], "'workers' cannot be 0: input should be"),
        (["pretrain", "recipes/pretrain/none.yaml"], "there is no recipe recipes/pretrain/none"),
        (["scenes", "out=a", "num=3.5"], "'num' cannot be 3.5: input should be a valid integer"),
        (["pretrain", "images=p", "out=o", "method.kind=moco"], "'method.kind' must be one of"),
        (["pretrain", "images=p", "out=o", "optimizer.lr=-1"], "'optimizer.lr' cannot be -1"),
        (["transfer", "data=d", "out=o"], "'backbone' is missing; give backbone=..."),
        (["export", "backbone=b", "to=tf", "out=o"], "'to' cannot be 'tf': input should be"),
        (["export", "backbone=b", "to=onnx", "out=o"], "cannot write onnx to o: give a name that"),
        (["export", "backbone=b.pth", "to=hub", "out=o"], "there is no backbone b.pth; give a"),
        (["report"], "name the runs: detcon report runs/* out=report.html"),
        (["report", "nowhere"], "nowhere"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_exit_code_2(words, sentence, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*words)
    assert code == 2
    assert sentence in err and err.startswith("detcon: ") and err.count("\n") == 1
    assert "Traceback" not in err


def test_an_interrupt_is_one_sentence(run, photos, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("detcon.masks.store.fill.make_masks", interrupted)
    code, _, err = run("masks", f"images={photos}", f"out={tmp_path / 'm'}")
    assert code == 130 and err == "detcon: interrupted; give the same command again to go on\n"


def test_a_study_shows_what_was_typed_and_not_its_whole_file(run):
    """It listed claim, data, grid and figure as differences from the defaults."""
    study = Path(__file__).parents[1] / "studies" / "quick.yaml"
    code, out, _ = run("study", str(study), "--plan", "shard=1/2")
    assert code == 0 and "claim" not in out and "grid" not in out.partition("cell")[0]
    assert out.split()[:3] == [str(study), "shard=1/2", "plan=true"]


def test_a_folder_named_after_a_setting_is_a_run(run, tmp_path, monkeypatch):
    """Sweeps make such names. `lr=0.1` was taken for a setting of `detcon report`."""
    monkeypatch.chdir(tmp_path)
    for name in ("lr=0.1", "seed=1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
        (tmp_path / name / "recipe.yaml").write_text("images: photos\n")
    code, out, _ = run("report", "lr=0.1", "./seed=1", "out=r.html")
    assert code == 0 and "wrote r.html" in out and "lr=0.1" in (tmp_path / "r.html").read_text()
    code, _, err = run("report", "seed=1", "out=r.html")
    assert code == 2 and "write ./seed=1 for the file" in err
    code, _, err = run("report", "lr=0.2", "out=r.html")
    assert code == 2 and "name the runs" in err


def test_the_next_command_can_be_pasted_where_a_folder_has_a_blank(run, photos, tmp_path):
    """It was `detcon show images=p masks=m, v1 out=sheet.png`."""
    out = tmp_path / "m, v1"
    code, said, _ = run("masks", "grid", f"images={photos}", f"out={out}", "workers=1")
    assert code == 0
    command = shlex.split(said.partition("next: ")[2])
    assert command[:4] == ["detcon", "show", f"images={photos}", f"masks={out}"]


def test_debug_shows_the_traceback(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        run("masks", "images=nowhere", "out=m", "--debug")


def test_an_output_that_is_something_else_is_left_alone(run, photos, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("dear")
    for words in (
        ["masks", f"images={photos}", f"out={tmp_path / 'taken'}"],
        ["scenes", f"out={tmp_path / 'taken'}", "num=2", "size=32"],
        ["pretrain", f"images={photos}", f"out={tmp_path / 'taken'}", "method.kind=simclr"],
    ):
        code, _, err = run(*words)
        assert code == 2 and str(tmp_path / "taken") in err, words
    assert (tmp_path / "taken" / "letter.txt").read_text() == "dear"


def test_export_writes_what_it_names_and_leaves_other_files_alone(run, tmp_path):
    torch = pytest.importorskip("torch")
    from torchvision.models import resnet18

    torch.save(resnet18().state_dict(), tmp_path / "in.pth")
    words = ["export", f"backbone={tmp_path / 'in.pth'}", "to=timm", f"out={tmp_path / 'b.pth'}"]
    code, out, _ = run(*words)
    assert code == 0 and f"wrote {tmp_path / 'b.pth'}" in out and "net = timm.create_model('" in out
    (tmp_path / "b.pth").write_text("dear")
    code, _, err = run(*words)
    assert code == 2 and "exists and holds something else" in err
    assert (tmp_path / "b.pth").read_text() == "dear"


def test_import_says_what_was_read_and_what_was_left(run, tmp_path, monkeypatch):
    from detcon.importing.haiku import haiku_place
    from detcon.models.encoders import build_encoder
    from detcon.models.recipe import EncoderRecipe

    monkeypatch.chdir(tmp_path)
    modules = {"projector/linear": {"b": np.zeros(3, "f4")}}
    state = build_encoder(EncoderRecipe(name="resnet18", width=0.125)).state_dict()
    for name, tensor in state.items():
        module, entry = haiku_place(name, prefix="res_net18/~/", norms="norm")
        array = tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor
        array = tensor.reshape(1, 1, 1, -1) if tensor.ndim == 1 else array
        modules.setdefault(module, {})[entry] = array.numpy()
    np.save("weights.npy", modules)
    code, out, _ = run("import", "weights.npy", "out=b.safetensors")
    assert code == 0 and "read 120 tensors of res_net18 (resnet18, width 0.125), statis" in out
    assert (
        "left averages of norms (0), projector (1)\nwrote b.safetensors\nnext: detcon transfer"
        in out
    )
    assert detcon.load_backbone("b.safetensors").recipe.same_padding
    code, _, err = run("transfer", "backbone=weights.npy", "data=d", "out=t")
    assert code == 2 and "'detcon import weights.npy out=weights.safetensors'" in err
    code, _, err = run("import", "none.npy", "out=b.safetensors")
    assert (code, err.count("\n")) == (2, 1) and "there is no file none.npy; give the .npy" in err


def test_a_full_disk_is_one_sentence(run, photos, tmp_path, monkeypatch):
    def no_space(*_, **__):
        raise OSError(28, "No space left on device", str(tmp_path / "m"))

    monkeypatch.setattr("detcon.masks.store.fill.write_shard", no_space)
    code, _, err = run("masks", f"images={photos}", f"out={tmp_path / 'm'}", "workers=1")
    assert code == 2 and "no space left on device" in err


@pytest.mark.parametrize(
    "words",
    [
        ["show", "images=none", "masks=none", "out=locked/new/sheet.png"],
        ["score", "masks=none", "truth=none", "out=locked/score.html"],
        ["report", "none", "out=locked/report.html"],
        ["demo", "out=locked"],
        ["study", str(STUDIES / "quick.yaml"), "results=locked/quick.jsonl"],
    ],
    ids=lambda words: words[0],
)
def test_where_nothing_can_be_written_is_said_before_the_work(words, run, tmp_path, monkeypatch):
    """As root may write anywhere, the system is made to say no."""
    locked = tmp_path / "locked"
    locked.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "access", lambda place, _: Path(place).resolve() != locked)
    monkeypatch.setattr("detcon.study.running.carry_out", lambda *_: pytest.fail("a cell ran"))
    code, _, err = run(*words)
    assert code == 2 and not list(locked.iterdir())
    assert "locked: permission denied; make it writable or choose another place" in err


def test_the_public_names_resolve_and_are_lazy():
    for name in dir(detcon):
        assert getattr(detcon, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'pretraine'"):
        detcon.pretraine  # noqa: B018
    loads = "import detcon, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", loads], check=True)


def test_shipped_recipes_all_load(tmp_path):
    from detcon.config import load_recipe, shipped_recipes
    from detcon.downstream.recipe import GridRecipe
    from detcon.masks.recipe import MasksRecipe
    from detcon.pretraining.recipe import PretrainRecipe

    kinds = {
        "masks": (MasksRecipe, {"images": "i", "out": "o"}),
        "pretrain": (PretrainRecipe, {"images": "i", "masks": "m", "out": "o"}),
        "transfer": (GridRecipe, {"data": "d", "backbone": "random", "out": "o"}),
    }
    seen = 0
    for path in sorted(shipped_recipes().rglob("*.yaml")):
        model, paths = kinds[path.parent.name]
        if "annotations" in path.stem:
            paths = {**paths, "generator.folder": "labels"}
        assert load_recipe(model, path, paths) is not None
        assert path.read_text().startswith("#") and "detcon " in path.read_text().split("\n\n")[0]
        seen += 1
    assert seen >= 15, Path(shipped_recipes())


def test_what_comes_next_names_the_users_own_code():
    """A file doesn't run code that it names, so the next command must name it again."""
    places = {"images": "photos", "masks": "masks", "out": "run", "backbone": "b", "data": "d"}
    own = {"kind": "own", "function": "m:MyTask"}
    for verb, given, ending in (
        ("pretrain", {"encoder.name": "m:trunk"}, "run-transfer encoder.name=m:trunk"),
        ("transfer", {"encoder.name": "m:trunk"}, "out=run-found encoder.name=m:trunk"),
        ("transfer", {"task": own}, "out=run-found task=m:MyTask"),
        ("transfer", {}, "out=run-found"),
    ):
        model = {"pretrain": PretrainRecipe, "transfer": GridRecipe}[verb]
        known = {name: place for name, place in places.items() if name in model.model_fields}
        told = cli.VERBS[verb].then(load_recipe(model, None, known | given))
        command, besides = told.split("  # ")
        assert command.endswith(ending)
        assert verb != "transfer" or besides.endswith(": detcon report run")


def test_each_command_that_comes_next_has_a_line(capsys):
    _say_written("run", "open [page]\ndetcon export", Console())
    assert capsys.readouterr().out == "wrote run\nnext: open [page]\nnext: detcon export\n"


def test_what_comes_next_names_recipes_of_all_tasks():
    places = {"images": "photos", "masks": "masks", "out": "run"}
    said = cli.VERBS["pretrain"].then(load_recipe(PretrainRecipe, None, places))
    assert said.startswith("detcon transfer folder_linear backbone=run/backbone.safetensors data=")
    named = set(re.findall(r"(?:folder|coco)_\w+", said))
    given = {"out": "run", "backbone": "b", "data": "d"}
    kinds = {load_recipe(GridRecipe, name, given).task.kind for name in named}
    assert kinds > {"linear_segmentation", "segmentation", "detection", "depth"}


@pytest.fixture
def with_photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "my photos"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").touch()


def write_model(folder, **given):
    """What a model file says of how it was trained."""
    learnt = TransferRecipe(**{"data": "d", "backbone": "timm:a", "out": "o", **given})
    about = {"settings": learnt.model_dump(mode="json")}
    save_file({}, folder / MODEL, {MODEL_ENTRY: json.dumps(about)})


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("auto", "look at found/drawn"),
        ("labelme", "cp -rn found/labelme/. 'my photos'\ncorrect the new labels in LabelMe\n"
         "detcon transfer folder_fcn backbone=timm:a data='my photos' format=labelme"),
        ("voc_xml", "cp -rn found/voc_xml/. 'my photos'\ncorrect the new labels, as in LabelImg\n"
         "detcon transfer coco_mask_rcnn_small backbone=timm:a data='my photos' "
         "format=voc_xml val=0.2 out=found-learnt"),
        ("yolo", "put the photos into found/yolo/images, and correct the labels\n"
         "detcon transfer folder_fcn backbone=timm:a data=found/yolo format=yolo val=0.2 out="),
        ("coco", "import found/coco/annotations.json where you correct it, as in CVAT, and export "
         "it as COCO\ndetcon transfer folder_fcn backbone=timm:a data=EXPORTED "
         "format=coco val=0.2 out=found-learnt"),
        ("folder", "correct the new labels below found/folder\ncp -rn found/folder/. LABELLED\n"
         "detcon transfer folder_fcn backbone=timm:a data=LABELLED format=folder "
         "out=found-learnt"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("task", "recipe"),
    [
        ({"kind": "segmentation"}, "folder_fcn"),
        ({"kind": "detection"}, "coco_mask_rcnn_small"),
        ({"kind": "linear_segmentation"}, "folder_linear"),
        ({"kind": "own", "function": "m:MyTask"}, "task=own task.function=m:MyTask"),
    ],
    ids=["segmentation", "detection", "probe", "own"],
)
@pytest.mark.usefixtures("with_photos")
def test_after_labels_to_correct_comes_learning_the_same_task(tmp_path, form, said, task, recipe):
    write_model(tmp_path, task=task)
    given = {"model": str(tmp_path), "images": "my photos", "out": "found", "format": form}
    then = cli.VERBS["predict"].then(load_recipe(PredictRecipe, None, given))
    assert then.startswith(said.replace("folder_fcn", recipe))
    assert "#" not in then


def told_after(folder, form="labelme"):
    given = {"model": str(folder), "images": "photos", "out": "found", "format": form}
    return cli.VERBS["predict"].then(load_recipe(PredictRecipe, None, given)).splitlines()[-1]


@pytest.mark.usefixtures("with_photos")
def test_learning_again_begins_with_the_backbone_that_is_there(tmp_path):
    given = tmp_path / "given.safetensors"
    write_model(tmp_path, backbone=str(given), backbone_partial=True)
    assert " backbone=BACKBONE data=photos " in told_after(tmp_path)
    own = tmp_path / "backbone.safetensors"
    own.touch()
    assert f" backbone={own} data=photos " in told_after(tmp_path), "the model's own"
    given.touch()
    assert f" backbone={given} backbone_partial=true data=photos " in told_after(tmp_path)
    encoder = {"name": "resnet18", "width": 0.25}
    write_model(tmp_path, backbone="random", encoder=encoder)
    assert " backbone=random encoder.name=resnet18 encoder.width=0.25 " in told_after(tmp_path)


def test_labels_are_copied_to_where_the_photos_of_a_list_are(tmp_path):
    write_model(tmp_path, task={"kind": "detection"})
    for name in ("photos/ImageSets/Main", "photos/JPEGImages"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "photos/JPEGImages/a.jpg").touch()
    place = "photos/JPEGImages"
    for name, line, part in (
        ("photos/list.txt", "JPEGImages/a.jpg", "JPEGImages/"),
        ("photos/ImageSets/Main/val.txt", "a", ""),
    ):
        (tmp_path / name).write_text(line)
        given = {"model": str(tmp_path), "images": str(tmp_path / name), "out": "found"}
        then = cli.VERBS["predict"].then(
            load_recipe(PredictRecipe, None, given | {"format": "labelme"})
        )
        assert then.startswith(f"cp -rn found/labelme/{part}. {tmp_path / place}\n")
        assert f" data={tmp_path / place} format=labelme " in then


@pytest.mark.usefixtures("with_photos")
def test_labels_of_photos_in_a_tar_go_where_it_is_unpacked(tmp_path):
    write_model(tmp_path, task={"kind": "segmentation"})
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add("photos/a.jpg", "a.jpg")
    given = {"model": str(tmp_path), "images": "shard.tar", "out": "found", "format": "labelme"}
    then = cli.VERBS["predict"].then(load_recipe(PredictRecipe, None, given))
    copied, corrected, learnt = then.splitlines()
    assert copied == "cp -rn found/labelme/shard/. shard"
    assert corrected.endswith("in LabelMe; shard is where the tars are unpacked")
    assert " data=shard format=labelme " in learnt


@pytest.mark.usefixtures("with_photos")
def test_learning_again_takes_the_recipe_of_the_run_where_it_is(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.touch()
    task = {"kind": "segmentation", "ignore": 7}
    write_model(tmp_path, labels=50, val=0.3, val_photos=9, task=task)
    begin = f"detcon transfer {recipe} labels=null val_photos=null "
    others = f"{begin}task.ignore=null data=photos format=labelme val=0.2 out=found-learnt"
    assert told_after(tmp_path) == others
    joined = f"{begin}data=LABELLED format=folder val=null val_groups=null out=found-learnt"
    assert told_after(tmp_path, "folder") == joined
    (tmp_path / "d").mkdir()
    write_model(tmp_path, data=str(tmp_path / "d"), task={"kind": "detection"})
    told = told_after(tmp_path, "folder")
    assert f" task.detector.masks=auto data={tmp_path / 'd'} format=folder " in told
    write_model(tmp_path, backbone="gone.safetensors")
    assert " backbone=BACKBONE backbone_sha256=null data=photos " in told_after(tmp_path)
    boxes = told_after(tmp_path, "voc_xml")
    assert boxes.startswith("detcon transfer coco_mask_rcnn_small backbone=BACKBONE data=photos ")
