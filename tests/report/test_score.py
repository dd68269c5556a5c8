"""Tests for detcon.report.score: the table, the figures and the page that `detcon score` makes."""

import json

import cv2
import numpy as np
import pytest
from test_page import read, words

from detcon.config import RecipeError, load_recipe
from detcon.masks.sources import Felzenszwalb, Grid
from detcon.masks.store.fill import make_masks
from detcon.report.output import OutputExists
from detcon.report.recipe import ScoreRecipe, ShowRecipe
from detcon.report.score import score, score_table


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("score")
    (root / "photos").mkdir()
    (root / "labels").mkdir()
    for number in range(5):
        labels = np.zeros((60, 80), np.uint8)
        labels[10:40, 5 + 8 * number : 35 + 8 * number] = 1
        photo = np.where(labels[..., None] == 1, (30, 60, 200), (200, 190, 180)).astype(np.uint8)
        cv2.imwrite(str(root / f"photos/{number}.png"), photo)
        cv2.imwrite(str(root / f"labels/{number}.png"), labels)
    for name, generator in {"grid": Grid(2), "fh": Felzenszwalb(100.0, 100)}.items():
        make_masks(images=root / "photos", out=root / name, generator=generator, workers=1)
    return root


def settings(places, out, **more):
    both = f"{places}/grid,{places}/fh"
    return {"masks": both, "truth": str(places / "labels"), "out": str(out / "s.html"), **more}


@pytest.fixture(scope="module")
def page(places, tmp_path_factory):
    return score(**settings(places, tmp_path_factory.mktemp("page"), pictures=2))


def test_the_figures_lie_beside_the_page(page, places):
    figures = json.loads(page.with_suffix(".json").read_text())
    grid, fh = figures["stores"]
    assert (grid["store"], grid["made_by"]) == (str(places / "grid"), "grid (rows 2, columns 2)")
    assert fh["average_best_overlap"] > 0.7 > grid["average_best_overlap"]
    assert list(grid["photos"]) == [f"{i}.png" for i in range(5)] and figures["num_photos"] == 5
    assert np.mean([one["average_best_overlap"] for one in grid["photos"].values()]) == (
        pytest.approx(grid["average_best_overlap"])
    )


def test_the_page_shows_the_table_and_the_best_and_the_worst(page, places):
    said, found = words(page), read(page)
    assert f"5 photos, compared with {places}/labels." in said and "boundary F" in said
    assert "Best of 2, fh: on average a marked region's best mask overlaps it by 0." in said
    assert "The best photos" in said and "The worst photos" in said
    assert len(found.images) == 4 * (1 + 2 + 1)
    assert all(address.startswith("data:image/") for address in found.addresses)
    figures = json.loads(page.with_suffix(".json").read_text())["stores"]
    means = {
        key: sum(one["photos"][key]["average_best_overlap"] for one in figures)
        for key in figures[0]["photos"]
    }
    order = sorted(means, key=lambda key: (-means[key], key))
    shown = [image["alt"].removeprefix("photo ") for image in found.images[::4]]
    assert shown == [*order[:2], *order[:-3:-1]]


def test_photos_that_went_are_left_out_with_a_note(places, tmp_path):
    moved = tmp_path / "photos"
    (places / "photos").rename(moved)
    try:
        said = words(score(**settings(places, tmp_path)))
        assert f"cannot be shown: there is no folder or manifest {places}/photos" in said
        score(**settings(places, tmp_path, images=str(moved)))
        with pytest.raises(ValueError, match="there is no folder or manifest .*none"):
            score(**settings(places, tmp_path, images=str(tmp_path / "none")))
    finally:
        moved.rename(places / "photos")


def test_the_table_for_the_terminal(page, places):
    recipe = load_recipe(ScoreRecipe, None, settings(places, page.parent))
    table = score_table(recipe)
    assert list(table.columns[0].cells) == ["grid", "fh"]
    assert [column.header for column in table.columns][:2] == ["masks", "best overlap"]
    assert next(iter(table.columns[6].cells)) == "4.0"


def test_leaves_the_pages_of_others_alone(places, tmp_path):
    (tmp_path / "s.html").write_text("mine")
    with pytest.raises(OutputExists, match=r"s\.html exists and wasn't made by detcon"):
        score(**settings(places, tmp_path))


def test_stores_are_named_with_commas_or_in_a_list():
    assert load_recipe(ShowRecipe, None, {"images": "x", "masks": "a, b"}).masks == ("a", "b")
    assert load_recipe(ShowRecipe, None, {"images": "x", "masks": ["a,b"]}).masks == ("a,b",)
    assert load_recipe(ShowRecipe, None, {"images": "x", "masks": None}).masks == ()
    with pytest.raises(RecipeError, match="'masks' cannot be "):
        load_recipe(ScoreRecipe, None, {"masks": None, "truth": "x"})


def test_photos_without_annotation_are_said(places, tmp_path, capsys):
    (tmp_path / "labels").mkdir()
    for number in (0, 3):
        name = f"labels/{number}.png"
        (tmp_path / name).write_bytes((places / name).read_bytes())
    asked = settings(places, tmp_path, truth=str(tmp_path / "labels"), format="png")
    page = score(**asked)
    said = "3 of 5 photos have no annotation and were left out, such as 1.png, 2.png, 4.png."
    assert said in words(page) and capsys.readouterr().err == f"{said}\n"
    assert f"compared with {tmp_path}/labels (png)." in words(page)
    figures = json.loads(page.with_suffix(".json").read_text())
    assert (figures["num_photos"], figures["num_not_annotated"]) == (2, 3)


def test_settings_that_mean_nothing_in_a_format_are_refused(places, tmp_path):
    with pytest.raises(ValueError, match="split=val means nothing in annotations of format=png"):
        score(**settings(places, tmp_path, format="png", split="val"))
    with pytest.raises(RecipeError, match="'format' cannot be 'pascal'"):
        score(**settings(places, tmp_path, format="pascal"))
