"""Stores to PNG, COCO and TFRecord files, and back: the same masks."""

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from detcon import convert_masks
from detcon.formats.errors import AnnotationError, FormatError, NotAnnotated
from detcon.formats.tfrecord.example import read_example, write_example
from detcon.formats.tfrecord.framing import frame, scan_records
from detcon.formats.tfrecord.records import ENCODED, INDEX, open_fh_records
from detcon.masks import Masks
from detcon.masks.sources import FromAnnotations
from detcon.masks.store import MaskStore
from detcon.masks.store.header import begin_store, describe
from detcon.masks.store.index import merge_index
from detcon.masks.store.shard import ShardRow, StoreError, pack, write_shard
from detcon.photos import Photos, PhotosError, UnreadablePhoto, decode, open_photos

SIZE = (12, 17)
RNG = np.random.default_rng(0)
DISJOINT = {
    "a/one.jpg": Masks.from_labels(np.repeat([[-1, 3, 3, 9]], 3, axis=0), SIZE),
    "a/two.png": Masks.from_labels(np.arange(12 * 17).reshape(SIZE)),
    "b/three.jpg": Masks.from_labels(np.full(SIZE, -1)),
}
OVERLAPPING = {
    "a/one.jpg": Masks.from_stack(RNG.random((5, *SIZE)) > 0.5, np.linspace(0.9, 0.1, 5)),
    "a/two.png": Masks.from_stack(np.zeros((1, *SIZE), bool)),
    "b/three.jpg": Masks.from_stack(RNG.random((300, *SIZE)) > 0.7),
}


@pytest.fixture
def photos(tmp_path):
    """Photos, of which one is a PNG."""
    folder = tmp_path / "photos"
    for number, key in enumerate(DISJOINT):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / key), cv2.blur(pixels, (9, 9)))
    return open_photos(folder)


@pytest.fixture
def fill(tmp_path, photos):
    """Fills a store with given masks."""

    def make(masks, name="store", source=photos):
        folder = tmp_path / name
        header = describe(FromAnnotations(name), source, 256)
        begin_store(folder, header)
        rows = [ShardRow(key, *pack(masks[key])) for key in source.keys]
        write_shard(folder / "shards" / "00000.masks", rows, header["fingerprint"])
        merge_index(folder, header)
        return MaskStore(folder)

    return make


def same(one, other):
    """Whether the masks that aren't empty are the same pictures, in the same order."""
    one, other = (m.at_size().stack() for m in (one, other))
    one, other = (stack[stack.any((1, 2))] for stack in (one, other))
    return one.shape == other.shape and np.array_equal(one, other)


@pytest.mark.parametrize("masks", [DISJOINT, OVERLAPPING], ids=["disjoint", "overlapping"])
@pytest.mark.parametrize("to", ["png", "coco", "tfrecord"])
def test_out_and_back(tmp_path, photos, fill, masks, to):
    if to == "tfrecord":
        if masks is OVERLAPPING:
            return
        masks = masks | {"a/two.png": Masks.from_labels(np.arange(12 * 17).reshape(SIZE) % 255)}
    store = fill(masks)
    out = convert_masks(masks=store.folder, to=to, out=tmp_path / "out", num_files=2, workers=1)
    generate = FromAnnotations(str(out), format=to)
    for key in photos:
        assert same(generate(photos.read(key), key), store[key]), key


@pytest.mark.parametrize("to", ["png", "coco", "tfrecord"])
def test_workers_and_interruptions_change_nothing(tmp_path, fill, to, capsys):
    store = fill(DISJOINT)
    asked = {"masks": store.folder, "to": to, "num_files": 3}
    convert_masks(**asked, out=tmp_path / "one", workers=1)
    files = {p.relative_to(tmp_path / "one"): p for p in (tmp_path / "one").rglob("*")}
    whole = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
    lost = sorted(name for name in whole if name.name != "conversion.json")[-1]
    (tmp_path / "one" / lost).unlink()
    convert_masks(**asked, out=tmp_path / "one", workers=2)
    assert {name: (tmp_path / "one" / name).read_bytes() for name in whole} == whole
    assert "were there already" not in capsys.readouterr().err
    convert_masks(**asked, out=tmp_path / "one", workers=1)
    said = f"all files of {tmp_path}/one were there already, of the same masks\n"
    assert capsys.readouterr().err == said


