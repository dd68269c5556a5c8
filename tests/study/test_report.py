"""What is said of results: plans, statistics, figures and sections, from made-up JSONs."""

import itertools
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from detcon.config import RecipeError, load_recipe
from detcon.results.lines import append_line
from detcon.results.statistics import (
    correlation,
    effects,
    half_width,
    paired,
    rank_correlation,
    sooner,
)
from detcon.study import StudyError, figures, report
from detcon.study.arranged import Source, arrange
from detcon.study.cell import make_cells
from detcon.study.plan import costs, in_all, undisturbed_seconds
from detcon.study.recipe import StudyRecipe
from detcon.study.records import Record, append_record, find_records, read_records
from detcon.study.running import run_study

RESULTS = Path("studies/results/tiny.jsonl")
GRID = {
    "seed": [0, 1, 2],
    "method": {
        "random": {"backbone": "random"},
        "simclr": {"pretrain.method.kind": "simclr"},
        "detcon_s": {"masks": "grid"},
    },
    "steps": [4, 8, 16],
    "labels": [2, 4],
}
FIGURE = {
    "x": "steps",
    "lines": "method",
    "panels": ["labels"],
    "baseline": "simclr",
    "sooner": [["detcon_s", "simclr"]],
}


def made_up(cell, value, seconds=10.0, overlap=None):
    return Record(
        study="tiny",
        cell=cell.points[0],
        command="detcon study tiny.yaml",
        fingerprint=cell.fingerprint,
        metric="mIoU",
        unit="%",
        value=value,
        figures={},
        per_class={},
        pairs=cell.pairs,
        overlap=overlap,
        seconds={"pretrain": seconds * bool(cell.pairs), "transfer": 2.0},
        versions={"torch": "2.0"},
        machine={"cpu": "a CPU", "threads": 1},
        settings=cell.settings.model_dump(mode="json"),
    )


def value_of(point):
    """DetCon-S needs half of SimCLR's steps; seeds differ by a point."""
    if point["method"] == "random":
        return 10.0 + point["seed"]
    steps = point["steps"] * (2 if point["method"] == "detcon_s" else 1)
    return 10.0 * math.log2(steps) + point["seed"] + point["labels"] / 10


def keep_lines(wanted):
    """Removes the other lines from the file of results."""
    lines = RESULTS.read_text().splitlines(keepends=True)
    RESULTS.write_text("".join(line for line in lines if wanted(json.loads(line))))


@pytest.fixture
def study(write_study):
    return load_recipe(StudyRecipe, write_study(grid=GRID, figure=FIGURE))


@pytest.fixture
def cells(study):
    cells = make_cells(study)
    for cell in cells:
        # a step of DetCon-S takes half as long again
        seconds = cell.pairs / (8 if cell.points[0]["method"] == "detcon_s" else 12)
        record = made_up(cell, value_of(cell.points[0]), seconds=seconds)
        append_record(RESULTS, record)
    return cells


def test_a_record_is_read_as_it_was_written(cells):
    path = Path("other.jsonl")
    for value in (12.5, 13.5):
        append_record(path, made_up(cells[0], value))
    (first, second) = read_records(path).values()
    assert first == made_up(cells[0], 12.5) and second == made_up(cells[0], 13.5)
    assert find_records(path, cells) == {cells[0].fingerprint: second}, "the last one counts"


def test_one_json_a_cell_of_an_earlier_version_is_read(cells):
    lines = RESULTS.read_text().splitlines(keepends=True)
    before = find_records(RESULTS, cells)
    RESULTS.with_suffix("").mkdir()
    for cell, line in zip(cells[:3], lines):
        (RESULTS.with_suffix("") / f"{cell.name}.json").write_text(line)
    RESULTS.write_text("".join(lines[3:]))
    assert find_records(RESULTS, cells) == before
    with pytest.raises(RecipeError, match=r"give a file, as old.jsonl; results of an earlier ver"):
        run_study("tiny.yaml", report=True, results="old/")


def test_a_torn_last_line_is_skipped_and_reported(cells, capsys):
    text = RESULTS.read_text()
    RESULTS.write_text(text[:-100])
    assert len(find_records(RESULTS, cells)) == len(cells) - 1
    said = capsys.readouterr().err
    assert "the last line of studies/results/tiny.jsonl is torn and is skipped; its cell" in said
    append_record(RESULTS, made_up(cells[-1], 50.0))
    assert len(find_records(RESULTS, cells)) == len(cells)


