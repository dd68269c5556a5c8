"""A study is carried out: once, whatever stops it, and the figures stay."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch

from detcon.config import load_recipe
from detcon.files import locked
from detcon.masks.quality.scoring import score_stores
from detcon.masks.quality.truth import open_truth
from detcon.masks.store import MaskStore
from detcon.models.backbone_file import load_backbone, save_backbone
from detcon.models.recipe import EncoderRecipe
from detcon.results.history import read_history
from detcon.study import StudyError
from detcon.study.cell import make_cells
from detcon.study.grid import Point
from detcon.study.recipe import StudyRecipe
from detcon.study.running import run_study
from detcon.train.steps import Steps

TWO = {"seed": [0], "method": {"random": {"backbone": "random"}, "detcon_s": {"masks": "grid"}}}
RESULTS = Path("studies/results/tiny.jsonl")


def results(path=RESULTS):
    """The records by the name of their cell, in the order of names."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return dict(sorted((Point(record["cell"], {}).name, record) for record in records))


def without_times(record):
    return {name: value for name, value in record.items() if name not in ("seconds", "machine")}


def test_two_cells_are_run_once_and_give_the_same_figures_elsewhere(write_study, monkeypatch):
    study = write_study(grid=TWO)
    assert run_study(study) == RESULTS
    first = results()
    assert list(first) == ["seed0-detcon_s", "seed0-random"]
    record = first["seed0-detcon_s"]
    assert record["command"] == "detcon study tiny.yaml data.scenes=DIR" and record["pairs"] == 32
    assert record["embeddings"].keys() == {"embedding_std", "effective_rank", "accuracy"}
    assert record["cell"] == {"seed": 0, "method": "detcon_s"} and 0 < record["value"] < 100
    assert record["seconds"]["pretrain"] > 0 == first["seed0-random"]["seconds"]["pretrain"]
    assert str(Path.cwd()) not in json.dumps(first), "no path of this machine"
    before = RESULTS.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("detcon.study.running.carry_out", None)
        run_study(study)
    assert RESULTS.read_bytes() == before
    run_study(study, results="again.jsonl", work="runs/again")
    again = results(Path("again.jsonl"))["seed0-detcon_s"]
    assert without_times(again) == without_times(record), "to the last digit"


def test_masks_are_held_against_the_true_ones_where_that_is_asked_for(write_study):
    methods = {"exact": {"masks": "exact"}, "grid": {"masks": "grid"}}
    grid = {"seed": [0], "method": methods | {"random": {"backbone": "random"}}}
    run_study(write_study(grid=grid, overlap={"scenes": "exact"}))
    overlaps = {name.removeprefix("seed0-"): one["overlap"] for name, one in results().items()}
    assert overlaps["exact"] == 1 > overlaps["grid"] > 0 and overlaps["random"] is None


