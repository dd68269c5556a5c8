"""Every study that comes with the repository: its header, its grid, its budget."""

import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from detcon import cli, make_scenes
from detcon.config import load_recipe
from detcon.study.arranged import check_figure
from detcon.study.cell import make_cells
from detcon.study.plan import costs
from detcon.study.recipe import StudyRecipe
from detcon.study.records import find_records
from detcon.study.running import run_study

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
pytestmark = pytest.mark.skipif(not STUDIES, reason="studies aren't part of a source package")


@cache
def opened(path):
    """A study and its cells; frozen, and seconds to make."""
    study = load_recipe(StudyRecipe, path)
    return study, make_cells(study)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_studies_are_understood_and_within_their_budget(path):
    study, cells = opened(path)
    check_figure(study)
    assert study.name == path.stem and study.claim and study.differs
    header = path.read_text().split("\n\n")[0]
    assert f"detcon study studies/{path.name}" in header and "Data:" in header
    assert "Cost:" in header
    found = costs(study, cells, {})
    minutes = 15 if is_of_photos(path) else 8
    assert max(cost.seconds for cost in found) < minutes * 60
    one_seed = study.name == "quick" or study.name.startswith("sweep")
    seeds = {0} if one_seed else {0, 1} if study.name.endswith("sweep") else {0, 1, 2}
    assert {int(p["seed"]) for c in cells for p in c.points} == seeds


@pytest.mark.parametrize(("of_photos", "most"), [(False, 20), (True, 52)])
def test_all_studies_together_are_within_their_budget(of_photos, most):
    """Hours of one thread; on photographs 40 for the claims and 12 for adapting."""
    hours = 0.0
    for path in STUDIES:
        if is_of_photos(path) == of_photos:
            hours += sum(cost.seconds for cost in costs(*opened(path), {})) / 3600
    assert hours < most


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_committed_results_are_of_today_s_recipe(path):
    study, cells = opened(path)
    find_records(path.parent / "results" / f"{study.name}.jsonl", cells)


def is_of_photos(path):
    """Whether it is one of the studies of Imagenette's photographs, which the user brings."""
    return path.stem.startswith("photos_") or path.stem == "gpu"


OTHER_RATES = ("efficiency_zero_init", "camvid", "composites")


def test_rates_are_the_best_of_the_sweep():
    sweep, cells = opened(next(path for path in STUDIES if path.stem == "sweep_rates"))
    done = find_records(STUDIES[0].parent / "results" / f"{sweep.name}.jsonl", cells)
    assert len(done) == len(cells)
    best = {}
    for cell in cells:
        found = done[cell.fingerprint].value, cell.settings.pretrain.optimizer.lr
        best[chosen_for(cell)] = max(best.get(chosen_for(cell), found), found)
    for path in STUDIES:
        if path.stem.startswith(("sweep_", "photos_", "gpu")) or path.stem in OTHER_RATES:
            continue
        for cell in opened(path)[1]:
            if told := cell.settings.pretrain:
                assert told.optimizer.lr == best[chosen_for(cell)][1], cell.name


def chosen_for(cell):
    told = cell.settings.pretrain
    return told.method.kind, told.encoder.zero_init


TWO_CELLS = {
    "data": {"scenes": {"num": 16, "size": 48}},
    "exclude": [{"method": ["simclr", "detcon_s felzenszwalb"]}],
    "pretrain.steps": 2,
    "pretrain.batch_size": 8,
    "pretrain.workers": 0,
    "pretrain.encoder.width": 0.125,
    "transfer.labels": 4,
}


def test_the_quick_study_in_small(tmp_path, monkeypatch):
    """The whole way: scenes rendered here, masks, two cells, the page."""
    quick = next(path for path in STUDIES if path.stem == "quick")
    monkeypatch.chdir(tmp_path)
    run_study(quick, **TWO_CELLS)
    assert len(Path("studies/results/quick.jsonl").read_text().splitlines()) == 2
    page = run_study(quick, **TWO_CELLS, report=True)
    assert page == Path("docs/claims_scenes.md") and "2 of 2 cells" in page.read_text()
    assert Path("docs/claims_scenes/quick.svg").is_file()


def test_the_study_for_a_gpu_in_small(tmp_path, monkeypatch):
    """Its first minute on a GPU isn't for typing errors: two of its cells on small scenes."""
    monkeypatch.chdir(tmp_path)
    make_scenes(out="camvid", num=12, size=48)
    Path("camvid/classes.json").unlink()  # the eleven classes of the recipe aren't named in files
    study = next(path for path in STUDIES if path.stem == "gpu")
    judged = yaml.safe_load(study.read_text())["grid"]["judged"]
    judged["CamVid, fine-tuned"]["transfer.task.steps"] = 1
    run_study(
        study,
        **{
            "data.camvid": "camvid", "data.imagenette160": "camvid/train/images",
            "grid": {"judged": judged, "steps": [1], "seed": [0]},
            "exclude": [{"method": ["random", "simclr"]}],
            "pretrain.batch_size": 4, "pretrain.views.size": 32, "pretrain.workers": 0,
            "pretrain.encoder.width": 0.0625, "transfer.workers": 0, "transfer.labels": 4,
        },
    )  # fmt: skip
    assert len(Path("studies/results/gpu.jsonl").read_text().splitlines()) == 2


def test_the_command_takes_flags_like_the_others(monkeypatch, capsys, tmp_path):
    quick = next(path for path in STUDIES if path.stem == "quick")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["detcon", "study", str(quick), "--plan"])
    cli.main()
    shown = capsys.readouterr().out
    assert "study quick: 4 cells on 3 pretrainings" in shown
    assert "wrote" not in shown and not list(tmp_path.iterdir())
    monkeypatch.setattr(sys, "argv", ["detcon", "study", str(quick), "--report"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2 and "run it first" in " ".join(capsys.readouterr().err.split())