def test_an_interval_is_students():
    values = [24.1, 25.2, 26.9]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert half_width(values) == pytest.approx((high - low) / 2)
    assert half_width([1.0]) is None
    assert paired({0: 3.0, 2: 5.0}, {0: 1.0, 1: 9.0, 2: 2.0}) == [2.0, 3.0]


def test_a_curve_that_is_sooner_by_two():
    slow = {x: [10 * math.log2(x) + seed for seed in range(3)] for x in (4, 8, 16, 32)}
    fast = {x: [10 * math.log2(2 * x) + seed for seed in range(3)] for x in (4, 8, 16, 32)}
    found = sooner(fast, slow)
    assert found.factor == pytest.approx(2) and found.level == pytest.approx(51)
    assert found.low <= 2 <= found.high and found.crossing == 1
    assert sooner(slow, fast).factor == pytest.approx(1 / 2), "a loss is stated like a win"


def test_no_factor_where_a_curve_crosses_nothing():
    flat, rising = {4: [60.0], 8: [60.0]}, {4: [10.0], 8: [50.0]}
    assert sooner(flat, rising) is None


def test_a_rank_correlation_with_a_resampled_interval():
    rng = np.random.default_rng(1)
    first = rng.integers(0, 8, 12).astype(float)  # with ties
    pairs = list(zip(first, np.exp(first) + rng.normal(size=12) * 300))
    found = rank_correlation(pairs)
    assert found.rho == pytest.approx(stats.spearmanr(*zip(*pairs)).statistic)
    assert -1 <= found.low < found.rho < found.high <= 1 and found.num == 12
    assert rank_correlation([(float(i), 2.0 * i) for i in range(5)]).rho == pytest.approx(1)
    assert rank_correlation(pairs[:3]) is None
    assert rank_correlation([(1.0, float(i)) for i in range(5)]) is None


def test_figures_without_labels_are_held_against_the_transfers(write_study):
    """Of the pretrained backbones alone."""
    grid = {
        "method": {"random": {"backbone": "random"}, "simclr": {"pretrain.method.kind": "simclr"}},
        "steps": [4, 8, 16, 32, 64],
        "labels": [2, 4],
    }
    figure = {"x": "steps", "lines": "method", "panels": ["labels"]}
    path = write_study(grid=grid, figure=figure, label_free={"images": "scenes", "masks": "grid"})
    study = load_recipe(StudyRecipe, path)
    for cell in make_cells(study):
        steps, labels = cell.points[0]["steps"], cell.points[0]["labels"]
        if (steps, labels) == (64, 4):
            continue  # this transfer isn't done yet
        append_record(RESULTS, made_up(cell, 20.0 + steps / 10 + labels))
        if cell.pretraining and labels == 2:
            figures = {"start_agreement": 1 / steps, "rankme": float(steps), "lidar": 5.0}
            for sample, some in ((study.label_free, figures), (None, {"rankme": 1.0})):
                row = {"pretraining": cell.pretraining, "figures": some}
                row["sample"] = sample and sample.model_dump(mode="json")
                append_line(Path(study.label_free_file), row)
    page = run_study(path, report=True).read_text()
    assert "| RankMe | labels 2 | +1.00 | +1.00 to +1.00 | 5 |" in page
    assert "| RankMe | labels 4 | +1.00 | +1.00 to +1.00 | 4 |" in page
    assert "| neighbours of the start kept | labels 4 | -1.00 | -1.00 to -1.00 | 4 |" in page
    assert "| LiDAR |" not in page, "it is the same for all"


def test_a_correlation_with_fishers_interval():
    values = [(0.1, [10.0, 12.0]), (0.2, [12.0]), (0.3, [11.5, 12.5]), (0.6, [15.0])]
    r, low, high = correlation(values)
    assert r == pytest.approx(np.corrcoef([0.1, 0.2, 0.3, 0.6], [11, 12, 12, 15])[0, 1])
    z, width = np.arctanh(r), 1.959964
    assert (low, high) == pytest.approx(np.tanh([z - width, z + width]), abs=1e-5)
    assert correlation([(0.1, [1.0]), (0.2, [2.0]), (0.3, [3.0])]) is None


