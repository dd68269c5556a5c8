"""Tests of probes during pretraining: whole runs, with and without."""

import cv2
import pytest
import torch

from detcon.config import RecipeError, load_recipe
from detcon.data.labelled.examples import LabelError
from detcon.downstream.label_free import LabelFreeFigures
from detcon.downstream.probing import PeriodicProbe
from detcon.downstream.recipe import ProbingRecipe
from detcon.downstream.transfer import transfer
from detcon.formats.errors import AnnotationError
from detcon.models.backbone_file import load_backbone, save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.training import pretrain
from detcon.results.history import read_history
from detcon.results.recipe import recorded_fingerprint
from detcon.scenes.raycast import render_scene
from detcon.train.checkpoint import load_checkpoint
from detcon.train.random_state import rng_state

LAST = "checkpoints/last.ckpt"
TIMES = ("images_per_second", "data_wait", "memory", "seconds", "probe_seconds")
TASKS = {
    "linear_segmentation": "probe_mIoU",
    "knn_segmentation": "probe_mIoU",
    "linear_classification": "probe_accuracy",
    "knn_classification": "probe_accuracy",
}


def write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Scenes to learn from, the same with labels, and in folders of two classes."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(12):
        scene = render_scene(seed=1, index=i, size=48)
        photo = cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2BGR)
        split, name = "train" if i < 8 else "val", f"{i:02}.png"
        write(folder / "images" / name, photo)
        write(folder / "labelled" / split / "images" / name, photo)
        write(folder / "labelled" / split / "labels" / name, scene.labels)
        write(
            folder / "classes" / split / ("dark" if i % 2 else "light") / name, photo // (1 + i % 2)
        )
    return folder


def run(data, out, steps=6, **overrides):
    settings = {
        "images": data / "images",
        "out": out,
        "method": {"kind": "byol", "hidden": 16, "outputs": 8},
        "encoder": {"name": "resnet18", "width": 0.125, "stride": 16},
        "views": {"size": 32},
        "optimizer": {"kind": "adamw", "lr": 1e-3},
        "batch_size": 4,
        "steps": steps,
        "workers": 0,
        "loop": {"log_every": 4, "checkpoint_every": 3, "precision": "32", "accelerator": "cpu"},
    }
    return pretrain(None, **{**settings, **overrides})


CENTRE = {"centre": {"shorter": 48, "side": 32}}
FEW = {
    "linear_segmentation": {"iterations": 20, "fineness": 1},
    "knn_segmentation": {},
    "linear_classification": {"iterations": 20, **CENTRE},
    "knn_classification": CENTRE,
}


def probing(data, task="knn_segmentation", **options):
    kind = task if isinstance(task, str) else task["kind"]
    folder = "classes" if kind.endswith("classification") else "labelled"
    settings = {"every": 2, "data": str(data / folder), "task": {"kind": kind, **FEW[kind]}}
    return settings | options | ({} if task == kind else {"task": task})


WITHOUT_LABELS = {"start_agreement", "rankme", "lidar"}


def state(folder, left_out=frozenset()):
    """All that a checkpoint holds of the training, and its log without probes and times."""
    last = load_checkpoint(folder / LAST, fingerprint=recorded_fingerprint(folder))
    rng = [{**of_rank["rng"], "python": None} for of_rank in last.ranks]  # beartype draws there
    tensors, _ = torch.utils._pytree.tree_flatten((last.module, last.optimizer, rng))
    lines = [
        {
            name: value
            for name, value in line.items()
            if not name.startswith(("probe", "time_")) and name not in left_out
        }
        for line in read_history(folder).rows
    ]
    lines = [{n: v for n, v in line.items() if n not in TIMES} for line in lines if len(line) > 1]
    return [t.tolist() if isinstance(t, torch.Tensor) else t for t in tensors], lines


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "run"
    backbone = run(data, out)
    return backbone.read_bytes(), state(out)


