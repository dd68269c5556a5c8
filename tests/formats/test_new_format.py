"""A format in one file, this one: it serves masks, scoring and transfer by its name alone."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from jaxtyping import UInt8

from detcon.config import RecipeError, load_recipe, recorded
from detcon.downstream.recipe import TransferRecipe
from detcon.formats.errors import AnnotationError
from detcon.formats.format import Format, LabelMaps
from detcon.formats.registry import find_format, open_label_maps, open_objects
from detcon.masks.quality.scoring import score_stores
from detcon.masks.quality.truth import open_truth
from detcon.masks.sources import FromAnnotations
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.photos import Photos, open_photos
from detcon.scenes import CLASSES, make_scenes

NAME = f"{__name__}:FORMAT"


@dataclass(frozen=True, eq=False)
class NumpyLabels(LabelMaps):
    """`SPLIT/a.png` with the class of each pixel in `SPLIT/a.npy`."""

    photos: Photos
    names: tuple[str, ...] = CLASSES

    def label_file(self, key: str) -> Path:
        return Path(self.photos.path(key)).with_suffix(".npy")

    def labels(self, key: str) -> UInt8[np.ndarray, "y x"]:
        return np.load(self.label_file(key))


FORMAT = Format(label_maps=lambda data, split: NumpyLabels(open_photos(Path(data) / split)))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Scenes in this format."""
    root = tmp_path_factory.mktemp("new")
    scenes = make_scenes(out=root / "scenes", num=8, size=48, seed=3, workers=1)
    for split in ("train", "val"):
        maps = open_label_maps(scenes, "folder", split)
        (root / "data" / split).mkdir(parents=True)
        for key in maps.keys:
            cv2.imwrite(str(root / "data" / split / key), maps.photo(key)[..., ::-1])
            labels = maps.labels(key)
            labels[:3] = 255
            np.save(root / "data" / split / Path(key).with_suffix(".npy"), labels)
    return root / "data"


def test_masks_and_scoring(data, tmp_path):
    settings = {
        "images": str(data / "val"), "out": str(tmp_path / "masks"), "workers": 1,
        "generator.kind": "annotations", "generator.folder": str(data),
        "generator.format": NAME, "generator.split": "val",
    }  # fmt: skip
    store = MaskStore(make_masks(**settings))
    truth = open_truth(data, format=NAME, split="val")
    assert len(store) == 8
    for key in store.keys():  # noqa: SIM118
        labels = np.load(data / "val" / Path(key).with_suffix(".npy"))
        assert np.array_equal(truth[key].void, labels == 255)  # pyright: ignore[reportArgumentType]
        expected = labels == np.unique(labels[labels < 255])[:, None, None]
        assert np.array_equal(store[key].stack(), expected)
    [score] = score_stores([store], truth)
    assert score.quality().average_best_overlap == 1.0


def test_photos_of_another_split_are_not_taken_for_its_own(data):
    generate = FromAnnotations(str(data), format=NAME, split="val")
    photo = np.zeros((48, 48, 3), np.uint8)
    assert generate(photo, "val/000000.png").num_masks > 1
    with pytest.raises(AnnotationError, match=r"train/000000\.png is not annotated in .*\(val\)"):
        generate(photo, "train/000000.png")


def test_transfer(data, tmp_path):
    from detcon import transfer

    out = transfer(
        backbone="random", data=str(data), format=NAME, out=str(tmp_path / "run"),
        task="knn_segmentation", encoder={"name": "resnet18", "width": 0.25},
    )  # fmt: skip
    assert out is not None and list((tmp_path / "run").rglob("result.json"))


def test_says_what_it_lacks():
    with pytest.raises(AnnotationError, match=r"':FORMAT' has no objects|:FORMAT' has no objects"):
        open_objects("data", NAME, "train")
    with pytest.raises(ValueError, match="cannot import format=no_such_module:FORMAT: No mod"):
        find_format("no_such_module:FORMAT")
    with pytest.raises(ValueError, match=r"there is no format 'cityscape'; did you mean 'cityscap"):
        find_format("cityscape")
    with pytest.raises(ValueError, match="'numpy:array' is no detcon.formats.format.Format, but"):
        find_format("numpy:array")
    with pytest.raises(RecipeError, match=r"'generator\.format' cannot be 'vocc': there is no"):
        make_masks(images=".", out="x", **{"generator.kind": "annotations", "generator.folder": ".",
                                           "generator.format": "vocc"})  # fmt: skip


def test_a_format_that_only_a_file_names_is_not_imported(tmp_path, monkeypatch):
    """Settings of a model file may name any module; opening the file must not run its code."""
    monkeypatch.syspath_prepend(tmp_path)
    code = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    (tmp_path / "runs_when_imported.py").write_text(code)
    given = {"data": "labelled", "out": "out", "backbone": "random"}
    saved = load_recipe(TransferRecipe, None, given).model_dump(mode="json")
    named = {"format": "runs_when_imported:FORMAT"}
    assert recorded(TransferRecipe, saved | named).format == named["format"]
    assert not (tmp_path / "ran").exists()
    with pytest.raises(RecipeError, match="check the name"):
        load_recipe(TransferRecipe, None, given | named)
    assert (tmp_path / "ran").exists(), "the user's own word is trusted"
