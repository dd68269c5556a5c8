"""Tests for detcon.masks.store.fill and header: the same store, however it came about."""

import gc
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from gloo import run_ranks

from detcon.config import RecipeError, load_recipe, shipped_recipes
from detcon.masks.recipe import MasksRecipe
from detcon.masks.sources import Felzenszwalb, FromAnnotations, FromCallable, Grid, WholeImage
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.masks.store.shard import ShardRow, StoreError, write_shard
from detcon.photos import PhotosError, open_photos
from detcon.workers import WorkerDied, in_order

FELZENSZWALB = {"scale": 50, "min_size": 20}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Forty small photos, three of them unreadable."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(40):
        coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        photo = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_NEAREST)
        path = folder / f"{'ab'[number % 2]}/{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), photo)
    (folder / "a/10.png").write_bytes(b"")
    (folder / "b/notes.jpg").write_text("not a photo")
    (folder / "b/9.png").write_bytes((folder / "b/9.png").read_bytes()[:-30])
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("masks") / "store"
    assert (
        make_masks(images=images, out=out, workers=1, shard_size=7, generator=FELZENSZWALB) == out
    )
    return out


def test_the_store_holds_what_the_generator_makes(images, undisturbed):
    store, photos = MaskStore(undisturbed), open_photos(images)
    assert sorted([*store.keys(), *store.unreadable]) == list(photos)
    generate = Felzenszwalb(scale=50.0, min_size=20)
    for key in store:
        expected = generate(photos.read(key))
        assert expected.num_masks > 1 and np.array_equal(store[key].labels, expected.labels)


def test_unreadable_photos_are_skipped_and_listed(images, undisturbed, tmp_path, capsys):
    store = MaskStore(undisturbed)
    assert sorted(store.unreadable) == ["a/10.png", "b/9.png", "b/notes.jpg"]
    assert store.unreadable["a/10.png"].startswith(
        f"cannot read {images}/a/10.png: the file is emp"
    )
    make_masks(images=images, out=tmp_path / "out", generator=WholeImage(), workers=1)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 5 and "b/notes.jpg: the file holds no picture" in told[2]
    assert told[3].startswith("skipped 3 of 41 photos; all are listed in")
    assert told[3].endswith("out/unreadable.json")
    assert told[4] == "38 photos, 1.0 masks each on average"


@pytest.mark.parametrize("most_threads", [0, 4], ids=["processes", "threads"])
def test_workers_change_no_byte(images, undisturbed, tmp_path, monkeypatch, most_threads):
    monkeypatch.setattr("detcon.masks.store.fill._MOST_THREADS", most_threads)
    make_masks(images=images, out=tmp_path, workers=2, shard_size=7, generator=FELZENSZWALB)
    assert contents(tmp_path) == contents(undisturbed)


def test_shares_change_no_byte_and_the_last_one_finishes(images, undisturbed, tmp_path, capsys):
    settings = {"images": images, "out": tmp_path, "workers": 1, "shard_size": 7}
    for share in ("2/4", "1/4", "4/4"):
        make_masks(**settings, generator=FELZENSZWALB, shard=share)
        with pytest.raises(StoreError, match="is not finished"):
            MaskStore(tmp_path)
    assert "this share is done; other shares have to make 1 of 6 shards" in capsys.readouterr().err
    make_masks(**settings, generator=FELZENSZWALB, shard="3/4")
    assert contents(tmp_path) == contents(undisturbed)


SCRIPT = """
import sys, time
from pathlib import Path
from detcon.masks.sources import segments
from detcon.masks.store import fill
images, out, how, seconds = sys.argv[1:]
generate = segments.Felzenszwalb.__call__
def slowly(self, image, key=""):
    Path(out + ".begun").touch()
    time.sleep(float(seconds))
    return generate(self, image, key)
if __name__ in ("__main__", "__mp_main__"):
    segments.Felzenszwalb.__call__ = slowly
if __name__ == "__main__":
    fill._MOST_THREADS = {"processes": 0, "threads": 4}[how]
    fill.make_masks(images=images, out=out, workers=2, shard_size=2,
                    generator={"scale": 50, "min_size": 20})
"""
KILLS = int(os.environ.get("DETCON_KILLS", "1"))  # with 20 the 21 shards are some two thirds done
SECONDS = 0.1  # a photo