@pytest.mark.parametrize("task", list(TASKS))
def test_the_training_is_the_same_bit_for_bit(data, plain, tmp_path, task):
    """Weights, statistics of batch norm, target, optimiser, generators, and every other figure."""
    backbone = run(data, tmp_path / "run", probing=probing(data, task))
    assert (backbone.read_bytes(), state(tmp_path / "run")) == plain
    lines = [line for line in read_history(tmp_path / "run").rows if TASKS[task] in line]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(0 <= line[TASKS[task]] <= 100 and line["probe_seconds"] > 0 for line in lines)
    assert {"loss", TASKS[task]} <= lines[-1].keys() and "loss" not in lines[0]


def test_measuring_without_labels_leaves_the_training_alone_too(data, plain, tmp_path, capsys):
    few = {"photos": 4, "views": 2, "neighbours": 2}
    backbone = run(data, tmp_path / "run", label_free=few)
    assert (backbone.read_bytes(), state(tmp_path / "run", WITHOUT_LABELS)) == plain
    steps, values = read_history(tmp_path / "run").curve("lidar")
    assert steps == [1, 2, 3, 4, 5, 6] and min(values) >= 1, "a tenth of the run, rounded up"
    assert "figures without labels take" not in capsys.readouterr().err
    many = run(data, tmp_path / "many", label_free={**few, "views": 22})
    said = "figures without labels take about 56% of the time; label_free=null leaves them out\n"
    assert said in capsys.readouterr().err
    steps_of_many, _ = read_history(tmp_path / "many").curve("lidar")
    assert many.read_bytes() == plain[0] and steps_of_many == [4, 6], "no more work"
    kept = load_backbone(tmp_path / "run" / "backbone_best.safetensors").notes
    assert (kept["steps"], kept["lidar"]) == (steps[values.index(max(values))], max(values))
    both = run(data, tmp_path / "both", probing=probing(data, every=3), label_free=few)
    assert both.read_bytes() == plain[0]
    [first, *_] = [row for row in read_history(tmp_path / "both").rows if "probe_mIoU" in row]
    assert first["step"] == 3 and first.keys() >= WITHOUT_LABELS


def test_weights_are_watched_without_labels_unless_told_not_to(data, start, tmp_path):
    options = {"weights": str(start), "images": "i", "out": "o"}
    assert load_recipe(PretrainRecipe, None, options).label_free is not None
    for more in ({"label_free": None}, {"probing": probing(data)}, {"weights": None}):
        assert load_recipe(PretrainRecipe, None, options | more).label_free is None
    with pytest.raises(RecipeError, match="leave label_free.every out"):
        load_recipe(
            PretrainRecipe, None, {**options, "probing": probing(data), "label_free.every": 3}
        )


def test_a_plateau_without_labels_ends_the_run(data, start, tmp_path, monkeypatch):
    ranks = iter([20.0, 19.0, 21.0, None, 17.0])

    def measure(self, encoder):
        rank = next(ranks)
        return {"start_agreement": 0.25} | ({} if rank is None else {"lidar": rank, "rankme": 5.0})

    monkeypatch.setattr(LabelFreeFigures, "measure", measure)
    said = []
    monkeypatch.setattr("detcon.progress.ProgressBar.say", lambda self, text: said.append(text))
    options = {"weights": str(start), "steps": 12, "stop": "plateau", "patience": 2}
    backbone = run(data, tmp_path / "run", label_free={"every": 1}, **options)
    assert load_backbone(backbone).notes["steps"] == 4
    assert load_backbone(backbone.with_name("backbone_best.safetensors")).notes["steps"] == 4
    assert [text for text in said if "lidar" in text] == [
        "step 3: the features aren't finite or don't vary, lidar is undefined, below 70% of the "
        "start (20.0); regions keep 25 % of the start's neighbours; backbone_best.safetensors is "
        "of step 2 (21.0)",
        "step 4: lidar is 17.0; regions keep 25 % of the start's neighbours; "
        "backbone_best.safetensors is of step 4 (17.0); none of the last 2 was better: the run "
        "ends",
    ]


