"""Folders of scenes: layout, replay, resume, and what is said when something is wrong."""

import json
import shutil

import cv2
import numpy as np
import pytest
import yaml

from detcon.config import RecipeError
from detcon.photos import PhotosError
from detcon.results import RunError
from detcon.scenes import ScenesRecipe, make_scenes, render_scene, write
from detcon.scenes.cutouts import CutoutsError
from detcon.scenes.write import ScenesError

SMALL = {"num": 20, "size": 32, "seed": 3}


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_scenes(out=tmp_path_factory.mktemp("made") / "scenes", workers=1, **SMALL)


def test_what_is_written_is_what_was_rendered(made):
    index = json.loads((made / "train" / "index.json").read_text())
    assert len(index["images"]) == 20 and index["ignore"] == 255
    classes = json.loads((made / "classes.json").read_text())
    assert classes == {"names": index["classes"], "ignore": 255}
    for number, record in enumerate(index["images"]):
        scene, name = render_scene(3, number, 32), f"{number:06d}.png"
        assert record["file"] == f"images/{name}" and record["size"] == [32, 32]
        assert np.array_equal(read(made / "train" / "images" / name)[..., ::-1], scene.rgb)
        assert np.array_equal(read(made / "train" / "labels" / name), scene.labels)
        instances = read(made / "train" / "instances" / name)
        assert instances.dtype == np.uint16 and np.array_equal(instances, scene.instances)
        depth = read(made / "train" / "depth" / name)
        assert depth.dtype == np.uint16
        assert np.abs(depth / 1000 - scene.depth).max() < 6e-4
        assert [one["id"] for one in record["objects"]] == list(range(1, instances.max() + 1))
        for one in record["objects"]:
            inside = instances == one["id"]
            rows, columns = np.nonzero(inside)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert one["box"] == box and one["area"] == inside.sum()
            assert (scene.labels[inside] == one["class"]).all()


def test_val_has_its_own_pictures(made):
    train, val = (files_of(made / name) for name in ("train", "val"))
    names = [name for name in val if name.startswith("images/")]
    assert len(names) == 8, "a tenth, at least 8"
    photos = {data for name, data in train.items() if name.startswith("images/")}
    assert not photos & {val[name] for name in names}


@pytest.fixture
def keen_workers(monkeypatch):
    """As many processes as asked for, although there is little to do."""
    monkeypatch.setattr(write, "_PIXELS_A_WORKER", 1)


def test_a_few_pictures_start_no_process(tmp_path, monkeypatch):
    """Each would take a second, and with a script that imports a training many."""
    asked = []

    def noted(work, jobs, *, num_workers):
        asked.append((len(jobs), num_workers))
        yield from ()

    monkeypatch.setattr(write, "in_order", noted)
    make_scenes(out=tmp_path / "few", num=16, size=32, workers=2)
    monkeypatch.setattr(write, "_PIXELS_A_WORKER", 16 * 32**2 // 2)
    make_scenes(out=tmp_path / "many", num=16, size=32, workers=2)
    assert asked == [(2, 1), (1, 1), (2, 2), (1, 1)]


def test_the_same_bytes_with_two_workers(made, tmp_path, keen_workers):
    again = make_scenes(out=tmp_path / "again", workers=2, **SMALL)
    assert files_of(again) == files_of(made)


def test_goes_on_where_it_stopped(made, tmp_path, monkeypatch):
    whole = files_of(make_scenes(out=tmp_path / "a", workers=1, **SMALL))
    (tmp_path / "a" / "val" / "index.json").unlink()
    (tmp_path / "a" / "train" / "labels" / "000004.png").unlink()
    (tmp_path / "a" / "train" / "depth" / "000007.png").write_bytes(b"")
    cut = tmp_path / "a" / "val" / "images" / "000002.png"
    cut.write_bytes(cut.read_bytes()[:-6])
    rendered = []

    def render(seed, number, *told):
        rendered.append(number)
        return render_scene(seed, number, *told)

    monkeypatch.setattr("detcon.scenes.write.render_scene", render)
    make_scenes(out=tmp_path / "a", workers=1, **SMALL)
    assert rendered == [4, 7, 2], "only what was not whole"
    assert files_of(tmp_path / "a") == whole


def test_a_folder_of_before_there_was_a_choice_of_solids_goes_on(made, tmp_path):
    folder = make_scenes(out=tmp_path / "a", workers=1, **SMALL)
    recipe = folder / "recipe.yaml"
    told = yaml.safe_load(recipe.read_text())
    assert told.pop("solids") == [3, 8]
    recipe.write_text(yaml.safe_dump(told))
    with pytest.raises(ScenesError, match=r"solids is 3,8 there and 1,1 now"):
        make_scenes(out=folder, workers=1, solids=(1, 1), **SMALL)
    assert make_scenes(out=folder, workers=1, **SMALL) == folder


@pytest.mark.parametrize("solids", [[0, 3], [4, 3], [3, 41]])
def test_nonsensical_numbers_of_solids_are_refused(tmp_path, solids):
    with pytest.raises(RecipeError, match="'solids' must be the least and the most of them, 40"):
        make_scenes(out=tmp_path, solids=solids)


def test_composites(cutouts_folder, backgrounds_folder, tmp_path, keen_workers):
    parts = {"cutouts": str(cutouts_folder), "backgrounds": str(backgrounds_folder)}
    recipe = ScenesRecipe(out=str(tmp_path / "a"), num=10, size=64, workers=1, **parts)
    one = make_scenes(recipe, holdout="both")
    other = make_scenes(recipe, holdout="both", out=tmp_path / "b", workers=2)
    assert files_of(one) == files_of(other)
    assert json.loads((one / "classes.json").read_text())["names"] == ["background", "deep", "long"]
    assert not (one / "train" / "depth").exists()
    assert len(list((one / "train" / "images").glob("*.jpg"))) == 10
    before, cut = files_of(one), one / "train" / "images" / "000003.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    make_scenes(recipe, holdout="both")
    assert files_of(one) == before, "half a photo was made again"
    labels = np.stack([read(p) for p in sorted((one / "train" / "labels").glob("*.png"))])
    assert labels.shape == (10, 64, 64) and np.unique(labels).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"num": 0}, "'num' cannot be 0: .*greater than or equal to 1"),
        ({"size": 8}, "'size' cannot be 8: .*greater than or equal to 32"),
        ({"seed": -1}, "'seed' cannot be -1"),
        ({"sise": 64}, "there is no setting 'sise'; did you mean 'size'"),
        ({"cutouts": "a"}, "'cutouts' needs 'backgrounds' too: .*give backgrounds=DIR"),
        ({"backgrounds": "a"}, "'backgrounds' needs 'cutouts' too: .*give cutouts=DIR"),
        ({"holdout": "both"}, "holdout=both is for composites; give cutouts=DIR"),
        ({"objects": [4, 2]}, r"'objects' must be the least and the most objects.*\[4, 2\]"),
    ],
)
def test_says_what_is_wrong_with_a_recipe(wrong, sentence, tmp_path):
    with pytest.raises(RecipeError, match=sentence):
        make_scenes(out=tmp_path / "a", **wrong)
    assert not (tmp_path / "a").exists()


