"""Tests for detcon.report.runs and detcon.report.compare: what is read, and what it says."""

import json
import shutil
import statistics

import pytest
from hypothesis import given, strategies as st
from run_folders import write_pretraining, write_transfer

from detcon.report.compare import Comparison, Entry, compare, describe, introduce, tell_apart
from detcon.report.figures import looks
from detcon.report.runs import gather_runs
from detcon.report.tables import make_table
from detcon.results import RunError
from detcon.results.difference import RANDOM


def test_finds_the_same_runs_one_by_one_and_in_their_folder(runs):
    together, apart = gather_runs([runs.folder]), gather_runs(sorted(runs.folder.iterdir()))
    assert together == apart
    assert [run.name for run in together.pretrainings] == ["DetCon-S", "SimCLR"]
    assert len(together.outcomes) == 9


def test_a_run_given_twice_counts_once(runs):
    assert gather_runs([runs.folder, runs.ours]) == gather_runs([runs.folder])


def test_results_know_the_run_that_made_their_backbone(runs):
    names = {seed.run: seed.backbone for seed in gather_runs([runs.folder]).outcomes}
    assert names == {"seg_ours": "DetCon-S", "seg_theirs": "SimCLR", "seg_random": RANDOM}


def test_they_still_know_it_after_the_folders_moved(runs, tmp_path):
    moved = runs.folder.rename(tmp_path / "elsewhere")
    names = {seed.run: seed.backbone for seed in gather_runs([moved]).outcomes}
    assert names["seg_ours"] == "DetCon-S"


def test_two_runs_of_one_method_are_told_apart_by_their_folders(runs, collection):
    write_pretraining(
        runs.folder / "longer", images=collection.photos, masks=collection.masks, kind="detcon_s"
    )
    names = [run.name for run in gather_runs([runs.folder]).pretrainings]
    assert sorted(names) == ["DetCon-S · longer", "DetCon-S · one", "SimCLR"]


def test_a_seed_under_way_is_no_pretraining_run(runs):
    place = runs.folder / "seg_ours" / "seed3"
    place.mkdir()
    (place / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    found = gather_runs([runs.folder])
    assert len(found.pretrainings) == 2 and len(found.outcomes) == 9


def test_a_line_that_was_being_written_is_left_out(runs):
    path = runs.ours / "metrics.jsonl"
    before = gather_runs([runs.ours])
    path.write_text(path.read_text() + '{"step": 810, "lo')
    assert gather_runs([runs.ours]) == before


def test_what_a_resumed_run_logged_last_counts(runs):
    with (runs.ours / "metrics.jsonl").open("a") as file:
        file.write('{"step": 10, "loss": 99.0}\n')
    (run,) = gather_runs([runs.ours]).pretrainings
    steps, losses = run.history.curve("loss")
    assert steps == sorted(set(steps)) and losses[0] == 99.0


def test_names_the_broken_line(runs):
    path = runs.ours / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = '{"step": 50, "loss": '
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match=r"line 5 of .*one/metrics\.jsonl is not JSON: .* delete"):
        gather_runs([runs.folder])


def test_names_the_line_without_a_step(runs):
    path = runs.ours / "metrics.jsonl"
    path.write_text('{"loss": 1.0}\n' + path.read_text())
    with pytest.raises(RunError, match=r"line 1 of .*metrics\.jsonl has no whole number 'step'"):
        gather_runs([runs.folder])


def test_names_the_broken_result(runs):
    path = runs.folder / "seg_ours" / "seed1" / "result.json"
    path.write_text("{")
    with pytest.raises(RunError, match=r"seed1/result\.json is not JSON: "):
        gather_runs([runs.folder])


def test_names_what_a_result_lacks(runs):
    path = runs.folder / "seg_ours" / "seed1" / "result.json"
    values = json.loads(path.read_text())
    del values["value"]
    path.write_text(json.dumps(values))
    with pytest.raises(RunError, match=r"result\.json has no 'value'; was it written by detcon"):
        gather_runs([runs.folder])


def test_names_a_number_that_is_none(runs):
    path = runs.folder / "seg_ours" / "seed1" / "result.json"
    path.write_text(path.read_text().replace('"value": 42.5', '"value": "high"'))
    with pytest.raises(RunError, match=r"result\.json: 'value' must be a number, not 'high'"):
        gather_runs([runs.folder])


def test_says_when_there_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"holds no run: no metrics\.jsonl .* and no result\.json"):
        gather_runs([tmp_path])
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "metrics.jsonl").touch()
    with pytest.raises(RunError, match=r"half has a metrics\.jsonl, but no recipe\.yaml .* copy "):
        gather_runs([tmp_path / "half"])
    (tmp_path / "half" / "recipe.yaml").write_text("data: x\n")
    with pytest.raises(RunError, match=r"half is a transfer that isn't finished .* again"):
        gather_runs([tmp_path / "half"])
    with pytest.raises(RunError, match=r"there is no run folder .*nowhere; give folders"):
        gather_runs([tmp_path / "nowhere"])
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file is a file, not a run folder"):
        gather_runs([tmp_path / "file"])
    with pytest.raises(RunError, match="needs at least one run folder"):
        gather_runs([])