def test_backbones_are_measured_without_labels_once_also_finished_ones(write_study, monkeypatch):
    """The start of a pretraining from fresh weights is that of its seed."""
    rates = {"slow": 1e-9, "fast": 0.1}
    methods = {n: {"masks": "grid", "pretrain.optimizer.lr": lr} for n, lr in rates.items()}
    study = {"grid": {"seed": [1], "method": methods}, "figure": {"x": "method"}}
    run_study(write_study(**study))
    with monkeypatch.context() as patch:
        patch.setattr("detcon.study.running.carry_out", None)
        label_free = {"images": "scenes", "masks": "grid", "photos": 6, "views": 2, "neighbours": 3}
        path = write_study(**study, label_free=label_free)
        run_study(path)
    file = Path("studies/results/tiny.label_free.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    fast, slow = sorted(row["figures"]["start_agreement"] for row in rows)
    assert len(rows) == 2 and fast < 0.5 < slow
    assert str(Path.cwd()) not in file.read_text(), "no path of this machine"
    before = file.read_bytes()
    run_study(path)
    assert file.read_bytes() == before


def test_masks_that_the_network_finds_are_measured_when_it_has_found_the_last(write_study):
    """Without masks from elsewhere; those found after update 2 of 4."""
    discovery = {"every": 2, "num": 4, "side": 32}
    sources = {"grid": {"masks": "grid"}, "found": {"pretrain.discovery": discovery}}
    grid = {"seed": [0], "source": sources}
    study = write_study(grid=grid, figure={"x": "source"}, overlap={"scenes": "exact"})
    run_study(study)
    (store,) = Path("runs/tiny/pretrain").glob("*/discovery/step-000002")
    truth = open_truth("runs/tiny/masks/scenes/exact")
    (score,) = score_stores([MaskStore(store)], truth)
    found = results()["seed0-found"]
    assert found["overlap"] == score.quality().average_best_overlap > 0
    assert found["settings"]["masks"] is None and found["seconds"]["pretrain"] > 0
    page = run_study(study, report=True).read_text()
    assert "| discovered every 2 |" in page and "| grid |" in page


def test_displaced_masks_are_seen_from_the_data_too(write_study):
    exact = {"folder": "train/instances", "background": True, "ignore": None}
    masks = {"exact": {"kind": "annotations", **exact}}
    masks |= {f"off_{a}": {"kind": "displaced", "amount": a / 100, **exact} for a in (0, 5, 30)}
    grid = {"seed": [0], "method": {name: {"masks": name} for name in masks}}
    run_study(write_study(masks=masks, grid=grid, overlap={"scenes": "exact"}))
    overlaps = {name.removeprefix("seed0-"): one["overlap"] for name, one in results().items()}
    assert overlaps["exact"] == overlaps["off_0"] == 1 > overlaps["off_5"] > overlaps["off_30"] > 0
    assert len({one["fingerprint"] for one in results().values()}) == 4


def test_a_backbone_may_learn_from_labels(write_study, monkeypatch):
    methods = {"supervised": {"backbone": "supervised"}, "random": {"backbone": "random"}}
    told = {"recipe": "recipes/transfer/demo_fcn.yaml", "labels": 4, "seeds": 1}
    told |= {"task.crop": 32, "task.steps": 2, "task.batch_size": 4, "task.head_channels": 8}
    grid = {"seed": [3], "method": methods, "supervise.labels": [2, 4]}
    study = write_study(
        grid=grid, supervise=told, figure={"x": "supervise.labels", "lines": "method"}
    )
    run_study(study)
    found = results()
    assert list(found) == [
        "seed3-random-labels2",
        "seed3-supervised-labels2",
        "seed3-supervised-labels4",
    ]
    record = found["seed3-supervised-labels4"]
    assert record["settings"]["supervise"]["seed"] == 3 and record["settings"]["pretrain"] is None
    assert record["pairs"] == 8 and record["seconds"]["pretrain"] > 0 and record["overlap"] is None
    assert record["embeddings"] is None
    assert len({one["value"] for one in found.values()}) == 3, "each has its own backbone"
    monkeypatch.setattr("detcon.study.running.carry_out", None)
    run_study(study)


def test_cells_may_start_from_weights_and_judge_them_as_they_are(write_study, tmp_path):
    torch.manual_seed(0)
    start = load_backbone("random", encoder=EncoderRecipe(name="resnet18", width=0.125, stride=16))
    file = tmp_path / "mine.safetensors"
    save_backbone(file, start.encoder, start.recipe, normalisation=start.normalisation)
    methods = {"start": {"backbone": "mine"}, "adapted": {"pretrain.weights": "mine"}}
    methods["unchanged"] = {"pretrain.weights": "mine", "steps": 0}
    method = {"kind": "region_distillation", "teacher": "mine", "hidden": 32}
    methods["distilled"] = {"pretrain.method": method}
    grid = {"seed": [0], "method": {name: {"masks": "grid"} | m for name, m in methods.items()}}
    needed = {"mine": {"what": "my own weights"}}
    study = write_study(grid=grid, weights=needed)
    with pytest.raises(StudyError, match=r"needs my own weights; give its place: weights.mine=FI"):
        run_study(study)
    run_study(study, **{"weights.mine": str(file)})
    found = {record["cell"]["method"]: record for record in results().values()}
    assert found["start"]["value"] == found["unchanged"]["value"] != found["adapted"]["value"]
    assert found["distilled"]["settings"]["pretrain"]["method"]["teacher"]["source"] == "mine"
    assert "weights.mine=FILE" in found["start"]["command"]
    assert str(tmp_path) not in RESULTS.read_text()
    other = write_study(grid=grid, weights={"mine": {"path": str(file), "digest": "another"}})
    with pytest.raises(StudyError, match="have the digest"):
        run_study(other, results="studies/results/other.jsonl", work="runs/other")


def test_a_result_counts_by_its_settings_and_not_by_its_name(write_study, monkeypatch):
    study = write_study(grid=TWO)
    run_study(study)
    monkeypatch.setattr("detcon.study.running.carry_out", None)
    wider = {"pretrain.optimizer.lr": [1e-3], **TWO}
    run_study(write_study(grid=wider))  # an axis of one value changes the names alone


def test_a_changed_recipe_is_told_of(write_study):
    run_study(write_study(grid=TWO))
    sentence = (
        r"tiny.jsonl holds the cell seed0-detcon_s with another recipe: pretrain.optimizer.lr is "
        r"0.001 there and 0.1 now; move it away, or give another results="
    )
    with pytest.raises(StudyError, match=sentence):
        run_study("tiny.yaml", **{"pretrain.optimizer.lr": 0.1})


def test_a_result_of_a_version_that_knew_fewer_settings_counts(write_study, monkeypatch):
    study = write_study(grid=TWO)
    run_study(study)
    records = results()
    settings = records["seed0-detcon_s"]["settings"]
    del settings["pretrain"]["sync_norms"], settings["masks"]["columns"]
    RESULTS.write_text("".join(json.dumps(record) + "\n" for record in records.values()))
    monkeypatch.setattr("detcon.study.running.carry_out", None)
    run_study(study)


class TimeIsUp:
    """After so many updates in all, the time's end: what the timer does, without a clock."""

    def __init__(self, updates):
        self.left = updates

    def patch(self, patch):
        whole = Steps.update

        def update(run, batch):
            self.left -= 1
            if self.left == 0:
                patch.setattr("detcon.train.limit.TimeLimit.passed", True)
                os.kill(os.getpid(), signal.SIGINT)
            return whole(run, batch)

        patch.setattr(Steps, "update", update)


def test_when_the_time_is_up_the_cell_stops_and_later_goes_on(write_study, monkeypatch, capsys):
    run_study(write_study(grid=TWO), results="whole.jsonl", work="runs/whole")
    with monkeypatch.context() as patch:
        TimeIsUp(3).patch(patch)
        run_study("tiny.yaml", hours=1)
    assert list(results()) == ["seed0-random"], "what was finished is kept"
    assert "the time is up: 1 of 2 cells are done; give the same command" in capsys.readouterr().err
    (run,) = Path("runs/tiny/pretrain").iterdir()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    run_study("tiny.yaml")
    assert "going on after step 3 of 4" in capsys.readouterr().err
    whole = results(Path("whole.jsonl"))["seed0-detcon_s"]
    assert without_times(results()["seed0-detcon_s"]) == without_times(whole)
    assert [line["step"] for line in read_history(run).rows] == [1, 2, 4]


def test_without_time_nothing_is_begun(write_study, capsys):
    run_study(write_study(grid=TWO), hours=0)
    assert not RESULTS.exists()
    assert "the time is up: 0 of 2 cells are done" in capsys.readouterr().err


def test_ctrl_c_ends_the_study(write_study, monkeypatch):
    before = signal.getsignal(signal.SIGINT)  # a job in the background of a shell ignores it
    with monkeypatch.context() as patch:
        patch.setattr("detcon.study.places.Places.data", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(write_study(grid=TWO), hours=1)
    assert signal.getsignal(signal.SIGINT) is before


def interrupted(*_):
    os.kill(os.getpid(), signal.SIGINT)


def test_a_cell_that_fails_doesnt_keep_the_others_from_running(write_study, monkeypatch):
    def fail(*_, **__):
        raise ValueError("the loss is not finite")

    study = write_study(grid=TWO | {"seed": [0, 1]})
    with monkeypatch.context() as patch:
        patch.setattr("detcon.study.running.pretrain", fail)
        sentence = "2 of 4 cells failed, the first is seed0-detcon_s: the loss is not finite"
        with pytest.raises(StudyError, match=sentence):
            run_study(study)
    assert list(results()) == ["seed0-random", "seed1-random"]
    run_study(study)
    assert len(results()) == 4


def test_a_cell_that_another_process_runs_is_left_to_it(write_study, capsys):
    study = write_study(grid=TWO)
    (run,) = {cell.pretraining for cell in make_cells(load_recipe(StudyRecipe, study))} - {None}
    with locked(Path("runs/tiny/locks", run)):
        run_study(study)
        assert list(results()) == ["seed0-random"]
        said = "1 of 2 cells are done; other processes run the rest in runs/tiny"
        assert said in capsys.readouterr().err
    run_study(study)
    assert len(results()) == 2 and "other processes" not in capsys.readouterr().err


def test_a_cell_that_another_process_finished_meanwhile_is_not_run_again(write_study, monkeypatch):
    """Both began before either had a result; the other one ends its cell first."""
    study = write_study(grid=TWO)
    run_study(study)
    before = RESULTS.read_bytes()
    monkeypatch.setattr("detcon.study.running.find_records", lambda *_: {})
    monkeypatch.setattr("detcon.study.running.carry_out", None)
    run_study(study)
    assert RESULTS.read_bytes() == before


def test_what_is_being_made_is_locked(write_study, monkeypatch):
    study = load_recipe(StudyRecipe, write_study(grid=TWO))
    cells, locks = make_cells(study), Path(study.work_folder, "locks")
    seen = []

    def watch(name, place):
        whole = getattr(sys.modules[place], name)

        def watched(*args, **settings):
            held = [p.name for p in sorted(locks.iterdir()) if not is_free(p)]
            seen.append((name, held))
            return whole(*args, **settings)

        monkeypatch.setattr(f"{place}.{name}", watched)

    watch("make_masks", "detcon.study.places")
    watch("append_record", "detcon.study.running")
    run_study(study)
    random, detcon_s = (cell.pretraining or cell.fingerprint for cell in cells)
    assert seen[0] == ("append_record", [random])
    assert seen[1:] == [
        ("make_masks", [detcon_s, "masks-scenes-grid"]),
        ("append_record", [detcon_s]),
    ]


def is_free(path):
    with locked(path, wait=False) as is_ours:
        return is_ours


def test_shares_make_the_whole(write_study):
    study = write_study(grid=TWO)
    run_study(study, shard="2/2")
    assert list(results()) == ["seed0-detcon_s"]
    run_study(study, shard="1/2")
    assert len(results()) == 2


@pytest.mark.parametrize(
    "overrides, sentence",
    [
        ({}, r"the study tiny needs CamVid, in two; give its place: data.camvid=DIR"),
        ({"data.camvid": "nowhere"}, "there is no folder nowhere, which data.camvid names; the"),
    ],
)
def test_a_missing_folder_is_said_before_anything_begins(write_study, overrides, sentence):
    study = write_study(data={"camvid": {"kind": "folder", "what": "CamVid, in two"}})
    with pytest.raises(StudyError, match=sentence):
        run_study(study, **overrides)
    assert not Path("runs").exists()


def test_stale_backbones_of_other_photos_are_refused(write_study, scenes, tmp_path):
    """The photos have the same names in both folders."""
    study = write_study(grid={"seed": [0], "method": {"detcon_s": {"masks": "grid"}}})
    run_study(study)
    shutil.copytree(scenes, tmp_path / "moved")
    run_study(study, results="again.jsonl", **{"data.scenes": "moved"})
    for photo in (tmp_path / "moved/train/images").iterdir():
        photo.write_bytes(photo.read_bytes() + b"0")
    sentence = "was trained on other photos than those of moved/train/images .* give another work="
    with pytest.raises(StudyError, match=sentence):
        run_study(study, results="others.jsonl", **{"data.scenes": "moved"})


def test_results_of_data_that_changed_are_stale(write_study, scenes, tmp_path, monkeypatch, capsys):
    """Finished cells know what they learnt from, wherever it lies; older ones are counted."""
    study = write_study(grid=TWO)
    run_study(study)
    inputs = results()["seed0-detcon_s"]["inputs"]
    assert inputs["images"]["files"] == 16 < inputs["data"]["files"] and "newest" in inputs["data"]
    assert not inputs["data"]["newest"] and str(scenes) not in RESULTS.read_text()
    monkeypatch.setattr("detcon.study.running.carry_out", None)
    shutil.copytree(scenes, tmp_path / "moved")
    capsys.readouterr()
    run_study(study, **{"data.scenes": "moved"})
    assert "earlier version" not in capsys.readouterr().err
    label = tmp_path / "moved/val/labels/000016.png"
    shutil.copy(tmp_path / "moved/val/labels/000017.png", label)
    sentence = (
        r"2 finished cells of .*tiny\.jsonl, seed0-random first, learnt from other data than "
        r"data\.scenes holds now \(one or more of its .*; give those, or move their lines away"
    )
    with pytest.raises(StudyError, match=sentence):
        run_study(study, **{"data.scenes": "moved"})
    label.unlink()
    run_study(study, plan=True, **{"data.scenes": "moved"})
    old = [record | {"inputs": None} for record in results().values()]
    RESULTS.write_text("".join(json.dumps(record) + "\n" for record in old))
    run_study(study, **{"data.scenes": "moved"})
    assert "2 finished cells of an earlier version, which recorded" in capsys.readouterr().err


def test_results_in_the_folder_of_an_earlier_version_are_told_of(write_study, monkeypatch, capsys):
    study = write_study(grid=TWO)
    run_study(study)
    RESULTS.with_suffix("").mkdir()
    for name, record in results().items():
        (RESULTS.with_suffix("") / f"{name}.json").write_text(json.dumps(record))
    RESULTS.unlink()
    monkeypatch.setattr("detcon.study.running.carry_out", None)
    run_study(study)
    said = f"{RESULTS.with_suffix('')}: 2 results of an earlier version read"
    assert said in capsys.readouterr().err


def test_data_that_no_cell_asks_for_are_refused(write_study):
    study = write_study(grid=TWO)
    with pytest.raises(StudyError, match=r"uses data\.scene; did you mean 'data\.scenes'\?"):
        run_study(study, **{"data.scene": "elsewhere"})
    assert not RESULTS.exists()


def test_data_that_only_left_out_cells_need_may_be_given(write_study, scenes):
    data = {name: {"kind": "folder", "path": str(scenes)} for name in ("scenes", "other")}
    run_study(write_study(data=data, grid=TWO), plan=True, **{"data.other": "elsewhere"})


def test_a_result_that_is_damaged_is_named(write_study):
    study = write_study()
    RESULTS.parent.mkdir(parents=True)
    for text in ("{\n", "[]\n"):
        RESULTS.write_text(text)
        with pytest.raises(StudyError, match=r"line 1 of .*tiny\.jsonl .*; delete the line"):
            run_study(study)
    RESULTS.write_text('{"study": "tiny"}\n')
    with pytest.raises(StudyError, match=r"line 1 of .*tiny\.jsonl is no result of a study .*move"):
        run_study(study)
    RESULTS.unlink()
    RESULTS.with_suffix("").mkdir()
    (RESULTS.with_suffix("") / "x.json").write_text("{")
    with pytest.raises(StudyError, match=r"tiny/x.json is not JSON: .*move it away to run"):
        run_study(study)
