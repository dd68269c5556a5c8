"""Tests for detection as a transfer task: whole runs on tiny data, and mistakes."""

import itertools
import json
import re
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors.torch import load_file
from shapes import NAMES, Shapes

from detcon.config import load_recipe, shipped_recipes
from detcon.data.labelled.examples import Examples, LabelError
from detcon.downstream import training
from detcon.downstream.model_file import Model, load_model, save_model
from detcon.downstream.pictures import write_png
from detcon.downstream.predicting import predict
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.task import open_task
from detcon.downstream.tasks.detection import data, task as module
from detcon.downstream.tasks.detection.data import object_split, resized
from detcon.downstream.tasks.detection.detections import Detections, draw_detections
from detcon.downstream.tasks.detection.recipe import DetectionRecipe
from detcon.downstream.tasks.detection.scoring import FIGURES
from detcon.downstream.transfer import transfer
from detcon.formats.objects import Objects
from detcon.formats.registry import open_layout, open_objects as open_instances
from detcon.formats.writing.scenes import ScenePicture, ScenesPlan
from detcon.models.backbone_file import load_backbone
from detcon.results.history import read_history

TINY = "recipes/transfer/coco_mask_rcnn_tiny.yaml"
TRAIN, VAL = Shapes(48, 0), Shapes(12, 1)


def run(monkeypatch, out, train=TRAIN, val=VAL, **options):
    def opened(root, format, split, **_):
        assert (root, format) == ("shapes", "coco")
        return train if split == "train" else val

    for place in (module, data):
        monkeypatch.setattr(place, "open_objects", opened)
    given = {"backbone": "random", "data": "shapes", "format": "coco", "out": str(out)}
    return transfer(TINY, **given, **options)


def untrained(val):
    given = {"backbone": "random", "data": "d", "out": "unused"}
    settings = load_recipe(TransferRecipe, TINY, given)
    task = open_task(settings.task)
    torch.manual_seed(0)
    network = task.build(settings, load_backbone("random", encoder=settings.encoder), NAMES)
    return task, settings, network.eval(), Examples(object_split(val), range(val.num))


def write_coco(root):
    """The shapes in COCO's own layout; its first two classes are stuff, and no objects."""
    layout = open_layout(root, "coco", ScenesPlan(("sky", "floor", *NAMES), TRAIN.num, True))
    for split, shapes in (("train", TRAIN), ("val", VAL)):
        records = []
        for number, key in enumerate(shapes.keys):
            photo, objects = shapes.draw(key)
            labels, instances = np.zeros(shapes.size, np.uint8), np.zeros(shapes.size, np.uint16)
            for object, mask in enumerate(objects.masks()):
                labels[mask], instances[mask] = 2 + objects.classes[object], object + 1
            records.append(layout.save(split, number, ScenePicture(photo, instances, labels, None)))
        layout.finish(split, records)
    return root