def test_the_last_figure_is_that_of_a_transfer_of_the_backbone(data, tmp_path):
    """Evaluation mode, 32 bits, the same labels: what the finished file gives."""
    options = {"labels": 5, "task": {"kind": "knn_segmentation", "k": 3, "bank": 50}}
    backbone = run(data, tmp_path / "run", probing=probing(data, **options))
    (result,) = transfer(
        None,
        data=data / "labelled",
        backbone=backbone,
        out=tmp_path / "transfer",
        loop={"accelerator": "cpu"},
        **options,
    )
    assert read_history(tmp_path / "run").rows[-1]["probe_mIoU"] == pytest.approx(result.value)


def test_measuring_leaves_the_encoder_alone(data):
    recipe = EncoderRecipe(name="resnet18", width=0.125)
    encoder = build_encoder(recipe)
    encoder.layer1.eval()
    options = {"normalisation": Normalisation(), "seed": 0}
    probe = PeriodicProbe(ProbingRecipe(**probing(data)), recipe, **options)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    modes = [part.training for part in encoder.modules()]
    first = probe.measure(encoder)
    assert probe.measure(encoder) == first
    assert all(torch.equal(t, before[name]) for name, t in encoder.state_dict().items())
    assert [part.training for part in encoder.modules()] == modes
    with torch.no_grad():
        encoder.conv1.weight.zero_()
    assert probe.measure(encoder) != first, "it is the encoder as it is now that is probed"


@pytest.mark.parametrize("task", list(TASKS))
def test_features_that_overflow_are_left_out(data, task):
    recipe = EncoderRecipe(name="resnet18", width=0.125)
    options = {"normalisation": Normalisation(), "seed": 0}
    probe = PeriodicProbe(ProbingRecipe(**probing(data, task)), recipe, **options)
    encoder = build_encoder(recipe)
    assert list(probe.measure(encoder)) == [TASKS[task]]
    for norm in (encoder.layer4[1].bn1, encoder.layer4[1].bn2):
        torch.nn.init.constant_(norm.weight, 1e30)
    assert probe.measure(encoder) == {}


def test_opening_a_probe_draws_nothing(data):
    device = torch.device("cpu")
    before = rng_state(device)["torch"]
    recipe = EncoderRecipe(name="resnet18", width=0.125)
    PeriodicProbe(ProbingRecipe(**probing(data)), recipe, normalisation=Normalisation(), seed=0)
    assert torch.equal(rng_state(device)["torch"], before)


def test_a_run_that_stopped_may_go_on_with_another_probe(data, plain, tmp_path, monkeypatch):
    """Watching isn't part of what comes out: neither of the recipe's fingerprint."""
    measure = PeriodicProbe.measure

    def crash(self, encoder):
        crash.calls += 1
        if crash.calls == 2:
            raise KeyboardInterrupt
        return measure(self, encoder)

    crash.calls = 0
    with monkeypatch.context() as patch:
        patch.setattr(PeriodicProbe, "measure", crash)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "run", probing=probing(data))
    backbone = run(data, tmp_path / "run", probing=probing(data, "linear_segmentation", every=5))
    assert (backbone.read_bytes(), state(tmp_path / "run")) == plain
    steps = [line["step"] for line in read_history(tmp_path / "run").rows if "probe_mIoU" in line]
    assert steps == [2, 5, 6]