def test_maps_of_ids_never_say_void(tmp_path, fill):
    masks = DISJOINT | {"a/two.png": Masks.from_labels(np.arange(300).reshape(12, 25), SIZE)}
    masks["a/two.png"] = Masks.from_labels(np.arange(300).reshape(12, 25))
    many = Photos("photos", "photos", ["a/two.png"])
    store = fill(masks, source=many)
    convert_masks(masks=store.folder, to="png", out=tmp_path / "out", workers=1)
    with Image.open(tmp_path / "out" / "a" / "two.png") as picture:
        assert picture.mode == "I;16"
        values = np.unique(np.array(picture)).tolist()
    assert values == [v for v in range(1, 302) if v != 255]


def test_eight_bits_hold_254_masks(tmp_path, fill):
    labels = {n: np.minimum(np.arange(256).reshape(16, 16), n - 1) for n in (254, 255)}
    keys = [f"{n}.jpg" for n in labels]
    store = fill(
        {f"{n}.jpg": Masks.from_labels(one) for n, one in labels.items()},
        source=Photos("p", "p", keys),
    )
    out = convert_masks(masks=store.folder, to="png", out=tmp_path / "out", workers=1)
    kinds = [cv2.imread(str(out / f"{n}.png"), cv2.IMREAD_UNCHANGED).dtype for n in labels]
    assert kinds == [np.uint8, np.uint16]


def test_overlapping_masks_are_a_picture_each(tmp_path, fill):
    out = convert_masks(masks=fill(OVERLAPPING).folder, to="png", out=tmp_path / "out", workers=1)
    files = sorted((out / "a" / "one").iterdir())
    assert [path.name for path in files] == [f"{n:03d}.png" for n in range(5)]
    assert np.unique(cv2.imread(str(files[0]))).tolist() == [0, 255]
    assert not cv2.imread(str(out / "a" / "two.png")).any(), "no mask, and looked at"


def test_cocos_own_tools_read_it(tmp_path, fill, capsys):
    store = fill(OVERLAPPING)
    out = convert_masks(masks=store.folder, to="coco", out=tmp_path / "out", workers=1)
    theirs = COCO(str(out))
    drawn = [theirs.annToMask(one) for one in theirs.loadAnns(theirs.getAnnIds(imgIds=[1]))]
    assert np.array_equal(drawn, store["a/one.jpg"].stack())
    first = theirs.anns[1]
    assert (
        abs(first["score"] - 0.9) < 0.001
        and first["area"] == drawn[0].sum()
        and first["iscrowd"] == 0
    )
    assert len(json.loads(out.read_text())["images"]) == 3


def records_of(path):
    return [read_example(data) for _, data in scan_records(path)]


def test_records_hold_what_the_official_loader_wants(tmp_path, photos, fill):
    store = fill(DISJOINT)
    out = tmp_path / "out"
    convert_masks(masks=store.folder, to="tfrecord", out=out, num_files=5, workers=1)
    files = sorted(path.name for path in out.glob("train-*"))
    assert files == [f"train-{n:05d}-of-00005" for n in range(5)], "some of them empty"
    found = [record for name in files for record in records_of(out / name)]
    names = [record["image/filename"][0] for record in found]
    assert names == [b"one.jpg", b"two.png", b"three.jpg"]
    assert [record["image/class/label"] for record in found] == [[1], [1], [2]]
    for key, record in zip(photos, found, strict=True):
        assert record["image/height"] == [12]
        assert record["image/width"] == [17]
        (ids,) = record["image/felzenszwalb_segmentations"]
        labels = store[key].at_size().labels
        expected = np.unique(labels, return_inverse=True)[1].reshape(SIZE) - (labels.min() < 0)
        assert np.array_equal(np.frombuffer(ids, np.uint8).reshape(SIZE), expected.astype(np.uint8))
        (jpeg,) = record["image/encoded"]
        assert bytes(jpeg[:3]) == b"\xff\xd8\xff"
        if key.endswith(".jpg"):
            assert bytes(jpeg) == photos.data(key), "files that need no change have none"
        else:
            again = decode(bytes(jpeg), key).astype(int)
            assert abs(again - photos.read(key)).max() < 12, "at the highest quality"