def test_fine_tuning_beats_chance_and_leaves_everything_behind(tmp_path, capsys):
    """The recipe as it ships, on data in COCO's layout."""
    data = write_coco(tmp_path / "coco")
    (result,) = transfer(TINY, backbone="random", data=str(data), out=str(tmp_path / "run"))
    assert "format=coco, recognised by annotations/" in capsys.readouterr().err
    folder = tmp_path / "run" / "seed0"
    assert (result.task, result.metric, result.unit) == ("detection", "AP mask", "%")
    assert result.figures["box AP50"] > 50 and result.value > 20
    assert result.value == result.figures["mask AP"]
    assert np.mean(list(result.per_class.values())) == pytest.approx(result.value)
    assert list(result.figures) == [
        f"{kind} {name}" for kind in ("box", "mask") for name in FIGURES
    ]
    known = COCO(str(folder / "truth.json"))
    for kind, official in (("box", "bbox"), ("mask", "segm")):
        found = known.loadRes(str(folder / f"detections_{kind}.json"))
        judge = COCOeval(known, found, official)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
        figures = [result.figures[f"{kind} {name}"] for name in FIGURES]
        assert [-1 if f is None else f / 100 for f in figures] == pytest.approx(list(judge.stats))
    parts = {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask"}
    assert parts <= set(read_history(folder).rows[-1])
    model = load_model(folder)
    val = open_instances(data, "coco", "val")
    key = val.keys[0]
    photo, truth = val.photo(key), val.objects(key)
    found = model.predict(photo)
    assert isinstance(found, Detections) and model.names == NAMES
    first = json.loads((folder / "detections_box.json").read_text())[0]
    assert (first["image_id"], first["score"]) == (
        int(key.removesuffix(".jpg")),
        pytest.approx(float(found.scores[0]), abs=1e-5),
    )
    annotated = json.loads((data / "annotations" / "instances_val2017.json").read_text())
    named = {one["id"]: one["name"] for one in annotated["categories"]}
    assert named[first["category_id"]] == NAMES[found.objects.classes[0]]
    strip = cv2.imread(str(folder / "predictions" / f"{key[:-4]}.png"), cv2.IMREAD_COLOR_RGB)
    shown, drawn, _ = np.split(strip, 3, axis=1)
    assert np.array_equal(shown, photo)
    assert not np.array_equal(drawn, photo) and len(truth)
    assert load_backbone(folder / "backbone.safetensors").recipe.stride == 32


def test_an_untrained_network_finds_next_to_nothing(tmp_path):
    task, settings, network, val = untrained(VAL)
    settings = settings.model_copy(update={"out": str(tmp_path / "new")})
    assert task.score(settings, network, val, NAMES).figures["box AP50"] < 20  # learnt: over 50


@dataclass
class Cells:
    """Photos with a box each, the second of the second class; the third has none."""

    names: tuple[str, ...]
    num: int

    @property
    def keys(self):
        return [*map(str, range(self.num))]

    def photo(self, key, channels=3):
        raise AssertionError("no photo is decoded to count objects")

    def objects(self, key):
        boxes = np.zeros((int(key != "2"), 4))
        classes = np.full(len(boxes), int(key == "1"))
        return Objects((8, 8), boxes, classes, np.zeros(len(boxes), bool), ())


@pytest.mark.parametrize(
    ("num", "names", "said"),
    [
        (
            4,
            ("RBC", "red cell"),
            "in the 4 training photos: red cell: 1, RBC: 2; 1 photo without any\n",
        ),
        (
            1001,
            ("RBC", "red cell"),
            "in the first 1,000 of 1,001 training photos: red cell: 1, RBC: 998; 1 ",
        ),
        (
            2,
            ("RBC", "red cell", "rbc"),
            "rbc: 0, RBC: 1, red cell: 1; a class without objects can't",
        ),
        (4, ("RBC", "red cell", *"abcdefghijk"), "photos, the rarest of 13 classes: a: 0, b: 0, c"),
    ],
)
def test_objects_are_counted_by_class(num, names, said, capsys):
    """A misspelt name is a class of its own, and seen here before training."""
    source = Cells(names, num)
    first = [source.objects(key) for key in source.keys[: module.COUNTED]]
    module._tell_classes(first, num, names)
    assert said in capsys.readouterr().err


def test_a_class_without_a_name_is_no_misspelt_one(capsys):
    """Class 0 of a labelled folder is its background, and none of its objects."""
    module._tell_classes([Cells((), 2).objects("1")], 1, ("class 0", "class 1"))
    assert "training photo: class 1: 1\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("side", "said"), [(28, "smaller than 14 px, where the photo is shrunk to"), (80, "")]
)
def test_objects_far_below_the_anchors_are_told(side, said, capsys):
    """Before hours that end at an AP of 1: photos of 256 px, brought to a square of 128."""
    boxes = np.array([[0.0, 0.0, side, side], [9.0, 9.0, 9.0 + side, 9.0 + side]])
    found = Objects((200, 256), boxes, np.zeros(2, int), np.zeros(2, bool), ())
    recipe = DetectionRecipe(crop=128)
    module._tell_small([found, Cells((), 3).objects("2")], recipe)
    told = capsys.readouterr().err
    assert said in told and bool(told) is bool(said)
    assert not said or "task.crop=192 (and a size= as large), for 2 times the time, or" in told
    assert not said or "task.detector.anchor=4" in told