def test_says_when_a_recipe_is_no_recipe(runs):
    (runs.ours / "recipe.yaml").write_text("images: [1, 2")
    with pytest.raises(RunError, match=r"one/recipe\.yaml: it is not YAML"):
        gather_runs([runs.folder])


def sentence(*entries):
    return describe(Comparison("segmentation", "mIoU", "%", entries), entries[0].labels)


def test_the_sentence_says_what_is_better_and_how_sure_that_is(runs):
    found = gather_runs([runs.folder])
    (comparison,) = compare(found.outcomes)
    assert describe(comparison, 20) == (
        "In segmentation with 20 labelled pictures, DetCon-S is better than random weights: "
        "mIoU +11.9 (95 % interval +6.7 to +17.2), 41.2 against 29.3 % over 3 seeds; SimCLR is "
        "better than random weights: mIoU +9.3 (95 % interval +4.7 to +14.0), 38.6 against 29.3 % "
        "over 3 seeds; DetCon-S is better than SimCLR: mIoU +2.6 (95 % interval +0.6 to +4.6), "
        "41.2 against 38.6 % over 3 seeds."
    )
    assert introduce(found.pretrainings, [comparison]) == (
        "Pretrained without labels: DetCon-S (800 steps in 3 min) and SimCLR (800 steps in 3 min). "
        "Compared with: random weights. Evaluated by segmentation (mIoU)."
    )


def test_a_difference_that_may_be_chance_cannot_be_told():
    """A newcomer's page said of 0.0 against 0.0 that one had the highest mean."""
    byol, random = (
        Entry("BYOL", None, (0, 1), (10.0, 9.0)),
        Entry(RANDOM, None, (0, 1), (12.0, 8.0)),
    )
    assert sentence(byol, random) == (
        "In segmentation with all labelled pictures, it can't be told whether BYOL is better than "
        "random weights: mIoU -0.5 (95 % interval -19.6 to +18.6), 9.5 against 10.0 % over 2 seeds."
    )
    nothing = (
        Entry("BYOL", 9, (0, 1, 2), (0.03, 0.03, 0.04)),
        Entry(RANDOM, 9, (0, 1, 2), (0.0,) * 3),
    )
    assert sentence(*nothing) == (
        "In segmentation with 9 labelled pictures, it can't be told whether BYOL is better than "
        "random weights: mIoU +0.0 (95 % interval +0.0 to +0.0), 0.0 against 0.0 % over 3 seeds."
    )
    assert Comparison("segmentation", "mIoU", "%", nothing).best(9) is None


def test_what_cannot_be_told_is_said_once_and_last():
    seeds = (0, 1, 2)
    said = sentence(
        Entry("DetCon-S", 9, seeds, (9.0, 9.1, 9.3)),
        Entry("SimCLR", 9, seeds, (7.0, 9.0, 11.0)),
        Entry(RANDOM, 9, seeds, (7.0, 7.2, 7.3)),
    )
    first, second, third = said.split("; ")
    assert "DetCon-S is better than random weights" in first
    assert second.startswith("it can't be told whether SimCLR is better than random weights: mIoU")
    assert third.startswith(
        "nor whether DetCon-S is better than SimCLR: mIoU +0.1 (95 % interval -"
    )


def test_worse_than_random_weights_is_said():
    seeds = (0, 1, 2)
    said = sentence(
        Entry("BYOL", 9, seeds, (5.0, 6.1, 7.0)), Entry(RANDOM, 9, seeds, (8.0, 9.0, 10.0))
    )
    assert "BYOL is worse than random weights: mIoU -3.0 (95 % interval -3.1 to -2.8)" in said


def test_seeds_that_draw_nothing_are_no_repeats():
    said = sentence(
        Entry("BYOL", None, (0, 1), (36.0, 36.0)), Entry("start", None, (0, 1), (32.5,) * 2)
    )
    assert "it can't be told whether BYOL is better than start: mIoU +3.5, 36.0 against" in said
    assert said.endswith("32.5 % over 2 seeds, the same in each.")


def test_seeds_that_only_one_has_are_not_compared():
    said = sentence(Entry("BYOL", 9, (0, 1), (12.0, 11.0)), Entry("SimCLR", 9, (2, 3), (10.0, 8.0)))
    assert "it can't be told" in said
    assert said.endswith("mIoU +2.5, 11.5 against 9.0 % with different seeds.")
    said = sentence(Entry("BYOL", 9, (0, 1), (12.0, 11.0)), Entry("SimCLR", 9, (1,), (10.0,)))
    assert "mIoU +1.0, 11.0 against 10.0 % over 1 seed." in said


