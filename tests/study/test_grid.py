"""From a YAML to cells: combinations, exclusions, names, and what is the same cell."""

import pytest

from detcon.config import RecipeError, load_recipe
from detcon.pretraining.recipe import PretrainRecipe
from detcon.study import StudyError
from detcon.study.arranged import check_figure
from detcon.study.cell import make_cells, of_part
from detcon.study.recipe import StudyRecipe
from detcon.study.running import share_of

BUDGETS = {
    "method": {
        "random": {"backbone": "random"},
        "simclr": {"pretrain.method.kind": "simclr"},
        "detcon_s": {"pretrain.method.num_regions": 4},
    },
    "masks": ["grid", "exact"],
    "steps": [4, 8],
    "labels": [2, 4],
}


def cells_of(path, **overrides):
    return make_cells(load_recipe(StudyRecipe, path, overrides))


def test_points_that_come_to_the_same_are_one_cell(write_study):
    cells = cells_of(write_study(grid=BUDGETS))
    counts = {}
    for cell in cells:
        method = cell.points[0]["method"]
        counts.setdefault(method, []).append(len(cell.points))
    assert counts["random"] == [4, 4], "no budget, no masks: one cell for each amount of labels"
    assert counts["simclr"] == [2] * 4 and counts["detcon_s"] == [1] * 8
    assert len({cell.name for cell in cells}) == len(cells)
    pretrainings = {cell.pretraining for cell in cells} - {None}
    assert len(pretrainings) == 2 + 4, "amounts of labels share a pretraining"


def test_settings_arrive_where_they_belong(write_study):
    cells = {cell.name: cell for cell in cells_of(write_study(grid=BUDGETS))}
    settings = cells["detcon_s-exact-steps8-labels2"].settings
    assert settings.pretrain.steps == 8 and settings.pretrain.method.num_regions == 4
    assert settings.pretrain.method.hidden == 32, "the study's base"
    assert settings.masks.folder == "train/instances" and settings.transfer.labels == 2
    random = cells["random-grid-steps4-labels4"].settings
    assert random.pretrain is None and random.transfer.encoder.width == 0.125


def test_seeds_are_of_pretraining_and_of_labels(write_study):
    (cell,) = cells_of(write_study(grid={"seed": [3]}, figure={"x": "seed"}, pretrain=base()))
    assert cell.settings.pretrain.seed == 3 == cell.settings.transfer.seed


def base():
    return {"recipe": "recipes/pretrain/detcon_s_small.yaml", "masks": "grid", "steps": 2}


def test_cells_are_left_out(write_study):
    exclude = [{"method": ["detcon_s", "simclr"], "steps": 8}, {"masks": "exact"}]
    cells = cells_of(write_study(grid=BUDGETS, exclude=exclude))
    steps = {(p["method"], p["steps"]) for cell in cells for p in cell.points}
    assert steps == {("random", 4), ("random", 8), ("simclr", 4), ("detcon_s", 4)}
    assert all(p["masks"] == "grid" for cell in cells for p in cell.points)


def test_a_number_is_left_out_however_it_is_written(write_study):
    rates = {name: {"pretrain.optimizer.lr": float(name)} for name in ("0.00001", "0.1")}
    study = write_study(grid={"rate": rates, "seed": [0, 1]}, pretrain=base(), figure={"x": "rate"})
    (cell,) = cells_of(study, exclude=[{"rate": 1e-5}, {"seed": "0"}])
    assert cell.points == ({"rate": "0.1", "seed": 1},)


def test_a_folder_of_this_machine_is_no_setting(write_study, tmp_path):
    study = write_study(data={"photos": {"kind": "folder"}})
    here, there = (cells_of(study, **{"data.photos": place}) for place in ("a", "b/c"))
    assert [one.fingerprint for one in here] == [one.fingerprint for one in there]


