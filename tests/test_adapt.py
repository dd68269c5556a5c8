"""Tests for adapting weights to photos: the whole way, and an answer that is right."""

import re
import shlex
from statistics import fmean

import pytest
import torch

import detcon
from detcon.adapting.adapt import _ahead, _pretraining, _reasons, _so_far, _transfer
from detcon.adapting.afterwards import what_to_do_with_it
from detcon.adapting.recipe import AdaptRecipe
from detcon.adapting.verdict import compare, verdict
from detcon.config import RecipeError, load_recipe, parse_overrides
from detcon.downstream.recipe import GridRecipe
from detcon.exporting.recipe import ExportRecipe
from detcon.models.backbone_file import BackboneError, save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.pretraining.recipe import PretrainRecipe, WeightsRecipe
from detcon.results.difference import Difference
from detcon.results.history import read_history
from detcon.results.recipe import write_recipe
from detcon.results.result import Result

SMALL = EncoderRecipe(name="resnet18", width=0.25, stride=16)
PRETRAIN = {
    "recipe": "detcon_s_small", "views.size": 48, "batch_size": 16, "workers": 0,
    "loop.precision": "32", "loop.log_every": 10, "label_free": None,
}  # fmt: skip
TRANSFER = {
    "recipe": "folder_linear", "size": 64, "workers": 0, "loop.precision": "32",
    "task.iterations": 40,
}  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    detcon.make_scenes(out=folder, num=64, size=64, seed=5, workers=1)
    torch.manual_seed(0)
    normalisation = Normalisation()
    encoder = build_encoder(SMALL)
    save_backbone(folder / "untrained.safetensors", encoder, SMALL, normalisation=normalisation)
    # the last stage shows nothing of the photo: its features are the same everywhere
    for block in encoder.layer4:
        torch.nn.init.zeros_(block.bn2.weight)
        torch.nn.init.constant_(block.bn2.bias, 0.1)
    torch.nn.init.zeros_(encoder.layer4[0].downsample[1].weight)
    save_backbone(folder / "blind.safetensors", encoder, SMALL, normalisation=normalisation)
    return folder


def run(scenes, out, steps, **options):
    given = {
        "images": scenes / "train" / "images",
        "data": scenes,
        "weights": scenes / "untrained.safetensors",
        "out": out,
        "masks": "felzenszwalb_small",
        "labels": 20,
        "pretrain": {**PRETRAIN, "steps": steps},
        "transfer": TRANSFER,
    }
    return detcon.adapt(**{**given, **options})


def test_the_page_begins_with_the_answer_where_adapting_helps(scenes, tmp_path, capsys):
    blind = scenes / "blind.safetensors"
    page = run(scenes, tmp_path / "out", 12, weights=blind)
    text = page.read_text()
    assert "Adapting helped: with 20 labels mIoU +" in text
    said = capsys.readouterr()
    assert "starting from" in said.err and "Adapting helped" in said.err
    assert "to come: masks, 1 pretraining of 12 updates, 9 transfers (3 weights x 1 " in said.err
    assert "mIoU in %" in said.out and "than random" not in said.out + text, "one answer, not two"
    assert "random" in text, "fresh weights are in the table"
    run(scenes, tmp_path / "out", 12, weights=blind)
    assert "Adapting helped" in capsys.readouterr().err, "given again, it only reads"


def test_the_answer_where_nothing_was_learnt(scenes, tmp_path, capsys):
    own = {"fresh": False, "images": scenes / "val" / "images"}
    page = run(scenes, tmp_path / "out", 0, **own)
    number = len(list((scenes / "val" / "images").iterdir()))
    told = (
        f"{number} of {number} validation photos of {scenes} are among images={scenes}/val/images"
    )
    assert told in capsys.readouterr().err
    text = page.read_text()
    assert "told whether adapting helped: with 20 labels mIoU +0.0" in text
    assert "No gain may mean" in text and "Adapting helped" not in text
    assert "0 updates of" in text and "kept their statistics here" in text
    own |= {"masks": tmp_path / "out" / "masks"}
    assert run(scenes, tmp_path / "out", 0, **own) == page, "its own masks, named"


@pytest.fixture(scope="module")
def taught(scenes):
    """A backbone that has learnt the classes of the scenes from labels."""
    task = {"kind": "segmentation", "crop": 64, "batch_size": 16, "steps": 100, "head_channels": 32}
    detcon.transfer(
        task={**task, "optimizer": {"kind": "adamw", "lr": 5e-3}},
        **{"backbone": scenes / "untrained.safetensors", "data": scenes, "out": scenes / "taught"},
        loop={"precision": "32"},
    )
    return scenes / "taught" / "seed0" / "backbone.safetensors"