def test_objects_of_the_labelled_photos_alone_are_counted(monkeypatch, tmp_path, capsys):
    """It was all training photos, whatever `labels` was."""
    run(monkeypatch, tmp_path, labels=2, **{"task.steps": 1})
    said = capsys.readouterr()
    assert "objects in the 2 training photos: " in said.err
    assert re.search(
        r"\nby class, lowest first: \w+ \d.*; box AP50 \d+\.\d; mask AP50 \d", said.out
    )


def test_boxes_alone(monkeypatch, tmp_path):
    bare = [Shapes(8, seed, has_masks=False) for seed in (0, 1)]
    with pytest.raises(LabelError, match=r"000.png have boxes, but no masks; give task.detector"):
        run(monkeypatch, tmp_path, *bare, **{"task.detector.masks": True})
    assert not (tmp_path / "seed0").exists()
    (result,) = run(monkeypatch, tmp_path, *bare, **{"task.steps": 2})
    assert result.metric == "AP box" and result.value == result.figures["box AP"]
    assert len(result.figures) == len(FIGURES)


def test_two_seeds_with_few_labels_and_shrunk_photos(monkeypatch, tmp_path):
    wide = Shapes(6, 0, (90, 120))
    results = run(
        monkeypatch, tmp_path, wide, wide, seeds=2, labels=2, size=60, **{"task.steps": 1}
    )
    assert [one.seed for one in results] == [0, 1]
    truth = json.loads((tmp_path / "seed1" / "truth.json").read_text())
    assert (truth["images"][0]["height"], truth["images"][0]["width"]) == (45, 60)


