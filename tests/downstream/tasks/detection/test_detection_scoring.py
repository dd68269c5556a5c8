"""Tests for detcon.downstream.tasks.detection.scoring: figures are pycocotools' own."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from shapes import NAMES, Shapes, objects_of

from detcon.downstream.tasks.detection.detections import Detections
from detcon.downstream.tasks.detection.scoring import (
    FIGURES,
    coco_results,
    coco_truth,
    evaluate,
    ids_of,
    write_results,
)


def guesses(truth, rng):
    """Detections near the truth, some of another class, some of nothing."""
    num = len(truth)
    moved = truth.boxes + rng.normal(0, 2, (num, 4)).astype(np.float32)
    classes = np.where(rng.random(num) < 0.2, 1 - truth.classes, truth.classes)
    found = replace(truth, boxes=moved, classes=classes, crowd=np.zeros(num, bool))
    return Detections(found, rng.random(num))


@pytest.fixture(scope="module")
def material():
    rng = np.random.default_rng(0)
    source = Shapes(20, 5, size=(120, 140))
    truth = [source.objects(key) for key in source.keys]
    truth[3] = replace(truth[3], crowd=np.ones(len(truth[3]), bool))
    truth[4] = objects_of((120, 140), [], [], [])
    return truth, [guesses(one, rng) for one in truth]


@pytest.mark.parametrize(("kind", "official"), [("box", "bbox"), ("mask", "segm")])
def test_figures_are_those_of_pycocotools_on_the_same_files(material, tmp_path, kind, official):
    truth, found = material
    ids = [number * 7 for number in range(1, 21)], [3, 90]
    written = coco_truth(truth, NAMES, ids)
    results = coco_results(found, ids, kind)
    write_results(tmp_path, "truth", written)
    write_results(tmp_path, "results", results)
    before = json.dumps([written, results])
    figures, per_class = evaluate(written, results, kind)
    assert json.dumps([written, results]) == before
    known = COCO(str(tmp_path / "truth.json"))
    judge = COCOeval(known, known.loadRes(str(tmp_path / "results.json")), official)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert list(figures) == list(FIGURES)
    for name, expected in zip(FIGURES, judge.stats, strict=True):
        assert figures[name] == (None if expected == -1 else 100 * expected), name
    assert figures["APl"] is None and 5 < figures["AP"] < 95
    assert list(per_class) == list(NAMES)
    assert np.mean(list(per_class.values())) == pytest.approx(figures["AP"])


def test_perfect_and_no_detections(material):
    truth, _ = material
    ids = ids_of(None, range(20), 2)
    perfect = [Detections(one, np.ones(len(one))) for one in truth]
    nothing = [Detections(objects_of(one.size, [], [], []), np.ones(0)) for one in truth]
    for kind in ("box", "mask"):
        for found, expected in ((perfect, 100), (nothing, 0)):
            results = coco_results(found, ids, kind)
            figures, _ = evaluate(coco_truth(truth, NAMES, ids), results, kind)
            assert figures["AP"] == pytest.approx(expected)


def test_crowds_count_neither_way():
    """Detections in a crowd are no mistakes, and a crowd that isn't found is none either."""
    size, ids = (60, 60), ids_of(None, [0], 2)
    boxes = [[0, 0, 20, 20], [30, 30, 60, 60]]
    truth = coco_truth([objects_of(size, boxes, [0, 0], crowd=[False, True])], NAMES, ids)
    found = objects_of(size, [*boxes[:1], [32, 32, 40, 40], [40, 40, 50, 50]], [0, 0, 0])
    results = coco_results([Detections(found, np.array([0.5, 0.9, 0.8]))], ids, "box")
    figures, per_class = evaluate(truth, results, "box")
    assert figures["AP"] == pytest.approx(100)
    assert per_class == {"square": pytest.approx(100), "disc": None}


def test_small_and_large_go_by_the_mask(material):
    truth, _ = material
    annotations = coco_truth(truth, NAMES, ids_of(None, range(20), 2))["annotations"]
    masks = [mask for one in truth for mask in one.masks()]
    assert [one["area"] for one in annotations] == [mask.sum() for mask in masks]
    bare = coco_truth([objects_of((9, 9), [[1, 2, 4, 8]], [0])], NAMES, ids_of(None, [0], 2))
    assert bare["annotations"][0]["area"] == 18 and bare["annotations"][0]["bbox"] == [1, 2, 3, 6]


def test_ids_are_the_data_sets_own_where_it_has_some():
    @dataclass
    class Coco:
        image_ids: tuple
        category_ids: tuple

    assert ids_of(Coco((139, 285, 632), (1, 90)), [0, 2], 2) == ([139, 632], [1, 90])
    assert ids_of(object(), [0, 2], 2) == ([1, 3], [1, 2])