@pytest.mark.parametrize("split, num", [("train", 2048), ("validation", 256)])
def test_the_official_loader_demands_so_many_files(tmp_path, fill, monkeypatch, split, num):
    asked = []
    monkeypatch.setattr(
        "detcon.masks.store.convert.write_records", lambda one: asked.append(one) or 1
    )
    folder = fill(DISJOINT).folder
    convert_masks(masks=folder, to="tfrecord", split=split, out=tmp_path / "o", workers=1)
    assert [one.path.name for one in asked] == [f"{split}-{n:05d}-of-{num:05d}" for n in range(num)]
    assert [key for one in asked for key in one.photos] == sorted(DISJOINT)


def turned(pixels, orientation):
    """A JPEG whose EXIF says how to turn it."""
    picture, file = Image.fromarray(pixels), io.BytesIO()
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_official_maps_of_turned_photos_are_turned(tmp_path, orientation):
    maps = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    pixels = np.repeat((maps[0] * 40)[..., None], 3, axis=2).repeat(16, 0).repeat(16, 1)
    data = turned(pixels, orientation)
    example = {
        "image/filename": "x.jpg", "image/height": 32, "image/width": 48, "image/encoded": data,
        "image/felzenszwalb_segmentations": maps.repeat(16, 1).repeat(16, 2).tobytes(),
    }  # fmt: skip
    (tmp_path / "train-00000-of-00001").write_bytes(frame(write_example(example)))
    photo = decode(data, "x")
    masks = FromAnnotations(str(tmp_path), format="tfrecord")(photo, "n01/x.jpg")
    shades = [photo[mask].mean() for mask in masks.stack()]
    assert np.allclose(shades, np.arange(6) * 40, atol=6)
    second = FromAnnotations(str(tmp_path), format="tfrecord", which=1)(photo, "x.jpg")
    assert np.array_equal(second.labels, masks.labels)
    with pytest.raises(
        AnnotationError, match=r"the record of x\.jpg in .* has 2 maps, numbered fr"
    ):
        FromAnnotations(str(tmp_path), format="tfrecord", which=2)(photo, "x.jpg")


def test_turned_photos_are_written_upright(tmp_path, fill):
    folder = tmp_path / "turned"
    folder.mkdir()
    (folder / "x.jpg").write_bytes(turned(np.zeros((17, 12, 3), np.uint8), 6))
    photos = open_photos(folder)
    store = fill({"x.jpg": Masks.from_labels(np.zeros(SIZE, int))}, source=photos)
    convert_masks(masks=store.folder, to="tfrecord", out=tmp_path / "o", num_files=1, workers=1)
    (record,) = records_of(tmp_path / "o" / "train-00000-of-00001")
    with Image.open(io.BytesIO(record[ENCODED][0])) as jpeg:
        assert jpeg.size == SIZE[::-1] and not jpeg.getexif()