@pytest.mark.parametrize("how", ["processes", "threads"])
def test_killed_at_any_moment_and_given_again_changes_no_byte(images, tmp_path, how):
    (tmp_path / "fill.py").write_text(SCRIPT)
    out, begun = tmp_path / "store", tmp_path / "store.begun"
    rng = np.random.default_rng([len(how), KILLS])
    for _ in range(KILLS):
        begun.unlink(missing_ok=True)
        command = [sys.executable, tmp_path / "fill.py", images, out, how, str(SECONDS)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not begun.exists():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 3 * SECONDS))  # a worker takes 2 * SECONDS for a shard
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert "index.arrow" not in contents(out)
    abandoned = out / "shards" / ".00005.masks.host.1.partial"
    abandoned.write_bytes(b"half a shard")
    os.utime(abandoned, (0, 0))
    settings = {"images": images, "workers": 2, "shard_size": 2, "generator": FELZENSZWALB}
    make_masks(**settings, out=out)
    make_masks(**settings | {"workers": 1}, out=tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_what_is_whole_is_not_made_again(images, undisturbed, tmp_path, monkeypatch):
    settings = {"images": images, "out": tmp_path, "workers": 1, "shard_size": 7}
    make_masks(**settings, generator=FELZENSZWALB)
    (tmp_path / "shards" / "00002.masks").unlink()
    made = []

    def write_and_tell(path, rows, owner):
        made.append(path.name)
        write_shard(path, rows, owner)

    monkeypatch.setattr("detcon.masks.store.fill.write_shard", write_and_tell)
    make_masks(**settings, generator=FELZENSZWALB)
    make_masks(**settings, generator=FELZENSZWALB)
    assert made == ["00002.masks"] and contents(tmp_path) == contents(undisturbed)


@pytest.mark.parametrize("damage", ["changed", "cut off", "of other photos", "empty"])
def test_check_makes_damaged_shards_anew_and_no_other(
    images, undisturbed, tmp_path, capsys, damage
):
    settings = {"images": images, "out": tmp_path, "workers": 1, "shard_size": 7}
    make_masks(**settings, generator=FELZENSZWALB)
    path = tmp_path / "shards" / "00003.masks"
    data = path.read_bytes()
    path.write_bytes(
        {
            "changed": data[:20] + b"?" + data[21:],
            "cut off": data[:-9],
            "of other photos": (tmp_path / "shards" / "00002.masks").read_bytes(),
            "empty": b"",
        }[damage]
    )
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "shards").iterdir() if p != path}
    with pytest.raises(StoreError, match="with --check"):
        make_masks(**settings, generator=FELZENSZWALB)
    make_masks(**settings, generator=FELZENSZWALB, shard="1/2", check=True)
    told, said = capsys.readouterr().err, f"{path}: "
    assert said not in told and "this share is done; another is not: the " in told
    make_masks(**settings, generator=FELZENSZWALB, shard="2/2", check=True)
    told = capsys.readouterr().err
    assert said in told and "; its photos are done again" in told
    assert contents(tmp_path) == contents(undisturbed)
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_jobs_of_an_array_that_begin_and_end_together(images, undisturbed, tmp_path):
    out = tmp_path / "store"
    code = (
        "import os; from detcon import make_masks; "
        "share = ['1/3', '2/3', '3/3', '3/3'][int(os.environ['RANK'])]; "
        f"make_masks(images='{images}', out='{out}', shard=share, workers=1, shard_size=7, "
        "generator={'scale': 50, 'min_size': 20})"
    )
    run_ranks(code, tmp_path, exits=(0, 0, 0, 0))
    assert contents(out) == contents(undisturbed)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"generator": {"scale": 60, "min_size": 20}}, "it has scale=50.0, not scale=60.0;"),
        ({"generator": Grid(3)}, "it has kind=felzenszwalb, not kind=grid;"),
        ({"shard_size": 8}, "it has shard_size=7, not shard_size=8;"),
    ],
)
def test_says_how_the_store_differs(images, undisturbed, changes, sentence):
    asked = {"images": images, "out": undisturbed, "shard_size": 7, "generator": FELZENSZWALB}
    with pytest.raises(StoreError) as error:
        make_masks(**{**asked, **changes})
    start = f"the mask store {undisturbed} was made with other parameters: {sentence}"
    assert str(error.value) == f"{start} give another out=, or delete the folder to make it again"


def test_says_that_the_photos_changed(images, undisturbed, tmp_path):
    (tmp_path / "list.txt").write_text(f"{images}/a/0.png\n")
    with pytest.raises(
        StoreError, match=r"its 41 photos are not the 1 that are now in .*list\.txt \(1 is new"
    ):
        make_masks(
            images=tmp_path / "list.txt", out=undisturbed, shard_size=7, generator=FELZENSZWALB
        )


def test_says_that_out_is_something_else(images, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(StoreError, match=r"exists and is no mask store; give another out="):
        make_masks(images=images, out=tmp_path)


def test_says_that_no_photo_could_be_read(tmp_path):
    (tmp_path / "a.jpg").write_text("")
    with pytest.raises(
        StoreError, match=r"none of the 1 photos could be read; the first: cannot re"
    ):
        make_masks(images=tmp_path, out=tmp_path / "out")
    with pytest.raises(StoreError, match="none of the 1 photos could"):  # begun anew
        make_masks(images=tmp_path, out=tmp_path / "out", generator={"kind": "grid"})
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((8, 8, 3), np.uint8))
    store = make_masks(images=tmp_path, out=tmp_path / "out", generator={"kind": "whole_image"})
    assert MaskStore(store).empty() == [] and len(MaskStore(store)) == 1