def test_seeds_and_interruptions_decide_nothing_else(monkeypatch, tmp_path):
    """The same seed, the same weights, bit for bit: again, or after a stop and a resume."""
    few = Shapes(6, 0), Shapes(1, 1)
    options = {"task.steps": 4, "task.batch_size": 4, "loop.checkpoint_every": 1}
    run(monkeypatch, tmp_path / "whole", *few, **options)
    fit = training.fit

    def interrupted(model, open_batches, **settings):
        fit(model, lambda first: itertools.islice(open_batches(first), 2), **settings)

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises(ValueError, match="the data ended after 2 of 4 steps"):
        run(monkeypatch, tmp_path / "parts", *few, **options)
    monkeypatch.setattr(training, "fit", fit)
    torch.rand(1)
    run(monkeypatch, tmp_path / "parts", *few, **options)
    whole, parts = (load_file(tmp_path / n / "seed0/model.safetensors") for n in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@dataclass(frozen=True)
class Turned(Shapes):
    """Annotated as if the photos lay on their side."""

    def objects(self, key):
        return replace(super().objects(key), size=self.size[::-1])


@pytest.mark.parametrize(
    ("train", "options", "error", "message"),
    [
        (TRAIN, {"task.crop": 100}, ValueError, "be 100: .* a multiple of 64 pixels"),
        (TRAIN, {"task.crop": [64, 128]}, ValueError, "be .64, 128.: input should be"),
        (
            Shapes(4, 0, least=0, most=0),
            {},
            LabelError,
            "none of the 4 training photos has an object that isn't a crowd; annotate some",
        ),
        (Shapes(4, 0, crowd=True), {}, LabelError, "none of the 4 training photos"),
        (
            Shapes(4, 0, names=("disc", "square")),
            {},
            LabelError,
            "have the classes disc, square, but the validation photos have square, disc",
        ),
        (
            Turned(4, 0, size=(40, 64)),
            {},
            LabelError,
            r"objects of 00..png are in a photo of 40 x 64 pixels, but it has 64 x 40 \(upright\)",
        ),
        (TRAIN, {"loop.compile": True}, ValueError, "loop.compile doesn't work with detection;"),
        (TRAIN, {"stride": 16}, ValueError, "here has 4, 8, 16, 16; give stride=32"),
        (TRAIN, {"encoder.name": "levit_128s", "encoder.width": 1}, ValueError, "has 16, 32, 64;"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_no_folder(
    monkeypatch, tmp_path, train, options, error, message
):
    with pytest.raises(error, match=message):
        run(monkeypatch, tmp_path / "run", train, **options)
    assert not (tmp_path / "run").exists()


def test_a_validation_set_without_objects(monkeypatch, tmp_path):
    nothing = Shapes(3, 0, most=0, least=0)
    with pytest.raises(LabelError, match="none of the 3 validation photos has an object"):
        run(monkeypatch, tmp_path / "run", val=nothing)


def test_objects_shrink_with_their_photo():
    objects = Shapes(1, 0, (64, 64)).objects("000.png")
    small = resized(objects, (32, 32))
    np.testing.assert_allclose(small.boxes, objects.boxes / 2)
    assert small.masks().shape == (len(objects), 32, 32)
    assert small.masks().sum() == pytest.approx(objects.masks().sum() / 4, rel=0.2)
    assert resized(objects, (64, 64)) is objects


def test_drawing_shows_what_is_sure(monkeypatch, tmp_path, capsys):
    """At another score others: a model that is little sure isn't taken for one that is blind."""
    task, settings, network, _ = untrained(VAL)
    photo, objects = Shapes(1, 0, (64, 64)).draw("000.png")
    write_png(tmp_path / "photos" / "a.png", photo)
    backbone = load_backbone("random", encoder=settings.encoder)
    save_model(tmp_path / "model.safetensors", network, settings, backbone, NAMES)
    found = Detections(objects, np.full(len(objects), 0.2996))
    monkeypatch.setattr(Model, "predict_all", lambda self, photos: [found for _ in photos])
    given = {"model": tmp_path / "model.safetensors", "images": tmp_path / "photos"}
    for score, digits in ((0.3, "0.2996"), (0.5, "0.30")):  # as many as tell it from the limit
        predict(**given, out=tmp_path / digits, score=score)
        assert f"below {score}, the surest of them of {digits}, " in capsys.readouterr().err
    for score, shows in ((0.5, False), (0.2, True)):
        out = predict(**given, out=tmp_path / f"{score}", score=score)
        drawn = cv2.imread(str(out / "drawn/a.png"), cv2.IMREAD_COLOR_RGB)[:, 64:]
        assert (drawn != photo).any() == shows
        assert len(json.loads((out / "predictions.json").read_text())) == len(objects)
        said = " ".join(capsys.readouterr().err.split())
        sentence = "of a score below 0.5, the surest of them of 0.30, aren't drawn; score= lets"
        assert (sentence in said) != shows
    out = predict(**given, out=tmp_path / "0.5", score=0.2)
    again = f"score=0.2 in place of 0.5: all photos of {out} are predicted again\n"
    assert again in capsys.readouterr().err
    drawn = cv2.imread(str(out / "drawn/a.png"), cv2.IMREAD_COLOR_RGB)[:, 64:]
    assert (drawn != photo).any(), "another score with the same out"
    predict(**given, out=tmp_path / "0.5", score=0.2)
    assert "has the predictions of 1 photo: there are no others" in capsys.readouterr().err
    folder = predict(**given, out=tmp_path / "written", score=0.2, format="folder") / "folder"
    assert (folder / "train/images/a.png").is_file()
    kept = open_instances(folder, "folder", "train").objects("a.png")
    assert sorted(kept.classes) == sorted(objects.classes)
    recipe = settings.task.detector.model_copy(update={"masks": False})
    boxes = settings.task.model_copy(update={"detector": recipe})
    settings = settings.model_copy(update={"task": boxes})
    network = open_task(boxes).build(settings, backbone, NAMES)
    save_model(tmp_path / "boxes" / "model.safetensors", network, settings, backbone, NAMES)
    said = "boxes without masks, which a labelled folder has no place for; give format=voc_xml"
    with pytest.raises(ValueError, match=said):
        predict(model=tmp_path / "boxes", images=tmp_path / "photos", out="o", format="folder")
    grey = task.draw(photo[..., :1], task.truth(object_split(Shapes(1, 0)).read(0)), NAMES)
    assert grey.shape == (64, 64, 3)


@pytest.mark.parametrize(("size", "named"), [(60, True), (12, False), ((60, 6), False)])
def test_a_class_is_named_where_its_box_holds_the_word(monkeypatch, size, named):
    words = []
    monkeypatch.setattr(cv2, "putText", lambda picture, word, *_: words.append(word))
    wide, high = size if isinstance(size, tuple) else (size, size)
    box = np.array([[10, 20, 10 + wide, 20 + high]], np.float64)
    objects = Objects((80, 80), box, np.zeros(1, np.int64), np.zeros(1, bool), ())
    found = Detections(objects, np.ones(1))
    drawn = open_task(DetectionRecipe()).draw(np.zeros((80, 80, 3), np.uint8), found, ("nucleus",))
    assert drawn.any() and set(words) == ({"nucleus"} if named else set())


def test_predictions_are_written_at_the_photos_own_size(tmp_path):
    task = open_task(DetectionRecipe())
    objects = Shapes(1, 0).objects("000.png")
    found = task.enlarge(Detections(objects, np.ones(len(objects))), (128, 128))
    bare = replace(found, objects=replace(found.objects, segments=()))
    rows = {
        key: task.save(one, key, tmp_path, NAMES)
        for key, one in (("a/b.jpg", found), ("c.jpg", bare))
    }
    task.finish(rows, tmp_path, NAMES)
    results = json.loads((tmp_path / "predictions.json").read_text())
    assert len(results) == 2 * len(objects) and "segmentation" not in results[-1]
    first = results[0]
    assert (first["image_id"], first["file_name"], first["score"]) == (1, "a/b.jpg", 1.0)
    assert first["category"] == NAMES[first["category_id"] - 1] == NAMES[objects.classes[0]]
    left, top, right, bottom = objects.boxes[0] * 2
    assert first["bbox"] == [left, top, right - left, bottom - top]
    assert first["segmentation"]["size"] == [128, 128]
    assert (results[-1]["image_id"], results[-1]["file_name"]) == (2, "c.jpg")


def test_detection_has_its_own_defaults():
    given = {"data": "d", "out": "o", "backbone": "b"}
    plain = load_recipe(TransferRecipe, None, given)
    ours = load_recipe(TransferRecipe, None, given | {"task": "detection"})
    assert (plain.stride, plain.task.scale) == (16, (0.5, 2.0))
    assert (ours.stride, ours.task.scale, ours.task.crop) == (32, (0.8, 1.25), 512)
    given |= {"task": "detection", "stride": 8, "task.crop": 64}
    assert load_recipe(TransferRecipe, None, given).stride == 8


@pytest.mark.parametrize(("times", "epochs"), [("1x", 12), ("2x", 24)])
def test_the_coco_recipes_are_the_protocol(times, epochs):
    """The Cloud TPU configurations, and what an independent reproduction of DetCon says."""
    path = shipped_recipes() / "transfer" / f"coco_mask_rcnn_{times}.yaml"
    settings = load_recipe(TransferRecipe, path, {"data": "d", "out": "o", "backbone": "b"})
    assert (settings.task.crop, settings.task.scale, settings.task.flip) == (1024, (0.8, 1.25), 0.5)
    assert (settings.task.batch_size, settings.stride, settings.task.kind) == (64, 32, "detection")
    assert abs(settings.task.steps * 64 - epochs * 118_287) < 64
    optimizer, schedule = settings.task.optimizer, settings.task.schedule
    assert (optimizer.kind, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.9, 4e-5)
    assert not optimizer.decay_all and schedule.warmup_steps == 500
    drops = [round(share * settings.task.steps) for share in schedule.milestones]
    assert drops == [round(settings.task.steps * 2 / 3), round(settings.task.steps * 8 / 9)]
    assert schedule.gamma == 0.1 and settings.task.detector.masks


def test_a_score_is_drawn_where_there_is_room():
    boxes = np.array([[5.0, 15.0, 95.0, 60.0], [100.0, 15.0, 124.0, 60.0]])
    objects = Objects((80, 128), boxes, np.zeros(2, int), np.zeros(2, bool), ())
    photo, names = np.zeros((80, 128, 3), np.uint8), ("cell",)
    sure, guessed, others = (
        draw_detections(photo, Detections(objects, np.array(scores)), names)
        for scores in ([1.0, 1.0], [0.83, 0.5], [0.83, 0.9])
    )
    assert (sure != guessed).any(), "a true object has no score"
    assert np.array_equal(guessed, others), "and neither has one in a small box"