def test_a_rate_that_spoils_the_features_is_noticed_and_the_best_is_kept(
    scenes, taught, tmp_path, capsys
):
    """With labels and without: a rate 3,000 times too high forgets what the start knows."""

    def spoil(out, **watching):
        detcon.pretrain(
            "simclr_small",
            **{"images": scenes / "train" / "images", "weights": taught, "out": tmp_path / out},
            **{"steps": 4, "batch_size": 16, "workers": 0, **watching, "loop.precision": "32"},
            **{"optimizer.lr": 0.3, "optimizer.encoder_lr": 0.3, "views.size": 64},
        )
        return read_history(tmp_path / out)

    probing = {"data": str(scenes), "every": 2, "task": "linear_segmentation", "labels": 20}
    steps, values = spoil("labels", probing=probing).curve("probe_mIoU")
    assert steps == [0, 2, 4]
    assert max(values[1:]) < values[0] - 0.5, "it is spoilt"
    without = spoil("none", label_free={"photos": 24, "views": 4, "every": 2})
    ranks, kept = without.curve("lidar")[1], without.curve("start_agreement")[1]
    assert max(ranks[1:]) < 0.5 * ranks[0] and max(kept[1:]) < 0.1 < kept[0] == 1
    said = capsys.readouterr().err
    assert f"below the start ({values[0]:.1f}); " in said
    assert f"below 70% of the start ({ranks[0]:.1f}); " in said
    assert said.count("best.safetensors is of step 0") == 2
    before = detcon.load_backbone(taught).encoder.state_dict()
    for out in ("labels", "none"):
        best = detcon.load_backbone(tmp_path / out / "backbone_best.safetensors")
        assert all(torch.equal(t, before[name]) for name, t in best.encoder.state_dict().items())


def test_without_labels_there_is_a_page_with_figures_and_no_verdict(scenes, tmp_path):
    few = {"photos": 8, "views": 2, "neighbours": 3}
    page = run(
        scenes, tmp_path / "out", 2, data=None, pretrain={**PRETRAIN, "steps": 2, "label_free": few}
    )
    text = page.read_text()
    assert "No labelled data were given" in text and "None of these figures says" in text
    assert re.search(r"RankMe went from \d+\.\d to \d+\.\d \(fresh weights: \d+\.\d\)", text)
    assert "adapted (2 updates" in text or "adapted (2 steps" in text


@pytest.mark.parametrize(
    ("encoder", "export"),
    [
        ({"name": "resnet18", "stride": 16}, "to=timm stride=32 out='my out-backbone.pth'"),
        ({"name": "resnet18", "width": 0.5}, "to=onnx out='my out-backbone.onnx'"),
        ({"name": "convnext_atto", "stride": 32}, "to=timm out='my out-backbone.pth'"),
        ({"name": "m:trunk"}, "encoder.name=m:trunk to=own out='my out-backbone.pth'"),
    ],
    ids=["resnet", "narrow", "timm", "own"],
)
def test_what_comes_next_names_the_backbone_to_use(tmp_path, monkeypatch, encoder, export):
    """And its words are settings of the commands that they are for."""
    monkeypatch.chdir(tmp_path)
    words = ["images=photos", "weights=w", "out=my out", "data=mine", "format=yolo", "val=0.2"]
    words += ["labels=10,all", "pretrain.steps=50", "transfer.recipe=folder_linear"]
    words += ["transfer.size=160", "transfer.task.iterations=9"]
    settings = load_recipe(AdaptRecipe, None, parse_overrides(words))
    plan = _pretraining(settings).model_copy(update={"encoder": EncoderRecipe(**encoder)})
    (tmp_path / "my out/adapted").mkdir(parents=True)
    write_recipe(tmp_path / "my out/adapted", plan)
    assert what_to_do_with_it(settings) == "", "stopped by hours= there is no page yet"
    (tmp_path / "my out/report.html").touch()
    opened, task, out = what_to_do_with_it(settings).splitlines()
    assert opened == "open 'my out/report.html' in a browser"
    backbone = "backbone='my out/adapted/backbone.safetensors'"
    assert out.startswith(f"detcon export {backbone} {export}  # ")
    verbs = [shlex.split(line.partition("  # ")[0]) for line in (task, out)]
    load_recipe(ExportRecipe, None, parse_overrides(verbs[1][2:]))
    given = load_recipe(GridRecipe, verbs[0][2], parse_overrides(verbs[0][3:]))
    assert verbs[0][:3] == ["detcon", "transfer", "folder_linear"]
    assert (given.data, given.format, given.val, given.size) == ("mine", "yolo", 0.2, 160)
    assert given.backbone == "my out/adapted/backbone.safetensors" and given.out == "my out-task"
    assert (given.labels, given.seeds, given.task.iterations) == (None, 1, 9)


