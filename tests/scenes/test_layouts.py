"""Scenes in the layouts of known data sets, read back by the readers of these: nothing is lost."""

import contextlib
import io
import json
import shutil

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from detcon.config import RecipeError
from detcon.formats.cityscapes import THINGS
from detcon.formats.coco.layout import outline_of, runs_of
from detcon.formats.coco.panoptic import open_coco_panoptic
from detcon.formats.errors import FormatError
from detcon.formats.registry import open_depth, open_label_maps, open_objects
from detcon.formats.voc.layout import voc_palette
from detcon.formats.voc.reader import NAMES, open_voc, open_voc_objects
from detcon.scenes import CLASSES, make_scenes, render_scene
from detcon.scenes.write import _VAL_SEEDS, ScenesError

SMALL = {"num": 9, "size": 48, "seed": 5}
SPLITS = {"train": (9, 5), "val": (8, 5 + _VAL_SEEDS)}
FORMATS = ("folder", "coco", "voc", "cityscapes", "nyu")


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def scenes():
    """What was rendered, by split."""
    return {
        split: [render_scene(seed, number, 48) for number in range(num)]
        for split, (num, seed) in SPLITS.items()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of scenes by format, made when asked for."""
    folders = {}

    def make(format):
        if format not in folders:
            out = tmp_path_factory.mktemp("formats") / format
            folders[format] = make_scenes(out=out, format=format, workers=1, **SMALL)
        return folders[format]

    return make


def truth_of(scene, *, crowds=True):
    """Class, mask and whether it is a sliver, of each object."""
    for number in range(1, scene.instances.max() + 1):
        mask = scene.instances == number
        sliver = crowds and mask.sum() < 0.002 * mask.size
        yield scene.labels[mask][0], mask, sliver


def check_objects(objects, wanted):
    wanted = list(wanted)
    assert len(objects) == len(wanted) and objects.size == (48, 48)
    for i, (label, mask, crowd) in enumerate(wanted):
        assert objects.classes[i] == label and objects.crowd[i] == crowd
        assert np.array_equal(objects.masks()[i], mask)
        rows, columns = np.nonzero(mask)
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert objects.boxes[i].tolist() == edges


def looks_like(photo, rgb):
    """JPEG is lossy; another scene would be off by far more."""
    return np.abs(photo.astype(int) - rgb).mean() < 12


@pytest.mark.parametrize("split", SPLITS)
def test_folder(made, scenes, split):
    folder = made("folder")
    objects, maps, depth = (
        open_of(folder, "folder", split) for open_of in (open_objects, open_label_maps, open_depth)
    )
    assert objects.names == maps.names == CLASSES
    for key, scene in zip(objects.keys, scenes[split], strict=True):
        assert np.array_equal(objects.photo(key), scene.rgb)
        assert np.array_equal(maps.labels(key), scene.labels)
        assert np.abs(depth.depth(key) - scene.depth).max() < 6e-4
        check_objects(objects.objects(key), truth_of(scene, crowds=False))


@pytest.mark.parametrize("split", SPLITS)
def test_coco(made, scenes, split):
    folder = made("coco")
    coco, panoptic = open_objects(folder, "coco", split), open_coco_panoptic(folder, split)
    assert coco.names == CLASSES[2:] and coco.category_ids == (3, 4, 5, 6, 7)
    assert panoptic.names == CLASSES
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(folder / "annotations" / f"instances_{split}2017.json"))
    assert len(theirs.imgs) == len(scenes[split])
    for key, scene in zip(coco.keys, scenes[split], strict=True):
        wanted = [(label - 2, *rest) for label, *rest in truth_of(scene)]
        check_objects(coco.objects(key), wanted)
        entries = theirs.imgToAnns[coco.image_ids[coco.keys.index(key)]]
        for entry, (_, mask, _) in zip(entries, wanted, strict=True):
            assert np.array_equal(theirs.annToMask(entry), mask) and entry["area"] == mask.sum()
        assert looks_like(coco.photo(key), scene.rgb)
        photo, labels = panoptic.pair(key)
        assert np.array_equal(labels, scene.labels) and photo.shape == (48, 48, 3)
        segments = panoptic.segments(key)
        assert np.array_equal(segments.ids % 1000, scene.instances)
        crowds = [number in segments.crowd for number in segments.classes]
        assert crowds[: len(wanted)] == [crowd for *_, crowd in wanted]


def test_coco_has_polygons_where_they_are_exact(made):
    text = (made("coco") / "annotations" / "instances_train2017.json").read_text()
    kinds = {type(one["segmentation"]) for one in json.loads(text)["annotations"]}
    assert kinds == {list, dict}, "a ring with its hole has no polygon in COCO"


def test_outlines_of_any_mask_are_exact():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = cv2.GaussianBlur(rng.random((24, 31)), (0, 0), 2) > 0.5
        if mask.any():
            code = outline_of(mask)
            if isinstance(code, dict):
                assert code == runs_of(mask) and sum(code["counts"]) == mask.size
            else:
                assert all(len(polygon) >= 8 for polygon in code)


@pytest.mark.parametrize("split", SPLITS)
def test_voc(made, scenes, split):
    maps, objects = (open_of(made("voc"), split) for open_of in (open_voc, open_voc_objects))
    assert maps.names == NAMES and objects.names == NAMES[1:]
    assert len(maps.keys) == len(objects.keys) == len(scenes[split])
    for key, scene in zip(maps.keys, scenes[split], strict=True):
        photo, labels = maps.pair(key)
        assert looks_like(photo, scene.rgb)
        wanted = np.where(scene.instances > 0, scene.labels.astype(int) - 1, 0)
        kernel = np.ones((3, 3), np.uint8)
        edges = cv2.dilate(scene.instances, kernel) != cv2.erode(scene.instances, kernel)
        if maps.label_file(key).suffix == ".mat":
            edges[:] = False
        assert np.array_equal(labels, np.where(edges, 255, wanted))
        left = [
            (label - 2, mask & ~edges, False)
            for label, mask, _ in truth_of(scene)
            if (mask & ~edges).any()
        ]
        check_objects(objects.objects(key), left)


def test_voc_and_sbd_share_the_training_pictures(made):
    folder = made("voc")
    own = open_voc(folder, "train", augmented=False)
    every = open_voc(folder / "VOCdevkit" / "VOC2012", "train")
    assert len(own.keys) == 3 and len(every.keys) == 9 and set(own.keys) < set(every.keys)
    assert len(open_voc(folder, "trainval").keys) == 11
    with Image.open(own.label_file(own.keys[0])) as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[: 3 * 21] == voc_palette()[:21].ravel().tolist()


def test_the_colours_are_those_of_voc():
    """As VOC documents them: background, aeroplane, bicycle, person, TV monitor, the border."""
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    known[255] = (224, 224, 192)
    assert {number: tuple(voc_palette()[number].tolist()) for number in known} == known


@pytest.mark.parametrize("split", SPLITS)
def test_cityscapes(made, scenes, split):
    folder = made("cityscapes")
    maps, objects = (
        open_of(folder, "cityscapes", split) for open_of in (open_label_maps, open_objects)
    )
    train_ids = [maps.names.index(name) for name in ("road", "building", *objects.names[:5])]
    for key, scene in zip(maps.keys, scenes[split], strict=True):
        photo, labels = maps.pair(key)
        assert np.array_equal(photo, scene.rgb)
        assert np.array_equal(labels, np.array(train_ids)[scene.labels])
        found, wanted = objects.objects(key), list(truth_of(scene))
        alone = [(label - 2, mask) for label, mask, sliver in wanted if not sliver]
        groups = {label - 2 for label, _, sliver in wanted if sliver}
        assert set(found.classes[found.crowd].tolist()) == groups
        masks = found.masks()[~found.crowd]
        assert sorted(found.classes[~found.crowd].tolist()) == sorted(label for label, _ in alone)
        for label, mask in alone:
            same = (masks == mask).all((1, 2)) & (found.classes[~found.crowd] == label)
            assert same.sum() == 1
    raw = cv2.imread(
        str(folder / f"gtFine/{split}/scenes/scenes_000000_000019_gtFine_instanceIds.png"), -1
    )
    things = set(np.unique(raw[raw >= 1000] // 1000).tolist())
    assert raw.dtype == np.uint16 and things and things <= set(THINGS)


@pytest.mark.parametrize("split", SPLITS)
def test_nyu(made, scenes, split):
    folder = made("nyu")
    nyu = open_depth(folder, "nyu", split)
    assert len(nyu.keys) == len(scenes[split])
    for key, scene in zip(nyu.keys, scenes[split], strict=True):
        assert np.array_equal(nyu.photo(key), scene.rgb)
        assert np.array_equal(nyu.depth(key), scene.depth)
    assert not (folder / ".frames").exists()
    with h5py.File(folder / "nyu_depth_v2_labeled.mat") as file:
        assert file["images"].shape == (17, 3, 48, 48) and file["images"].dtype == np.uint8
        assert file["depths"].shape == (17, 48, 48) and file["depths"].dtype == np.float32
    header = (folder / "nyu_depth_v2_labeled.mat").read_bytes()[:128]
    assert header.startswith(b"MATLAB 7.3 MAT-file") and header.endswith(b"\x00\x02IM")


@pytest.mark.parametrize("format", FORMATS[1:])
def test_the_same_bytes_again_and_after_an_interruption(made, tmp_path, format, monkeypatch):
    whole, broken = files_of(made(format)), tmp_path / "a"
    shutil.copytree(made(format), broken)
    if format == "nyu":
        (broken / "nyu_depth_v2_labeled.mat").unlink()
        monkeypatch.setattr("detcon.formats.nyu.layout._join", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make_scenes(out=broken, format=format, workers=1, **SMALL)
        monkeypatch.undo()
        (broken / ".frames" / "val" / "000002.npz").write_bytes(b"PK\x03\x04")
        expected = 1
    else:
        suffixes = {".jpg", ".png", ".mat"}
        for path in sorted(broken.rglob("*")):
            if path.suffix in suffixes and any(n in path.name for n in ("_000003", "0003.")):
                path.write_bytes(path.read_bytes()[:-7])
        for path in broken.rglob("*.json"):
            path.unlink()
        expected = 2
    rendered = []

    def render(*arguments):
        rendered.append(arguments)
        return render_scene(*arguments)

    monkeypatch.setattr("detcon.scenes.write.render_scene", render)
    make_scenes(out=broken, format=format, workers=1, **SMALL)
    assert len(rendered) == expected, "only what was not whole"
    assert files_of(broken) == whole
    make_scenes(out=broken, format=format, workers=1, **SMALL)
    assert len(rendered) == expected, "nothing, once all is there"


@pytest.mark.parametrize("format", ["coco", "voc", "cityscapes"])
def test_composites(cutouts_folder, backgrounds_folder, tmp_path, format):
    parts = {"cutouts": str(cutouts_folder), "backgrounds": str(backgrounds_folder)}
    folder = make_scenes(out=tmp_path / "a", num=3, size=64, workers=1, format=format, **parts)
    objects = open_objects(folder, format, "train")
    if format == "coco":
        assert objects.names == ("deep", "long")
    classes = np.concatenate([objects.objects(key).classes for key in objects.keys])
    assert set(classes.tolist()) == {0, 1} and len(objects.keys) == 3
    maps = open_label_maps(folder, format, "val")
    assert all(maps.pair(key)[1].shape == (64, 64) for key in maps.keys)


def test_says_what_a_format_cannot_hold(
    cutouts_folder, backgrounds_folder, write_cutout, tmp_path, made
):
    parts = {"cutouts": str(cutouts_folder), "backgrounds": str(backgrounds_folder)}
    with pytest.raises(RecipeError, match="format=nyu is for rendered scenes, since composites"):
        make_scenes(out=tmp_path / "a", format="nyu", **parts)
    with pytest.raises(RecipeError, match="format=voc has room for 200 objects in a picture"):
        make_scenes(out=tmp_path / "a", format="voc", objects=[2, 300], **parts)
    for number in range(21):
        write_cutout(tmp_path / "many" / f"{number}" / "a.png")
    many = {**parts, "cutouts": tmp_path / "many"}
    for format, room in (("voc", 20), ("cityscapes", 8)):
        sentence = f"format={format} has room for {room} classes of objects, but the cut-outs have"
        with pytest.raises(FormatError, match=sentence):
            make_scenes(out=tmp_path / "a", format=format, **many)
    assert not (tmp_path / "a").exists()
    with pytest.raises(ScenesError, match="holds other scenes: format is coco there and voc now"):
        make_scenes(out=made("coco"), format="voc", **SMALL)
    with pytest.raises(RecipeError, match="'format' cannot be 'ade20k'"):
        make_scenes(out=tmp_path / "a", format="ade20k")