def test_a_plan_counts_each_pretraining_once(study):
    cells = make_cells(study)
    found = costs(study, cells, {})
    assert len(found) == 2 * 3 + 2 * 2 * 3 * 3 and sum(c.pretrain > 0 for c in found) == 18
    by_name = {cost.cell.name: cost for cost in found}
    short, long = (by_name[f"seed0-detcon_s-steps{n}-labels2"].pretrain for n in (4, 16))
    assert short == pytest.approx(4 * 8 / 250) and long == pytest.approx(4 * short)
    assert by_name["seed0-detcon_s-steps4-labels4"].pretrain == 0, "that of 2 labels"
    assert by_name["seed0-random-steps4-labels2"].seconds == 30


def test_finished_cells_say_what_others_will_cost(study):
    cells = make_cells(study)
    one = next(cell for cell in cells if cell.name == "seed0-detcon_s-steps4-labels2")
    done = {one.fingerprint: made_up(one, 30.0, seconds=7.0)}
    by_name = {cost.cell.name: cost for cost in costs(study, cells, done)}
    assert by_name[one.name].is_done and by_name[one.name].seconds == 9
    assert by_name["seed1-simclr-steps16-labels2"].pretrain == pytest.approx(28)
    assert by_name["seed1-simclr-steps16-labels2"].transfer == 2
    line = in_all("tiny", list(by_name.values()))
    assert "study tiny: 42 cells on 18 pretrainings" in line and "41 cells and" in line


def test_a_mark_without_its_end_names_the_page(study, cells):
    Path("page.md").write_text("<!-- study tiny -->\nwritten by hand\n")
    with pytest.raises(StudyError, match=r"page\.md has the mark .*; put it back, or remove the"):
        run_study("tiny.yaml", report=True, out="page.md")
    assert "by hand" in Path("page.md").read_text()


def test_the_plan_is_printed_and_nothing_is_run(study, capsys):
    assert run_study("tiny.yaml", plan=True, shard="1/2") is None
    out = capsys.readouterr().out
    assert "seed0-random" in out and "pretrainings" in out and not Path("runs").exists()


def test_a_plan_keeps_the_names_of_cells_whole(study, capsys, monkeypatch):
    """The name of a cell was split between two lines of a narrow terminal: `...-seed` and `0`."""
    monkeypatch.setenv("COLUMNS", "30")
    run_study("tiny.yaml", plan=True)
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(cell.name) for line in lines) for cell in make_cells(study))


def test_random_weights_are_at_every_budget(study, cells):
    panels = arrange(study, cells, find_records(RESULTS, cells))
    assert [panel.title for panel in panels] == ["labels 2", "labels 4"]
    assert panels[0].lines["random"] == {n: {0: 10, 1: 11, 2: 12} for n in (4, 8, 16)}
    assert panels[0].places == [4, 8, 16] and list(panels[0].lines) == list(GRID["method"])


def test_one_budget_alone_has_no_factor(study, cells):
    keep_lines(lambda record: record["cell"].get("steps") == 8)
    run_study("tiny.yaml", report=True, out="page.md")
    assert "factor" not in Path("page.md").read_text()


def test_a_factor_of_one_seed_has_no_interval(study, cells):
    keep_lines(lambda record: record["cell"]["seed"] == 0)
    run_study("tiny.yaml", report=True, out="page.md")
    page = Path("page.md").read_text()
    assert "times the steps of detcon_s** (one seed, and so no interval)." in page
    assert "interval 2" not in page and "resampled" not in page


def test_places_are_in_the_order_of_the_grid(study, cells):
    done = find_records(RESULTS, cells)
    first = list(GRID["method"])[1]
    left = {n: r for n, r in done.items() if (r.cell["method"], r.cell["steps"]) != (first, 4)}
    left = {n: r for n, r in left.items() if r.cell["method"] != "random"}
    assert arrange(study, cells, left)[0].places == [4, 8, 16]


def test_a_report_holds_claim_figure_tables_and_factor(study, cells):
    Path("page.md").write_text("# Ours\n\nwritten by hand\n")
    overrides = {"report": True, "out": "page.md", "found": "it holds", "differs": "all of it"}
    assert run_study("tiny.yaml", **overrides) == Path("page.md")
    page = Path("page.md").read_text()
    for part in (
        "# Ours\n\nwritten by hand\n",
        "**The paper:** masks help (table 0)",
        "**Found:** it holds",
        "**What differs from the paper:** all of it",
        "![tiny: mIoU (%) by steps](page/tiny.svg)",
        "| method | 4 | 8 | 16 |",
        "| detcon_s | 31.2 ± 2.5 (30.2, 31.2, 32.2) |",
        "Differences from simclr, seed by seed:",
        "| detcon_s | +10.0 ± 0.0 (+10.0, +10.0, +10.0) |",
        "**simclr needs 2.0 times the steps of detcon_s** (95 % interval 1.",
        "that is a factor of 1.3 (",
        "network and size of views: simclr: 3, 5, 11; detcon_s: 4, 8, 16.\n",
        "42 of 42 cells, 0.1 hours; a CPU, threads: 1; torch 2.0.",
        "```\ndetcon study tiny.yaml\n```",
    ):
        assert part in page
    picture = Path("page/tiny.svg").read_bytes()
    assert picture.startswith(b"<?xml") and b"<svg" in picture
    run_study("tiny.yaml", **overrides)
    assert Path("page.md").read_text() == page, "the section is replaced by itself"
    assert Path("page/tiny.svg").read_bytes() == picture