def test_wrong_settings_are_found_before_any_work(scenes, tmp_path):
    with pytest.raises(RecipeError, match="there is no setting 'pretrain.stepps'"):
        run(scenes, tmp_path / "out", 2, pretrain={**PRETRAIN, "stepps": 3})
    with pytest.raises(RecipeError, match="there is no setting 'transfer.sise'"):
        run(scenes, tmp_path / "out", 2, transfer={**TRANSFER, "sise": 3})
    with pytest.raises(RecipeError, match="no_such"):
        run(scenes, tmp_path / "out", 2, masks="no_such")
    with pytest.raises(RecipeError, match=r"masks=out/msks: there is no such folder; give that of"):
        run(scenes, tmp_path / "out", 2, masks="out/msks")
    assert not (tmp_path / "out").exists()
    with pytest.raises(BackboneError, match="there is no backbone"):
        run(scenes, tmp_path / "out", 2, weights="nothing.safetensors")


def test_what_is_to_come_is_counted(tmp_path):
    given = {"images": "i", "weights": "w", "data": "d", "out": tmp_path, "pretrain.steps": 500}

    def told(**more):
        settings = load_recipe(AdaptRecipe, None, given | more)
        begin, _, end = _ahead(settings, _pretraining(settings), _transfer(settings)).partition(".")
        assert end == " Each says how much time is left once its own pace is known"
        return begin

    assert told() == (
        "to come: masks, 1 pretraining of 500 updates, 9 transfers of 2,000 updates each (3 "
        "weights x 1 number of labels x 3 seeds), and the page"
    )
    several = {"pretrainings": 3, "fresh": False, "labels": (10, None), "seeds": 1}
    assert told(**several, **{"transfer.recipe": "folder_linear"}) == (
        "to come: masks, 3 pretrainings of 500 updates each, 8 transfers (4 weights x 2 numbers of "
        "labels x 1 seed), and the page"
    )
    whole = {"data": None, "pretrain.method.kind": "simclr", "pretrain.steps": None}
    assert told(**whole, **{"pretrain.epochs": 3}) == (
        "to come: 1 pretraining of 3 epochs, and the page"
    )


def test_the_time_is_told_between_the_parts(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 1750.0)
    assert (_so_far(1000.0), _so_far(1749.9)) == (" · 0:12:30 so far", "")


def _results(backbone, values, labels=50):
    return [
        Result("segmentation", "mIoU", "%", value, seed, 1, labels, backbone, None, "", {}, 1.0, {})
        for seed, value in enumerate(values)
    ]


def test_differences_are_paired_by_seed_and_sorted_by_labels():
    results = [
        *_results("a", [40.0, 50.0], None), *_results("b", [41.0, 52.0], None),
        *_results("a", [10.0, 30.0]), *_results("b", [12.0, 31.0]),
    ]  # fmt: skip
    few, all_of_them = compare(results, "a", ["b"])
    assert (few.labels, few.before, few.after, few.each) == (50, 20.0, 21.5, (2.0, 1.0))
    assert all_of_them.labels is None and all_of_them.each == (1.0, 2.0)
    again = [*results, *_results("c", [16.0, 37.0]), *_results("c", [40.0, 50.0], None)]
    few, all_of_them = compare(again, "a", ["b", "c"])
    assert few.each == (1.5, 6.5) and all_of_them.each == (1.5, 0.0), "their means"
    assert few.after == (21.5 + 26.5) / 2


def test_seeds_that_draw_nothing_are_no_spread():
    """A probe of all labels is the same in every seed: an interval of no width would look sure."""
    found = compare([*_results("a", [36.0, 36.0]), *_results("b", [32.5, 32.5])], "a", ["b"])
    first, *others = verdict(found, seeds=2)
    assert first == (
        "It can't be told whether adapting helped: with 50 labels mIoU -3.5, from 36.0 to 32.5 %."
    )
    assert "Where seeds draw nothing all give the same, and there is no interval." in others


def test_several_pretrainings_are_the_spread_of_the_answer(scenes, tmp_path, capsys):
    blind = scenes / "blind.safetensors"
    page = run(scenes, tmp_path / "out", 2, weights=blind, pretrainings=2, fresh=False, seeds=1)
    assert "2/4  pretraining 2 of 2 · 0:0" in capsys.readouterr().err, "the time for the rest"
    text = page.read_text()
    assert "over 2 pretrainings with different seeds; each is judged on one draw of" in text
    first, second = (
        detcon.load_backbone(tmp_path / "out" / name / "backbone.safetensors").encoder.conv1.weight
        for name in ("adapted", "adapted_1")
    )
    assert not torch.equal(first, second)
    with pytest.raises(RecipeError, match=r"give data=, or leave pretrainings out"):
        run(scenes, tmp_path / "out", 2, data=None, pretrainings=2)


