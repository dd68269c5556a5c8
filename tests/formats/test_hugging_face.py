"""Hugging Face data sets: shards as the hub and `save_to_disk` have them, read in place."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from detcon import transfer
from detcon.formats.errors import AnnotationError
from detcon.formats.hugging_face import open_classes, open_label_maps, open_objects, rows as shards
from detcon.formats.reading.holdout import Holdout
from detcon.formats.recognising import recognise
from detcon.masks.sources import FromAnnotations
from detcon.photos import UnreadablePhoto

SIZE = (12, 16)
NAMES = ["cat", "dog"]
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": NAMES, "_type": "ClassLabel"},
    "mask": {"_type": "Image"},
    "objects": {
        "feature": {"bbox": {"feature": {"dtype": "float32", "_type": "Value"}, "length": 4},
                    "category": {"names": NAMES, "_type": "ClassLabel"}},
        "_type": "Sequence",
    },
}  # fmt: skip


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def row(number, *, boxes="xywh", records=False):
    rng = np.random.default_rng(number)
    left, top = rng.integers(0, 6, 2).tolist()
    box = [left, top, 7, 5] if boxes == "xywh" else [left, top, left + 7, top + 5]
    objects = [{"bbox": box, "category": number % 2}] * (number % 3)
    if not records:
        objects = {name: [one[name] for one in objects] for name in ("bbox", "category")}
    return {
        "image": {
            "bytes": png(rng.integers(0, 256, (*SIZE, 3), np.uint8)),
            "path": f"p{number}.png",
        },
        "label": number % 2,
        "mask": {"bytes": png(rng.choice([0, 1, 2, 255], SIZE).astype(np.uint8)), "path": None},
        "objects": objects,
    }


def schema(records, features):
    box, label = pa.list_(pa.float32()), pa.int64()
    objects = pa.struct([("bbox", pa.list_(box)), ("category", pa.list_(label))])
    if records:
        objects = pa.list_(pa.struct([("bbox", box), ("category", label)]))
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [("image", picture), ("label", label), ("mask", picture), ("objects", objects)]
    told = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    return pa.schema(fields, metadata=told)


def parquet(root, rows, name="data/train-00000-of-00001.parquet", *, records=False, told=FEATURES):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema(records, told))
    pq.write_table(table, path, row_group_size=2)
    return path


def arrow(root, rows, name, writer=pa.ipc.new_stream):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema(False, FEATURES))
    with writer(str(path), table.schema) as file:
        file.write_table(table, max_chunksize=2)


def from_hub(root, **options):
    rows = [row(number, **options) for number in range(8)]
    records = options.get("records", False)
    parquet(root, rows[:3], "data/train-00000-of-00002.parquet", records=records)
    parquet(root, rows[3:5], "data/train-00001-of-00002.parquet", records=records)
    parquet(root, rows[5:], "data/validation-00000-of-00001.parquet", records=records)


def from_disk(root):
    rows = [row(number) for number in range(8)]
    arrow(root, rows[:3], "train/data-00000-of-00002.arrow")
    arrow(root, rows[3:5], "train/data-00001-of-00002.arrow", pa.ipc.new_file)
    arrow(root, rows[5:], "validation/data-00000-of-00001.arrow")


MAKERS = {
    "hub": from_hub,
    "records": lambda root: from_hub(root, records=True),
    "edges": lambda root: from_hub(root, boxes="xyxy"),
    "disk": from_disk,
}


@pytest.fixture(params=MAKERS)
def data(request, tmp_path):
    MAKERS[request.param](tmp_path)
    return tmp_path


@pytest.mark.parametrize("task", ["knn_classification", "knn_segmentation"])
def test_rows_are_learnt_from(tmp_path, task):
    from_hub(tmp_path / "data")
    [result] = transfer(
        task=task, format="hugging_face", data=str(tmp_path / "data"), out=str(tmp_path / "run"),
        backbone="random", encoder={"name": "resnet18", "width": 0.0625},
        loop={"accelerator": "cpu", "precision": "32"},
    )  # fmt: skip
    assert 0 <= result.value <= 100


@pytest.mark.parametrize(("split", "numbers"), [("train", range(5)), ("val", range(5, 8))])
def test_rows_are_what_was_written(data, split, numbers):
    assert recognise(data)[0] == "hugging_face"
    classes, maps, objects = (
        opened(data, split) for opened in (open_classes, open_label_maps, open_objects)
    )
    assert list(classes.keys) == [f"p{number}.png" for number in numbers]
    assert classes.names == objects.names == ("cat", "dog")
    assert maps.names == ("class 0", "class 1", "class 2")
    for number in numbers:
        key, written = f"p{number}.png", row(number)
        photo = np.array(Image.open(io.BytesIO(written["image"]["bytes"])))
        for source in (classes, maps, objects):
            assert np.array_equal(source.photo(key), photo)
        assert classes.label(key) == written["label"]
        labels = np.array(Image.open(io.BytesIO(written["mask"]["bytes"])))
        assert np.array_equal(maps.pair(key)[1], labels)
        found = objects.objects(key)
        expected = [
            [left, top, left + width, top + height]
            for left, top, width, height in written["objects"]["bbox"]
        ]
        assert found.boxes.tolist() == expected and found.size == SIZE
        assert found.classes.tolist() == written["objects"]["category"]


def test_how_boxes_are_read_is_said(tmp_path, capsys):
    for boxes, words in (("xywh", "top, width, height"), ("xyxy", "top, right, bottom")):
        from_hub(tmp_path / boxes, boxes=boxes)
        open_objects(tmp_path / boxes, "train")
        assert f"boxes of {tmp_path / boxes} are read as left, {words}" in capsys.readouterr().err


def test_a_row_group_is_read_once_for_rows_in_a_row(tmp_path, monkeypatch):
    from_hub(tmp_path)
    source = open_classes(tmp_path, "train")
    shards._group.cache_clear()
    for key in source.keys:
        source.photo(key)
    assert shards._group.cache_info().misses == 3  # groups of 2, 1 and 2 rows


def test_masks_of_label_maps(tmp_path):
    from_hub(tmp_path)
    source = FromAnnotations(str(tmp_path), format="hugging_face", split="val")
    labels = open_label_maps(tmp_path, "val").labels("p6.png")
    masks = source(np.zeros((*SIZE, 3), np.uint8), "p6.png")
    assert np.array_equal(masks.stack(), labels == np.unique(labels[labels < 255])[:, None, None])


def test_without_a_split_val_is_drawn(tmp_path):
    parquet(tmp_path, [row(number) for number in range(12)], "shard.parquet")
    with pytest.raises(
        AnnotationError, match="has no train: all its photos are together; give val"
    ):
        open_classes(tmp_path, "train")
    keys = [open_classes(tmp_path, s, holdout=Holdout(0.4)).keys for s in ("train", "val")]
    assert sorted([*keys[0], *keys[1]]) == sorted(f"p{number}.png" for number in range(12))
    source = FromAnnotations(str(tmp_path), format="hugging_face")
    assert source.not_annotated([f"p{number}.png" for number in range(12)]) == [], "masks need none"


def test_masks_of_a_split_that_is_not_there(tmp_path):
    parquet(tmp_path, [row(number) for number in range(3)])
    with pytest.raises(AnnotationError, match="no val: only train; give split=train .generator"):
        FromAnnotations(str(tmp_path), format="hugging_face", split="val").not_annotated(["a.png"])


def test_without_names_of_photos_and_of_classes(tmp_path):
    rows = [row(number) for number in range(4)]
    for one in rows:
        one["image"]["path"] = None
        one["label"] += 3
    parquet(tmp_path, rows, told=None)
    source = open_classes(tmp_path, "train")
    assert list(source.keys) == [f"data/train-00000-of-00001/{n:08d}" for n in range(4)]
    assert source.names == ("3", "4") and [source.label(key) for key in source.keys] == [0, 1, 0, 1]
    assert open_objects(tmp_path, "train").names == ("0", "1")


def test_names_that_two_splits_share_are_no_keys(tmp_path):
    """As `datasets` writes pictures without a name, or with the same in each split."""
    parquet(tmp_path, [row(0), row(1)])
    parquet(tmp_path, [row(1)], "data/validation-00000-of-00001.parquet")
    assert list(open_classes(tmp_path, "val").keys) == ["data/validation-00000-of-00001/00000002"]


def changed(number, **values):
    rows = [row(n) for n in range(6)]
    rows[number] |= values
    return rows


BAD = {"bytes": b"no picture", "path": "p1.png"}
TWINS = [
    (open_classes, changed(1, label=7), r"row 1 of group 0 of .*parquet has 7 as 'label', but cla"),
    (open_classes, changed(1, label=None), r"has None as 'label', but classes go from 0 to 1"),
    (open_objects, changed(1, image=BAD), r"cannot read row 1 of group 0 .* holds no picture"),
    (open_objects, changed(1, image={"bytes": None, "path": "p1.png"}), "has no bytes in the col"),
    (open_label_maps, changed(1, mask=BAD), r"the 'mask' of row 1 .* is no picture that can be"),
    (open_label_maps, changed(1, mask=row(1)["image"]), r"'mask' of row 1 .* has 3 channels"),
    (
        open_label_maps,
        changed(1, mask={"bytes": png(np.full(SIZE, 700, np.uint16)), "path": None}),
        r"'mask' of row 1 .* holds 700, but class ids go from 0 to 254, and 255 is void; change",
    ),
    (open_objects, changed(1, objects={"bbox": [[1, 2, 3]], "category": [0]}), "aren't four numbe"),
    (open_objects, changed(1, objects={"bbox": [[1, 2, 3, np.nan]], "category": [0]}), "finite"),
    (open_objects, changed(1, objects={"bbox": [], "category": [0]}), r"has 0 boxes, but 1 "),
    (open_objects, changed(1, objects={"bbox": [[1, 2, 3, 4]], "category": [5]}), "the class 5"),
    (open_objects, changed(1, objects={"bbox": [[-99, 2, 3, 4]], "category": [0]}), "reaches far"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(TWINS)))
def test_what_is_wrong_is_said(number, tmp_path):
    opened, rows, message = TWINS[number]
    parquet(tmp_path, rows)
    parquet(tmp_path, [row(7)], "data/validation-00000-of-00001.parquet")
    with pytest.raises(AnnotationError, match=message) as error:
        opened(tmp_path, "train")
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_labels_of_another_size_name_row_and_column(tmp_path):
    small = {"bytes": png(np.zeros((3, 4), np.uint8)), "path": None}
    for split in ("train", "validation"):
        parquet(tmp_path, [row(0) | {"mask": small}], f"data/{split}-0.parquet")
    maps = open_label_maps(tmp_path, "train")
    place = f"row 0 of group 0 of {tmp_path}/data/train-0.parquet"
    with pytest.raises(AnnotationError) as error:
        maps.pair(maps.keys[0])
    assert str(error.value) == (
        f"the 'mask' of {place} is 3 x 4 pixels, but its photo {maps.keys[0]} is "
        f"12 x 16 pixels (upright); the two must match"
    )


def test_classes_without_names_are_those_of_all_splits(tmp_path):
    """A split that lacks one must not number the others anew."""
    plain = FEATURES | {"label": {"dtype": "int64", "_type": "Value"}}
    labels = {"train": [10, 2, 3], "validation": [3, 10], "test": [-1, -1]}
    for split, written in labels.items():
        rows = [row(number) | {"label": label} for number, label in enumerate(written)]
        for number, one in enumerate(rows):
            one["image"] = one["image"] | {"path": f"{split}{number}.png"}
        parquet(tmp_path, rows, f"data/{split}-0.parquet", told=plain)
    for split, expected in {"train": [2, 0, 1], "val": [1, 2]}.items():
        found = open_classes(tmp_path, split)
        assert found.names == ("2", "3", "10")
        assert [found.label(key) for key in found.keys] == expected
    with pytest.raises(AnnotationError, match="has -1 as 'label', but classes are numbers from 0"):
        open_classes(tmp_path, "test")


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(AnnotationError, match=r"there are no \.parquet and no \.arrow files in "):
        open_classes(tmp_path, "train")
    table = pa.table({"a": [1], "b": [2]})
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(AnnotationError, match="has no column of images, but a, b"):
        open_classes(tmp_path, "train")
    table = pa.table({"image": pa.array([row(0)["image"]])})
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(AnnotationError, match="has 0 columns that may be the class"):
        open_classes(tmp_path, "train")
    with pytest.raises(AnnotationError, match="has no column 'objects', but image"):
        open_objects(tmp_path, "train")
    with pytest.raises(AnnotationError, match="has no column of label maps: its images are image"):
        open_label_maps(tmp_path, "train")


def test_boxes_that_fit_no_reading_are_refused(tmp_path):
    shares = {"bbox": [[0.1, 0.1, 0.5, 0.5]], "category": [0]}
    parquet(tmp_path, [row(n) | {"objects": shares} for n in range(3)])
    with pytest.raises(
        AnnotationError, match=r"are neither 'left, top, width, height' nor .* in p"
    ):
        open_objects(tmp_path, "train")


@pytest.fixture(scope="module", params=["hub", "disk"])
def damageable(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("any")
    MAKERS[request.param](root)
    path = next(root.rglob("*train*/*.arrow"), None) or next(root.rglob("train*.parquet"))
    return root, path, path.read_bytes()


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
    | st.integers(0, 10**6)
    | st.binary(max_size=40)
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_is_read_or_refused(damageable, change):
    root, path, whole = damageable
    content = bytearray(change if isinstance(change, bytes) else whole)
    if isinstance(change, int):
        del content[change % (len(content) + 1) :]
    for place, value in change if isinstance(change, list) else ():
        content[place % len(content)] = value
    path.unlink()  # another file: the old one may be mapped
    path.write_bytes(bytes(content))
    shards._group.cache_clear()
    shards._arrow.cache_clear()
    said = str(root)
    try:
        for opened in (open_classes, open_label_maps, open_objects):
            source = opened(root, "train")
            for key in source.keys:
                source.photo(key)
    except (AnnotationError, UnreadablePhoto) as error:
        said = str(error)
    assert str(root) in said and "\n" not in said