def test_a_run_that_was_stopped_does_not_count_as_slow(study, cells):
    """Its seconds were taken as they were: a factor between methods was one between machines."""
    before = undisturbed_seconds(cells, find_records(RESULTS, cells))
    for cell in cells[::7]:
        append_record(RESULTS, made_up(cell, 30.0, seconds=5000.0))
    assert undisturbed_seconds(cells, find_records(RESULTS, cells)) == pytest.approx(before)


def test_a_report_gives_the_command_for_all_cells(study, cells):
    whole = "detcon study tiny.yaml data.photos=DIR"
    commands = [whole, f"{whole} shard=1/2 hours=2", f"{whole} 'exclude=[{{seed: [0, 1]}}]'"]
    for cell, command in zip(cells, itertools.cycle(commands)):
        append_record(RESULTS, replace(made_up(cell, 30.0), command=command))
    run_study("tiny.yaml", report=True, out="page.md")
    assert f"```\n{whole}\n```" in Path("page.md").read_text()


def test_sections_of_other_studies_stay(study, cells):
    run_study("tiny.yaml", report=True, out="page.md")
    one = Path("page.md").read_text()
    other = yaml.safe_load(Path("tiny.yaml").read_text()) | {"name": "other"}
    Path("other.yaml").write_text(yaml.safe_dump(other, sort_keys=False))
    run_study("other.yaml", report=True, out="page.md", results=str(RESULTS))
    both = Path("page.md").read_text()
    assert both.startswith(one) and "## Other" in both
    run_study("tiny.yaml", report=True, out="page.md", found="more")
    assert "**Found:** more" in Path("page.md").read_text()
    assert Path("page.md").read_text().endswith(both.removeprefix(one))


def test_no_factor_at_the_level_of_random_weights(study, cells):
    run_study("tiny.yaml", report=True, out="page.md", **{"figure.floor": "random"})
    assert "needs 2.0 times" in Path("page.md").read_text()
    for cell in cells:
        if cell.points[0]["method"] == "random":
            append_record(RESULTS, made_up(cell, 99.0))
    run_study("tiny.yaml", report=True, out="page.md", **{"figure.floor": "random"})
    page = Path("page.md").read_text()
    assert "no more than random has without any pretraining, 99.0." in page
    assert "times the steps" not in page
    with pytest.raises(StudyError, match="compares with 'rendom'"):
        run_study("tiny.yaml", report=True, **{"figure.floor": "rendom"})


def test_overlap_of_masks_is_told_beside_what_they_are_worth(write_study):
    masks = {f"grid_{n}": {"kind": "grid", "rows": n} for n in range(1, 6)}
    grid = {"seed": [0, 1], "masks": list(masks)}
    study = load_recipe(StudyRecipe, write_study(masks=masks, grid=grid, figure={"x": "masks"}))
    for cell in make_cells(study):
        rows = int(cell.points[0]["masks"][-1])
        record = made_up(cell, 20.0 + rows + cell.points[0]["seed"], overlap=rows / 10)
        append_record(RESULTS, record)
    run_study("tiny.yaml", report=True, out="page.md")
    page = Path("page.md").read_text()
    assert "these 5 sources, overlap and mean go together with r = 1.00 (95 % interval 1.0" in page
    assert page.count("| grid_3 |") == 1 and "| grid_3 | 0.300 |  |  | 23.5 ± 6.4 (" in page
    assert "In a linear regression" not in page, "older results don't say how many masks there were"
    picture = Path("page/tiny.svg").read_text()
    assert "average best overlap with the true masks" in picture and "<!-- grid_3 -->" in picture