def test_the_index_is_made_once_and_anew_when_a_file_changes(tmp_path, fill, monkeypatch):
    out = convert_masks(
        masks=fill(DISJOINT).folder, to="tfrecord", out=tmp_path / "out", num_files=2, workers=1
    )
    first = open_fh_records(out)
    assert (out / INDEX).exists() and first.maps("a/one.jpg").shape == (1, *SIZE)
    kept = (out / INDEX).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("detcon.formats.tfrecord.records.scan_records", lambda path: 1 / 0)
        assert open_fh_records(out).maps("one.jpg").shape == (1, *SIZE)
    (out / INDEX).write_bytes(kept[: len(kept) // 2])
    assert open_fh_records(out).maps("one.jpg").shape == (1, *SIZE)
    path = out / "train-00000-of-00002"
    path.write_bytes(b"")
    with pytest.raises(NotAnnotated, match=r"there is no record of the photo a/one\.jpg in .*/out"):
        open_fh_records(out).maps("a/one.jpg")


def test_records_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(
        AnnotationError, match=r"there are no records \*-00000-of-02048 in .*; they"
    ):
        open_fh_records(tmp_path)
    path = tmp_path / "train-00000-of-00001"
    path.write_bytes(frame(write_example({"image/filename": "x.jpg"})))
    with pytest.raises(
        AnnotationError, match=r"byte 12 of .*-00001 was not written by .*; make it with "
    ):
        open_fh_records(tmp_path)
    fields = {"image/filename": "x.jpg", "image/felzenszwalb_segmentations": bytes(7)}
    path.write_bytes(frame(write_example(fields)))
    with pytest.raises(
        AnnotationError, match=r"of x\.jpg in .* there is no image/height.*; make it wi"
    ):
        open_fh_records(tmp_path).maps("x.jpg")
    path.write_bytes(frame(write_example(fields | {"image/height": 2, "image/width": 3})))
    with pytest.raises(AnnotationError, match=r"read: 7 ids are no maps of 2 x 3 pixels"):
        open_fh_records(tmp_path).maps("x.jpg")


def test_says_what_a_form_cannot_hold(tmp_path, photos, fill):
    asked = {"to": "tfrecord", "out": tmp_path / "out", "num_files": 1, "workers": 1}
    with pytest.raises(
        FormatError, match=r"cannot write a/one\.jpg as TFRecord: its masks may over"
    ):
        convert_masks(masks=fill(OVERLAPPING, "m1").folder, **asked)
    many = DISJOINT | {"a/two.png": Masks.from_labels(np.arange(256).reshape(16, 16), SIZE)}
    asked["out"] = tmp_path / "out2"
    with pytest.raises(
        FormatError, match=r"a/two\.png as TFRecord: it has 256 masks, and the offi"
    ):
        convert_masks(masks=fill(many, "m2").folder, **asked)
    other = DISJOINT | {"a/one.jpg": Masks.from_labels(np.zeros((5, 5), int))}
    asked["out"] = tmp_path / "out3"
    with pytest.raises(
        FormatError, match=r"one\.jpg has 12 x 17 pixels, but its masks are of 5 x 5"
    ):
        convert_masks(masks=fill(other, "m3").folder, **asked)
    photos.path("a/one.jpg").unlink()
    asked["out"] = tmp_path / "out4"
    with pytest.raises(UnreadablePhoto, match=r"there is no photo .*a/one\.jpg"):
        convert_masks(masks=fill(DISJOINT, "m4").folder, **asked)


@pytest.mark.parametrize(
    "keys, sentence",
    [
        (["a/b.jpg", "a/b.png"], "a/b.jpg and a/b.png would share a/b.png; use to=coco"),
        (["a.jpg", "a/b.jpg"], "the masks of a.jpg would go into the folder of a/b.jpg; use to=co"),
    ],
)
def test_png_names_that_collide_are_refused(tmp_path, fill, keys, sentence):
    store = fill(dict.fromkeys(keys, DISJOINT["a/one.jpg"]), source=Photos("p", "p", keys))
    with pytest.raises(FormatError, match=sentence):
        convert_masks(masks=store.folder, to="png", out=tmp_path / "out", workers=1)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, fill):
    store = fill(DISJOINT)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("dear")
    with pytest.raises(
        StoreError, match=r"cannot write masks to .*/taken: it holds something else"
    ):
        convert_masks(masks=store.folder, to="png", out=tmp_path / "taken")
    out = convert_masks(masks=store.folder, to="png", out=tmp_path / "out", workers=1)
    with pytest.raises(StoreError, match=r"/out holds masks written with to=png, not coco; give"):
        convert_masks(masks=store.folder, to="coco", out=out)


def test_pngs_are_not_written_among_the_photos(tmp_path, photos, fill):
    store = fill(DISJOINT)
    with pytest.raises(PhotosError, match="/photos/png lies among the photos of .*; give an out= "):
        convert_masks(masks=store.folder, to="png", out=tmp_path / "photos" / "png", workers=1)
    assert open_photos(photos.source).keys == photos.keys
    convert_masks(masks=store.folder, to="coco", out=tmp_path / "photos" / "coco", workers=1)