def test_says_what_is_wrong_with_the_materials(cutouts_folder, backgrounds_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotosError, match="there are no photos in the folder .*empty"):
        make_scenes(out=tmp_path / "a", cutouts=cutouts_folder, backgrounds=tmp_path / "empty")
    with pytest.raises(CutoutsError, match="there are no cut-outs in .*empty"):
        make_scenes(out=tmp_path / "a", cutouts=tmp_path / "empty", backgrounds=backgrounds_folder)
    with pytest.raises(CutoutsError, match="there are no cut-outs in"):
        make_scenes(out=tmp_path / "a", cutouts=backgrounds_folder, backgrounds=backgrounds_folder)


def test_stale_composites_of_other_cutouts_or_backgrounds_are_refused(
    cutouts_folder, backgrounds_folder, tmp_path
):
    """A class that is added gives the others new numbers, which pictures that are there lack."""
    shutil.copytree(cutouts_folder, tmp_path / "c")
    shutil.copytree(backgrounds_folder, tmp_path / "b")
    options = {"out": tmp_path / "o", "num": 2, "size": 32, "workers": 1, "cutouts": tmp_path / "c"}
    options |= {"backgrounds": tmp_path / "b"}
    out = make_scenes(**options)
    assert make_scenes(**options) == out
    shutil.copytree(tmp_path / "c/long", tmp_path / "c/a")
    with pytest.raises(ScenesError, match=r"cutouts=.*/c has changed .* .5 files then, 7 now"):
        make_scenes(**options)
    assert json.loads((out / "classes.json").read_text())["names"] == ["background", "deep", "long"]
    shutil.rmtree(tmp_path / "c/a")
    shutil.copy(tmp_path / "b/0.png", tmp_path / "b/z.png")
    with pytest.raises(ScenesError, match=r"backgrounds=.*/b has changed .*; choose another out="):
        make_scenes(**options)
    for path in out.iterdir():  # nothing is made yet
        if path.name not in ("recipe.yaml", "inputs.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    make_scenes(**options)


def test_a_worker_says_which_cutout_is_wrong(backgrounds_folder, tmp_path, keen_workers):
    (tmp_path / "cutouts" / "a").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "cutouts" / "a" / "clear.png"), np.zeros((9, 9, 4), np.uint8))
    with pytest.raises(CutoutsError, match=r"clear\.png: all of it is transparent"):
        make_scenes(
            out=tmp_path / "out",
            num=40,
            workers=2,
            cutouts=tmp_path / "cutouts",
            backgrounds=backgrounds_folder,
        )


def test_never_writes_over_other_scenes_or_other_files(made, tmp_path):
    before = files_of(made)
    with pytest.raises(ScenesError, match="other scenes: size is 32 there and 64 now; choose"):
        make_scenes(out=made, **{**SMALL, "size": 64})
    assert files_of(made) == before
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("sir")
    with pytest.raises(ScenesError, match="cannot write scenes to .*: it holds something else"):
        make_scenes(out=tmp_path / "letters", **SMALL)
    (tmp_path / "letters" / "recipe.yaml").write_text("[")
    with pytest.raises(RunError, match=r"cannot read .*recipe\.yaml: it is not YAML"):
        make_scenes(out=tmp_path / "letters", **SMALL)