def test_one_line_alone_is_listed_down_the_page(write_study):
    """Fifteen sources of masks were fifteen columns of one row."""
    masks = {f"grid_{n}": {"kind": "grid", "rows": n} for n in (1, 2)}
    grid = {"seed": [0, 1], "masks": list(masks)}
    study = load_recipe(StudyRecipe, write_study(masks=masks, grid=grid, figure={"x": "masks"}))
    for cell in make_cells(study):
        append_record(RESULTS, made_up(cell, 20.0 + cell.points[0]["seed"]))
    run_study("tiny.yaml", report=True, out="page.md")
    table = "| masks | mIoU (%) |\n|---|---|\n| grid_1 | 20.5 ± 6.4 (20.0, 21.0) |\n| grid_2 |"
    assert table in Path("page.md").read_text()
    for cell in make_cells(study):
        if (point := cell.points[0])["masks"] == "grid_2":
            append_record(RESULTS, made_up(cell, 23.0 + 2 * point["seed"]))
    run_study("tiny.yaml", report=True, out="page.md", **{"figure.baseline": "grid_1"})
    page = Path("page.md").read_text()
    assert "| masks | mIoU (%) | over grid_1 |" in page and "(20.0, 21.0) |  |\n" in page
    assert "(23.0, 25.0) | +3.5 ± 6.4 (+3.0, +4.0) |" in page, "seed by seed"
    with pytest.raises(StudyError, match="'grid_3', but its only line has the places grid_1, grid"):
        run_study("tiny.yaml", report=True, **{"figure.baseline": "grid_3"})


def test_smaller_budgets_are_listed_beside_the_table_of_masks(write_study):
    """The table of masks has the largest budget alone: the others weren't in the report."""
    grid = {"seed": [0, 1], "masks": ["grid_2"], "steps": [4, 8]}
    made = {
        "masks": {"grid_2": {"kind": "grid", "rows": 2}},
        "grid": grid,
        "figure": {"x": "steps"},
    }
    study = load_recipe(StudyRecipe, write_study(**made))
    for cell in make_cells(study):
        value = 20.0 + cell.points[0]["steps"] + cell.points[0]["seed"]
        append_record(RESULTS, made_up(cell, value, overlap=0.3))
    run_study("tiny.yaml", report=True, out="page.md")
    page = Path("page.md").read_text()
    assert "| 4 | 24.5 ± 6.4 (24.0, 25.0) |" in page and "| grid_2 | 0.300 |" in page


@pytest.mark.parametrize("fill_the_photo", [True, False])
def test_overlap_number_and_area_are_told_apart(write_study, fill_the_photo):
    """Where masks fill a photo, area is what number leaves: one effect is told, and not two."""
    masks = {f"grid_{n}": {"kind": "grid", "rows": n} for n in range(1, 10)}
    grid = {"seed": [0, 1], "masks": list(masks)}
    study = load_recipe(StudyRecipe, write_study(masks=masks, grid=grid, figure={"x": "masks"}))
    for cell in make_cells(study):
        rows = int(cell.points[0]["masks"][-1])
        overlap, number = (rows * 4 % 9) / 10, 2.0**rows  # value: one point more for each doubling
        record = made_up(cell, 20.0 + rows + cell.points[0]["seed"], overlap=overlap)
        area = 1 / (number + rows % 3) if fill_the_photo else 2.0 ** -(rows * 2 % 9)
        append_record(
            RESULTS, Record(**{**vars(record), "masks": {"number": number, "area": area}})
        )
    run_study("tiny.yaml", report=True, out="page.md")
    page = Path("page.md").read_text()
    deviation = np.std(np.arange(1, 10))
    assert re.search(rf"by: overlap [+-]0\.0 .*, number .logarithm. \+{deviation:.1f} \(", page)
    assert ("area (logarithm)" in page) is not fill_the_photo
    assert ("one effect, said of the number" in page) is fill_the_photo


def test_an_effect_needs_enough_rows_that_differ():
    values = [[float(n)] for n in range(9)]
    quantities = np.array([[n, n % 4] for n in range(9)], float)
    slope, other = effects(quantities, values)
    assert slope.size == pytest.approx(np.std(range(9))) and other.size == pytest.approx(
        0, abs=1e-9
    )
    assert slope.low <= slope.size <= slope.high
    assert effects(quantities[:4], values[:4]) is None
    assert effects(np.array([[n, 2 * n] for n in range(9)], float), values) is None