def test_says_that_there_is_no_folder_before_making_one(tmp_path):
    with pytest.raises(PhotosError, match="there is no folder or manifest"):
        make_masks(images=tmp_path / "none", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_photo_that_the_generator_refuses_is_named(images, tmp_path, workers):
    itself = FromCallable("numpy:asarray")
    with pytest.raises(StoreError, match=r"the masks of a/0\.png: numpy:asarray returned uint8"):
        make_masks(images=images, out=tmp_path / "o", generator=itself, workers=workers)
    nowhere = FromAnnotations(str(tmp_path))
    with pytest.raises(ValueError, match=r"^there is no annotation .* for the photo a/0\.png"):
        make_masks(images=images, out=tmp_path / "p", generator=nowhere, workers=workers)


@pytest.mark.parametrize(
    "overrides, sentence",
    [
        ({"shard": "0/4"}, "'shard' cannot be '0/4': a share of the work is written from 1/64 to"),
        ({"shard": "half"}, "'shard' cannot be 'half': a share of the work is written"),
        ({"workers": 0}, "'workers' cannot be 0"),
        ({"generator.scale": "big"}, "'generator.scale' cannot be 'big'"),
        ({"generator": {"kind": "grid", "rowz": 3}}, "there is no setting 'generator.rowz'; did"),
        ({"generator.kind": "magic"}, "'generator.kind' must be one of"),
        ({"image": "x"}, "there is no setting 'image'; did you mean 'images'?"),
    ],
)
def test_says_what_is_wrong_with_a_recipe(overrides, sentence):
    with pytest.raises(RecipeError) as error:
        load_recipe(MasksRecipe, None, {"images": "x", "out": "y", **overrides})
    assert str(error.value).startswith(sentence)


def test_settings_without_a_kind_are_the_default_generators():
    recipe = load_recipe(MasksRecipe, None, {"images": "x", "out": "y", "generator.scale": 5})
    assert recipe.generator == Felzenszwalb(scale=5.0) and recipe.shard_size == 256


def test_a_recipe_may_be_given_itself(images, tmp_path):
    recipe = MasksRecipe(images=str(images), out=str(tmp_path), generator=Grid(3), workers=1)
    assert MaskStore(make_masks(recipe))["a/0.png"].num_masks == 9


@pytest.mark.parametrize("path", sorted((shipped_recipes() / "masks").glob("*.yaml")), ids=str)
def test_shipped_recipes_are_complete(path):
    recipe = load_recipe(
        MasksRecipe,
        path,
        {"images": "x", "out": "y", "generator.folder": "z"}
        if "annotations" in path.stem
        else {"images": "x", "out": "y"},
    )
    assert recipe.generator.kind in path.stem
    header = path.read_text().split("\n\n")[0]
    assert header.startswith("# ") and f"recipes/masks/{path.name}" in header


def die(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_an_error_not_a_hang():
    with pytest.raises(WorkerDied, match="a worker process died, perhaps for want of memory"):
        list(in_order(die, range(4), num_workers=2))


def double(job):
    return 2 * job


@pytest.mark.parametrize("workers, threads", [(1, False), (2, False), (2, True)])
def test_results_come_in_the_order_of_jobs(workers, threads):
    before = dict(os.environ)
    results = in_order(double, range(30), num_workers=workers, threads=threads)
    assert list(results) == list(range(0, 60, 2))
    assert dict(os.environ) == before


@pytest.mark.parametrize("most_threads", [0, 4], ids=["processes", "threads"])
def test_however_many_photos_few_results_are_held(tmp_path, monkeypatch, most_threads):
    """What is there at once: a shard, and what two workers are ahead: 4 jobs of 8 photos each."""
    photo = cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))[1].tobytes()
    for number in range(300):
        (tmp_path / f"{number:03d}.png").write_bytes(photo)
    held = []

    def write_and_count(path, rows, owner):
        held.append(sum(type(one) is ShardRow for one in gc.get_objects()))
        write_shard(path, rows, owner)

    monkeypatch.setattr("detcon.masks.store.fill.write_shard", write_and_count)
    monkeypatch.setattr("detcon.masks.store.fill._MOST_THREADS", most_threads)
    make_masks(images=tmp_path, out=tmp_path / "out", generator=Grid(1), workers=2, shard_size=75)
    assert len(held) == 4 and 75 <= max(held) <= 75 + (4 * 2 + 2) * 8


def test_jobs_are_taken_as_needed():
    taken = []

    def jobs():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(double, jobs(), num_workers=2, threads=True)
    assert next(results) == 0 and len(taken) <= 8
    results.close()
