"""A learned ranker: that it learns, reproduces, and is what scikit-learn has."""

import sys

import cv2
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from test_mcg import insides_of, picture, stages

import detcon
from detcon.formats.errors import AnnotationError
from detcon.masks import Masks
from detcon.masks.quality.overlap import Truth
from detcon.masks.quality.scoring import draw_keys
from detcon.masks.sources import MCG
from detcon.masks.sources.mcg import training
from detcon.masks.sources.mcg.scores import (
    FEATURES,
    RankerError,
    find_features,
    load_ranker,
    predict,
    save_ranker,
)
from detcon.masks.sources.mcg.training import _to_ranker, overlaps
from detcon.scenes.raycast import render_scene

SMALL = {"generator": {"kind": "mcg", "max_side": 64, "pairs": 50}, "leaves": 8}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for kind in ("photos", "truth"):
        (folder / kind).mkdir()
    for index in range(4):
        scene = render_scene(0, index, 64)
        cv2.imwrite(str(folder / "photos" / f"{index}.png"), scene.rgb[..., ::-1])
        cv2.imwrite(str(folder / "truth" / f"{index}.png"), scene.instances.astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def trained(scenes):
    return detcon.train_ranker(
        images=str(scenes / "photos"), truth=str(scenes / "truth"),
        out=str(scenes / "ranker.npz"), **SMALL,
    )  # fmt: skip


def test_training_reproduces_to_the_byte(scenes, trained):
    again = detcon.train_ranker(
        images=str(scenes / "photos"), truth=str(scenes / "truth"),
        out=str(scenes / "new" / "again.npz"), **SMALL,
    )  # fmt: skip
    assert again.read_bytes() == trained.read_bytes() and again.stat().st_size < 20_000


def test_what_was_learned_is_the_overlap(scenes, trained):
    errors = {"ranker": [], "mean": []}
    for index in range(4):
        scene = render_scene(0, index, 64)
        _, superpixels, trees, candidates = stages(scene.rgb, (200, 50, 0, 0))
        truth = Truth((Masks.from_labels(scene.instances.astype(np.int32) - 1),))
        best = overlaps(superpixels, trees, candidates, truth).max(0)
        guess = predict(load_ranker(str(trained)), find_features(candidates, (64, 64)))
        errors["ranker"].append(np.mean((guess - best) ** 2))
        errors["mean"].append(best.var())
    assert np.mean(errors["ranker"]) < 0.5 * np.mean(errors["mean"])


def test_arrays_say_what_scikit_learn_says():
    rng = np.random.default_rng(0)
    features = rng.random((300, len(FEATURES))).astype(np.float32)
    targets = features[:, 2] * features[:, 5] + 0.1 * rng.random(300)
    model = GradientBoostingRegressor(
        n_estimators=9, max_leaf_nodes=7, max_depth=None, random_state=0
    ).fit(features, targets)
    assert np.allclose(predict(_to_ranker(model), features), model.predict(features), atol=1e-6)


def test_overlaps_are_those_of_the_pixels():
    _, superpixels, trees, candidates = stages(picture(40, 50))
    marked = np.zeros((40, 50), np.int32)
    marked[10:30, 10:30], marked[20:, 35:] = 1, 2
    void = np.zeros((40, 50), bool)
    void[:, 25:40] = True
    truth = Truth((Masks.from_labels(np.where(void, -1, marked)),), void)
    found = overlaps(superpixels, trees, candidates, truth)
    masks = insides_of(trees, candidates)[:, superpixels.labels] & ~void
    for row, number in zip(found, (0, 1, 2), strict=True):
        region = (marked == number) & ~void
        expected = (masks & region).sum((1, 2)) / (masks | region).sum((1, 2))
        assert np.allclose(row, expected)


def test_features_know_neither_size_nor_contrast():
    _, _, _, candidates = stages(picture(40, 50))
    features = find_features(candidates, (40, 50))
    assert features.shape == (len(candidates.areas), len(FEATURES)) and np.isfinite(features).all()
    stronger = candidates._replace(
        starts=3 * candidates.starts, ends=3 * candidates.ends, outlines=3 * candidates.outlines
    )
    assert np.allclose(find_features(stronger, (40, 50)), features, rtol=1e-5)


def test_outlines_are_those_of_the_pixels():
    contours, superpixels, trees, candidates = stages(picture(40, 50))
    mean = contours.mean(0)
    for inside, length, strength in zip(
        insides_of(trees, candidates), candidates.perimeters, candidates.outlines, strict=True
    ):
        mask = inside[superpixels.labels]
        down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
        assert length == down.sum() + right.sum()
        along = ((mean[1:] + mean[:-1])[down].sum() + (mean[:, 1:] + mean[:, :-1])[right].sum()) / 2
        assert strength == pytest.approx(along, rel=1e-4)


def test_a_ranker_has_a_say(scenes, trained):
    image = render_scene(0, 9, 64).rgb
    formula, learned = MCG(pairs=50)(image), MCG(pairs=50, ranker=str(trained))(image)
    assert not np.array_equal(formula.stack(), learned.stack())
    assert (np.diff(learned.scores) <= 0).all()


def test_says_what_is_wrong(scenes, trained, tmp_path, monkeypatch):
    image = picture(20, 20)
    with pytest.raises(RankerError, match="there is no ranker none.npz; make one with detcon tra"):
        MCG(ranker="none.npz")(image)
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"no archive")
    with pytest.raises(RankerError, match="bad.npz is no ranker of detcon train-ranker"):
        MCG(ranker=str(bad))(image)
    other = tmp_path / "other.npz"
    with np.load(trained) as file:
        np.savez(other, **{**file, "names": np.array(["area"])})
    with pytest.raises(RankerError, match="was trained on 1 features, which aren't the 19 of this"):
        MCG(ranker=str(other))(image)
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels" / "z.png"), np.zeros((64, 64), np.uint8))
    paths = {"images": str(scenes / "photos"), "truth": str(tmp_path / "labels")}
    with pytest.raises(AnnotationError, match="nothing to learn from: 0 of the 4 photos in"):
        detcon.train_ranker(out=str(tmp_path / "r.npz"), **paths)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ValueError, match=r"scikit-learn, .* pip install 'detcon\[ranker\]'"):
        detcon.train_ranker(out=str(tmp_path / "r.npz"), **paths)


def test_photos_are_drawn_as_for_scoring(scenes, tmp_path, monkeypatch):
    seen = []
    sampled = training.sample
    monkeypatch.setattr(
        training,
        "sample",
        lambda s, photo, key, *rest: seen.append(key) or sampled(s, photo, key, *rest),
    )
    paths = {"images": str(scenes / "photos"), "truth": str(scenes / "truth")}
    detcon.train_ranker(out=str(tmp_path / "r.npz"), num=2, **paths, **SMALL)
    keys = [f"{index}.png" for index in range(4)]
    assert seen == draw_keys(keys, 2) != keys[:2]


def test_a_ranker_is_written_whole(trained, tmp_path, monkeypatch):
    target = tmp_path / "ranker.npz"
    save_ranker(load_ranker(str(trained)), target)
    before = target.read_bytes()

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space left"):
        save_ranker(load_ranker(str(trained)), target)
    assert target.read_bytes() == before and list(tmp_path.iterdir()) == [target]