def test_missing_cells_are_counted(study, cells):
    missing = {"seed": 1, "method": "detcon_s", "steps": 8, "labels": 2}
    keep_lines(lambda record: record["cell"] != missing)
    run_study("tiny.yaml", report=True, out="page.md")
    assert "41 of 42 cells (1 are missing)" in Path("page.md").read_text()


def test_cells_of_several_processors_are_told(study, cells):
    page = Path("page.md")
    for cpu, is_told in (("a CPU", False), ("another CPU", True)):
        first = made_up(cells[0], 1.0)
        append_record(RESULTS, replace(first, machine=first.machine | {"cpu": cpu}))
        run_study("tiny.yaml", report=True, out=str(page))
        assert ("The processors round otherwise" in page.read_text()) == is_told


def test_no_report_of_nothing(study):
    with pytest.raises(StudyError, match="no cell of the study tiny is finished in studies/resul"):
        run_study("tiny.yaml", report=True)


def test_no_panel_of_different_things(study, cells):
    record = made_up(cells[0], 1.0)
    other = Record(**{**vars(record), "metric": "delta1"})
    append_record(RESULTS, other)
    with pytest.raises(StudyError, match="share a panel measure delta1 .%. and mIoU .%.; figure.p"):
        run_study("tiny.yaml", report=True)


def test_panels_of_different_metrics_each_have_their_own(study, cells):
    for cell in cells:
        if cell.points[0]["labels"] == 4:
            record = made_up(cell, 0.5)
            append_record(RESULTS, Record(**{**vars(record), "metric": "AP50"}))
    run_study("tiny.yaml", report=True, out="page.md")
    page, picture = Path("page.md").read_text(), Path("page/tiny.svg").read_text()
    assert "Labels 2, mIoU (%):" in page and "Labels 4, AP50 (%):" in page
    assert "<!-- mIoU (%) -->" in picture and "<!-- AP50 (%) -->" in picture


def test_only_panels_of_one_task_share_an_axis(study, cells):
    panels = arrange(study, cells, find_records(RESULTS, cells))
    assert len(panels) == 2 and len({(one.metric, one.task) for one in panels}) == 1
    one, two = Figure().subplots(1, 2)
    figures._share_heights([one, two], [("mIoU", "a of b"), ("mIoU", "a of c")], 2)
    assert not one.get_shared_y_axes().joined(one, two) and two.get_ylabel() == "mIoU"
    one, two = Figure().subplots(1, 2)
    figures._share_heights([one, two], [("mIoU", "a of b")] * 2, 2)
    assert one.get_shared_y_axes().joined(one, two) and not two.get_ylabel()


def test_the_legend_names_the_lines_of_all_panels(study, cells):
    """Also those that the first panel lacks."""
    everywhere = arrange(study, cells, {cell.fingerprint: made_up(cell, 20.0) for cell in cells})
    lines = list(everywhere[0].lines)
    fewer = replace(everywhere[0], lines={lines[0]: everywhere[0].lines[lines[0]]})
    picture = figures.draw_study(study, [fewer, *everywhere[1:]]).decode()
    assert len(lines) > 1 and all(f"<!-- {name} -->" in picture for name in lines)


def test_names_of_sources_that_lie_together_stand_apart(study, cells):
    panel = arrange(study, cells, {cell.fingerprint: made_up(cell, 20.0) for cell in cells})[0]
    names = ["whole_image", "grid_2", "grid_5", "displaced_50"]
    panel = replace(panel, sources={name: Source(0.2, [40.0, 41.0]) for name in names})
    figure = Figure()
    axes = figure.subplots()
    figures._draw_sources(axes, panel, "overlap")
    figure.draw_without_rendering()
    figures._write_names(axes, panel, "overlap")
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == names
    assert all(box.count_overlaps(boxes) == 1 for box in boxes)  # itself


def test_ranks_of_embeddings_are_told_where_they_were_recorded(study, cells):
    done = {cell.fingerprint: made_up(cell, 20.0) for cell in cells}
    assert not list(report._ranks(arrange(study, cells, done)))
    for cell in cells:
        if cell.points[0]["method"] == "simclr":
            rank = {"effective_rank": 3.0 + cell.points[0]["seed"]}
            done[cell.fingerprint] = replace(done[cell.fingerprint], embeddings=rank)
    (sentence,) = report._ranks(arrange(study, cells, done))
    steps = study.grid["steps"]
    seeds = study.grid["seed"]
    ends = f"{3.0 + min(seeds)} to {3.0 + max(seeds)}"
    assert f"simclr: {', '.join(f'{x} {ends}' for x in steps)}." in sentence