def differing(*differences):
    """By 0, 1, … labels, these in each seed."""
    return [
        Difference(i, "mIoU", "%", 1.0, 1.0 + fmean(values), values)
        for i, values in enumerate(differences)
    ]


@pytest.mark.parametrize(
    ("differences", "begin"),
    [
        (
            [(2.9, 3.0, 3.1)],
            "Adapting helped: with 0 labels mIoU +3.0 (95 % interval +2.8 to +3.2)",
        ),
        ([(-2.9, -3.0, -3.1)], "Adapting hurt: with 0 labels mIoU -3.0"),
        ([(-1.0, 3.0, 1.0)], "It can't be told whether adapting helped: with 0 labels mIoU +1.0"),
        ([(3.0,)], "It can't be told whether adapting helped"),
        ([(2.9, 3.0, 3.1), (-1.0, 1.0)], "Adapting helped at some numbers of labels"),
        ([(2.9, 3.0, 3.1), (-3.0, -3.1)], "Adapting helped at some numbers of labels and hurt"),
    ],
)
def test_the_first_sentence_is_true(differences, begin):
    sentences = verdict(differing(*differences), seeds=len(differences[0]))
    assert sentences[0].startswith(begin)
    assert any("chance" in one for one in sentences) == (len(differences[0]) == 1)


@pytest.mark.parametrize(
    ("seeds", "pretrainings", "differences", "said"),
    [
        (2, 1, (3.0, 5.0), "Two seeds show little: give seeds=3 or more; the same command goes on"),
        (3, 2, (3.0, 5.0), "Two pretrainings show little: give pretrainings=3 or more; the same"),
        (2, 1, (3.0, 3.1), None),
        (2, 1, (3.0, 3.0), None),
        (2, 3, (3.0, 5.0, -4.0), None),
        (3, 1, (3.0, 5.0, -4.0), None),
    ],
)
def test_two_that_tell_nothing_are_called_few(seeds, pretrainings, differences, said):
    sentences = verdict(differing(differences), seeds=seeds, pretrainings=pretrainings)
    assert [one for one in sentences if "show little" in one] == [
        one for one in sentences if said is not None and one.startswith(said)
    ]
    assert ("show little" in " ".join(sentences)) == (said is not None)


def test_weights_are_given_as_to_a_pretraining(scenes, tmp_path):
    words = [
        "weights=w",
        "weights.partial=true",
        "weights.bands=mean",
        "transfer.backbone_sha256=a",
    ]
    given = {"images": "i", "data": "d", "out": "o", "masks": "grid"} | parse_overrides(words)
    settings = load_recipe(AdaptRecipe, None, given)
    plan, grid = _pretraining(settings), _transfer(settings)
    assert plan.weights == WeightsRecipe(source="w", partial=True, bands="mean")
    assert (grid.backbone, grid.backbone_partial) == ("w", True), "before and after, as one"
    whole = _transfer(load_recipe(AdaptRecipe, None, given | {"weights.partial": False}))
    assert not whole.backbone_partial
    own = given | {"transfer.backbone_partial": False}
    assert not _transfer(load_recipe(AdaptRecipe, None, own)).backbone_partial
    with pytest.raises(RecipeError, match="'pretrain.weights' is set by 'weights'; give weights.p"):
        run(scenes, tmp_path / "out", 2, pretrain={**PRETRAIN, "weights": {"partial": True}})


def test_a_setting_over_the_usual_recipe_leaves_the_rest_of_it(scenes, tmp_path):
    settings = load_recipe(
        AdaptRecipe,
        None,
        {"images": scenes, "weights": "w", "data": scenes, "out": tmp_path, "pretrain.epochs": 3,
         "masks": "grid", "task": "segmentation", "transfer.size": 99},
    )  # fmt: skip
    plan, grid = _pretraining(settings), _transfer(settings)
    assert (plan.epochs, plan.optimizer.lr) == (3, 1e-3), "of recipes/pretrain/adapt.yaml"
    assert plan.freeze_norms and plan.optimizer.encoder_lr == 1e-4, "as always with weights"
    assert (grid.size, grid.task.steps) == (99, 2000), "of recipes/transfer/folder_fcn.yaml"


def test_the_reasons_do_without_photos_that_are_gone(scenes, tmp_path):
    plan = load_recipe(
        PretrainRecipe, "adapt", {"images": str(tmp_path / "gone"), "out": str(tmp_path)}
    )
    said = _reasons(plan, scenes / "untrained.safetensors")
    assert "updates of" in said and "passes" not in said and "Batch norms moved here" in said