def test_shares_are_disjoint_and_cover_all(write_study):
    cells = cells_of(write_study(grid=BUDGETS))
    for shares in (1, 2, 3, 20):
        parts = [share_of(cells, f"{i}/{shares}") for i in range(1, shares + 1)]
        names = [cell.name for part in parts for cell in part]
        assert sorted(names) == sorted(cell.name for cell in cells)
        runs = [{cell.pretraining for cell in part} - {None} for part in parts]
        assert sum(map(len, runs)) == len(set.union(*runs)), "a pretraining is in one share"


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"figures": {}}, "there is no setting 'figures'; did you mean 'figure'?"),
        ({"shard": "0/3"}, "a share of the work is written from 1/64 to 64/64"),
        ({"grid": {"seed": []}}, "the axis 'seed' has no values"),
        ({"masks": {"m": {"kind": "squares"}}}, "'masks.m.kind' must be one of"),
        (
            {"masks": {"m": {"rows": 3}}},
            "'masks.m.kind' is missing; give one of whole_image, grid,",
        ),
        ({"data": {"d": {"num": 3}}}, "'data.d.kind' is missing; give one of folder, scenes"),
    ],
)
def test_unknown_keys_are_one_sentence(write_study, changes, sentence):
    with pytest.raises(RecipeError, match=sentence):
        cells_of(write_study(**changes))


@pytest.mark.parametrize(
    "grid, sentence",
    [
        ({"stepz": [1]}, "grid.stepz sets 'stepz', which is no setting of a cell; write pretrain."),
        ({"method": {"a": {"lr": 1}}}, "grid.method.a sets 'lr', which is no setting of a cell"),
        ({"seed": [0, 0]}, "grid.seed names 0 twice"),
        ({"data": ["scene"]}, "transfer.data of the cell scene is 'scene', .* mean 'scenes'?"),
        ({"masks": ["gird"]}, "pretrain.masks of the cell gird is 'gird', .* mean 'grid'?"),
        ({"seed": [0]}, "pretrain.masks of the cell seed0 is nothing, but must be one of"),
    ],
)
def test_a_wrong_grid_is_one_sentence(write_study, grid, sentence):
    with pytest.raises(StudyError, match=sentence):
        cells_of(write_study(grid=grid))


def test_a_wrong_setting_of_a_recipe_names_the_cell(write_study):
    with pytest.raises(RecipeError, match="no recipe demo_linea; did you mean 'demo_linear'"):
        cells_of(write_study(transfer={"recipe": "demo_linea"}))
    sentence = "^in the cell methd1: .*no setting 'pretrain.methd'; did you mean 'pretrain.method'"
    with pytest.raises(RecipeError, match=sentence):
        cells_of(write_study(grid={"pretrain.methd": [1]}))


@pytest.mark.parametrize(
    "exclude, sentence",
    [
        ([{"sed": 0}], "'exclude' names the axis 'sed'; did you mean 'seed'?"),
        ([{"method": "exakt"}], "'exclude' names method=exakt, .*did you mean 'exact'?"),
        ([{"seed": [0, 1]}], "has no cell left"),
    ],
)
def test_exclusions_that_mean_nothing(write_study, exclude, sentence):
    with pytest.raises(StudyError, match=sentence):
        cells_of(write_study(exclude=exclude))


@pytest.mark.parametrize(
    "figure, sentence",
    [
        ({"x": "methd"}, "the figure names the axis 'methd'; the grid has method, masks, steps"),
        ({"x": "steps", "lines": "method", "panels": ["labels"]}, "all values of 'masks' as one"),
        (
            {"x": "steps", "lines": "method", "panels": ["labels", "masks"], "baseline": "byol"},
            "compares with 'byol', but its lines are random, simclr, detcon_s",
        ),
    ],
)
def test_a_figure_that_would_mix_cells(write_study, figure, sentence):
    study = load_recipe(StudyRecipe, write_study(grid=BUDGETS, figure=figure))
    with pytest.raises(StudyError, match=sentence):
        check_figure(study)


def test_settings_of_a_part_are_named_as_the_study_has_them():
    told = pytest.raises(ValueError, match=r"^give another work=, or pretrain\.batch_size=6$")
    with told, of_part("pretrain", PretrainRecipe):
        raise ValueError("give another out=, or batch_size=6")