def test_folders_are_in_the_order_of_their_numbers(tmp_path, runs):
    for name in ("run1", "run10", "run2"):
        shutil.copytree(runs.folder / "seg_random", tmp_path / "mine" / name)
    given = [tmp_path / "mine" / name for name in ("run1", "run10", "run2")]  # as a shell lists
    for folders in (given, [tmp_path / "mine"]):
        found = gather_runs(folders)
        assert [one.folder.name for one in found.transfers] == ["run1", "run2", "run10"]
    found = gather_runs([given[1], given[0], given[2]])  # as a user lists them
    assert [one.folder.name for one in found.transfers] == ["run10", "run1", "run2"]


def test_one_seed_tells_nothing():
    assert sentence(Entry("BYOL", None, (0,), (20.94,)), Entry(RANDOM, None, (0,), (20.56,))) == (
        "In segmentation with all labelled pictures, it can't be told whether BYOL is better than "
        "random weights: mIoU +0.3, 20.9 against 20.6 % over 1 seed. One seed can't tell a "
        "difference from chance."
    )


def test_the_difference_is_that_of_the_numbers_shown():
    """The cards said 20.9 and 20.6, the sentence 0.4 points."""
    seeds = (0, 1)
    said = sentence(Entry("BYOL", 9, seeds, (20.94,) * 2), Entry(RANDOM, 9, seeds, (20.56,) * 2))
    assert "mIoU +0.3, 20.9 against 20.6 %" in said


def test_a_single_backbone_is_not_called_best():
    assert sentence(Entry("BYOL", 1, (0,), (10.0,))) == (
        "In segmentation with 1 labelled picture, BYOL: 10.0 % mIoU over 1 seed; there is nothing "
        "to compare it with."
    )


@given(st.lists(st.floats(0, 100), min_size=2, max_size=8))
def test_means_and_deviations_are_those_of_the_seeds(values):
    cell = Entry("x", None, tuple(range(len(values))), tuple(values))
    assert cell.mean == pytest.approx(statistics.fmean(values))
    assert cell.deviation == pytest.approx(statistics.stdev(values))


def test_runs_that_share_seeds_are_not_averaged(runs):
    write_transfer(runs.folder / "seg_ours_again", values=[10.0, 20.0],
                   backbone=str(runs.ours / "backbone.safetensors"))  # fmt: skip
    (comparison,) = compare(tell_apart(gather_runs([runs.folder]).outcomes))
    assert set(comparison.backbones()) == {
        "DetCon-S · seg_ours", "DetCon-S · seg_ours_again", "SimCLR", RANDOM,
    }  # fmt: skip


def test_two_adaptations_are_compared_with_the_start_that_both_were_judged_beside(runs):
    """A newcomer's page called it two backbones, and compared each with random weights."""
    for run, name in ((runs.ours, "bold"), (runs.theirs, "careful")):
        recipe = (run / "recipe.yaml").read_text()
        (run / "recipe.yaml").write_text(f"{recipe}weights: {{source: start.safetensors}}\n")
        write_transfer(runs.folder / name, values=[30.0, 31.0, 33.0], backbone="start.safetensors")
    found = gather_runs([runs.folder])
    (comparison,) = compare(tell_apart(found.outcomes))
    assert set(comparison.backbones()) == {"DetCon-S", "SimCLR", "start", RANDOM}
    assert found.baseline == "start"
    said = describe(comparison, 20, found.baseline)
    assert "DetCon-S is better than start: " in said and "SimCLR is better than start: " in said
    assert "DetCon-S is better than SimCLR: " in said and "random" not in said
    (runs.theirs / "recipe.yaml").write_text(f"{recipe}weights: {{source: other.safetensors}}\n")
    assert gather_runs([runs.folder]).baseline == RANDOM


def test_each_figure_of_depth_has_its_own_unit_and_digits(runs):
    """The root mean square of 0.573 m was shown as 0.6 %, and 0.144 and 0.0587 both as 0.1."""
    folder = runs.folder / "depth" / "seed0"
    folder.mkdir(parents=True)
    figures = {"delta1": 81.12, "rms": 0.573, "relative": 0.144, "log10": 0.0587, "none": None}
    values = json.loads((runs.folder / "seg_random" / "seed0" / "result.json").read_text())
    values |= {"task": "depth", "metric": "delta1", "value": 81.12, "figures": figures}
    (folder / "result.json").write_text(json.dumps(values | {"per_class": {}}))
    outcomes = gather_runs([folder.parent]).outcomes
    (comparison,) = compare(outcomes)
    table = make_table(comparison, outcomes, looks([RANDOM]))
    assert table.figures.rows == {
        "delta1 (%)": ["81.1"], "rms (m)": ["0.573"], "relative": ["0.144"], "log10": ["0.0587"],
        "none (%)": ["none"],
    }  # fmt: skip