def test_mistakes_are_found_before_the_first_step(data, tmp_path):
    for options, error, message in (
        ({"data": "nowhere"}, AnnotationError, r"there is no folder nowhere.train.images"),
        ({"labels": 99}, LabelError, "labels=99, but there are only 8 training photos"),
        ({"task": "knn_classification"}, AnnotationError, "photos with labels for each pixel"),
    ):
        given = {**probing(data), **options}
        with pytest.raises(error, match=message):
            run(data, tmp_path / "run", probing=given)
        assert not (tmp_path / "run" / "metrics.jsonl").exists()
    for given, message in (
        ({"data": "d"}, r"'probing\.every' is missing; give probing\.every="),
        ({"every": 0, "data": "d"}, r"'probing\.every' cannot be 0"),
        ({"every": 1, "data": "d", "task": "segmentation"}, r"'probing\.task' cannot be 'segm"),
    ):
        with pytest.raises(RecipeError, match=message):
            run(data, tmp_path / "other", probing=given)


def test_a_probe_of_another_stride_has_the_same_weights(data, tmp_path):
    backbone = run(data, tmp_path / "run", steps=1, probing=probing(data, stride=8))
    assert load_backbone(backbone).recipe.stride == 16


@pytest.mark.parametrize("crash_at", [None, 3, 5])
def test_the_best_backbone_is_kept_whatever_happens_between(data, tmp_path, monkeypatch, crash_at):
    """Checkpoints are at 3 and 6, so a crash may follow a best one that is measured again."""
    values, calls = [10.0, 30.0, 20.0, 30.0, 5.0, 6.0], []

    class Crash(BaseException):
        pass

    def measure(self, encoder):
        step = len(read_metrics_of_probes(tmp_path / "run")) + 1
        calls.append(step)
        if step == crash_at and calls.count(step) == 1:
            raise Crash
        if step == 2:
            best.append({name: t.clone() for name, t in encoder.state_dict().items()})
        return {"probe_mIoU": values[step - 1]}

    best = []
    monkeypatch.setattr(PeriodicProbe, "measure", measure)
    for _ in range(2 if crash_at else 1):
        try:
            run(data, tmp_path / "run", probing=probing(data, every=1))
        except Crash:
            continue
    kept = load_backbone(tmp_path / "run" / "backbone_best.safetensors")
    assert kept.notes["steps"] == 2 and kept.notes["probe_mIoU"] == 30
    assert all(torch.equal(t, best[0][name]) for name, t in kept.encoder.state_dict().items())
    assert len(read_metrics_of_probes(tmp_path / "run")) == 6


def read_metrics_of_probes(folder):
    return [line for line in read_history(folder).rows if "probe_mIoU" in line]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    recipe = EncoderRecipe(name="resnet18", width=0.125, stride=16)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("start") / "backbone.safetensors"
    save_backbone(path, build_encoder(recipe), recipe, normalisation=Normalisation())
    return path


def adapted(data, out, start, lr, **overrides):
    probing = {"data": str(data / "labelled"), "every": 2, "task": "knn_segmentation"}
    given = {"weights": str(start), "probing": probing, "steps": 12}
    optimizer = {"kind": "adamw", "lr": lr}
    return run(data, out, **{**given, "optimizer": optimizer, **overrides})


def test_a_plateau_ends_the_run_also_one_that_was_killed_there(data, start, tmp_path, monkeypatch):
    options = {"stop": "plateau", "patience": 2}
    backbone = adapted(data, tmp_path / "run", start, lr=3.0, **options)
    made = load_backbone(backbone).notes["steps"]
    assert made < 12
    [last] = [row["step"] for row in read_history(tmp_path / "run").rows][-1:]
    assert last == made

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("detcon.train.run.Run.finish", die)
        with pytest.raises(KeyboardInterrupt):
            adapted(data, tmp_path / "again", start, lr=3.0, **options)
    (tmp_path / "again" / "backbone.safetensors").unlink()
    again = adapted(data, tmp_path / "again", start, lr=3.0, **options)
    assert load_backbone(again).notes["steps"] == made


def test_a_plateau_needs_probes(data, tmp_path):
    with pytest.raises(RecipeError, match="stop=plateau needs a figure"):
        run(data, tmp_path, stop="plateau")
