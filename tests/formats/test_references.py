"""Readers against the reference of each format, on files in the true layout.

COCO's objects are held against pycocotools in test_coco, TFRecords against TensorBoard and
protobuf in test_tf_records, .mat files against SciPy in test_mat_file.
"""

import layouts
import numpy as np
import pytest
import torch
import torchvision.datasets as theirs
from PIL import Image
from scipy.io import loadmat
from torchvision.ops import masks_to_boxes

from detcon.formats.ade20k import read_ade20k
from detcon.formats.bsds import read_segmentations
from detcon.formats.camvid import NAMES, open_camvid
from detcon.formats.cityscapes import open_cityscapes, open_cityscapes_objects
from detcon.formats.coco.panoptic import open_coco_panoptic
from detcon.formats.folder.labels import open_folder, open_folder_objects
from detcon.formats.hugging_face import open_classes, open_label_maps, open_objects
from detcon.formats.imagenet import open_class_folders
from detcon.formats.nyu.reader import open_nyu
from detcon.formats.voc.reader import open_voc, open_voc_objects


@pytest.fixture
def made(tmp_path, request):
    """The data set that is asked for by its function of `layouts`."""
    getattr(layouts, request.param)(tmp_path)
    return tmp_path


def of(name):
    return pytest.mark.parametrize("made", [name], indirect=True)


def same_boxes(objects):
    drawn = torch.from_numpy(objects.masks())
    boxes = masks_to_boxes(drawn).numpy() + np.array([0, 0, 1, 1])  # theirs end with the last pixel
    assert np.array_equal(objects.boxes, boxes)


@of("voc")
@pytest.mark.parametrize("split", ["train", "val"])
def test_voc_is_torchvisions(made, split):
    (made / "VOCdevkit/VOC2012/Annotations").mkdir()
    reference = theirs.VOCSegmentation(str(made), "2012", split)
    maps = open_voc(made, split, augmented=False)
    assert [maps.photos.path(key) == path for key, path in zip(maps.keys, reference.images)]
    for key, (photo, labels) in zip(maps.keys, reference, strict=True):
        assert np.array_equal(maps.labels(key), np.array(labels))
        assert (
            np.abs(maps.photo(key).astype(int) - np.array(photo)).max() <= 2
        )  # other JPEG decoders


@of("voc")
def test_sbd_is_torchvisions(made):
    reference = theirs.SBDataset(
        str(made / "benchmark_RELEASE/dataset"), "train", "segmentation",
        transforms=lambda photo, labels: (photo, np.array(labels)),
    )  # fmt: skip
    [(_, labels)] = list(reference)
    assert np.array_equal(open_voc(made, "train").labels("2008_000008.jpg"), labels)


@of("voc")
def test_objects_of_voc_are_each_id_with_the_class_below_it(made):
    here = made / "VOCdevkit/VOC2012"
    for split, stem in (("train", "2007_000032"), ("val", "2007_000033")):
        ids, labels = (
            np.array(Image.open(here / part / f"{stem}.png"))
            for part in ("SegmentationObject", "SegmentationClass")
        )
        found = open_voc_objects(made, split).objects(f"{stem}.jpg")
        numbers = [n for n in (1, 2) if ((ids == n) & (labels > 0) & (labels < 255)).any()]
        assert np.array_equal(found.masks(), ids == np.array(numbers)[:, None, None])
        for number, label in zip(numbers, found.classes, strict=True):
            votes = np.bincount(labels[ids == number], minlength=256)[1:255]
            assert label == votes.argmax()
        same_boxes(found)


@of("cityscapes")
@pytest.mark.parametrize("split", ["train", "val"])
def test_cityscapes_is_torchvisions(made, split):
    reference = theirs.Cityscapes(
        str(made), split, mode="fine", target_type=["semantic", "instance"]
    )
    table = {one.id: one.train_id for one in reference.classes}
    trained = sorted((one for one in reference.classes if one.train_id not in (255, -1)),
                     key=lambda one: one.train_id)  # fmt: skip
    maps, sets = open_cityscapes(made, split), open_cityscapes_objects(made, split)
    assert maps.names == tuple(one.name for one in trained)
    things = [one for one in trained if one.has_instances]
    assert sets.names == tuple(one.name for one in things)
    for key, (photo, (labels, ids)) in zip(maps.keys, reference, strict=True):
        assert np.array_equal(maps.photo(key), np.array(photo))
        classes = np.vectorize(table.get)(np.array(labels))
        assert np.array_equal(maps.labels(key), np.where(classes < 0, 255, classes))
        found, ids = sets.objects(key), np.array(ids).astype(int)
        wanted = [
            n for n in np.unique(ids) if (n if n < 1000 else n // 1000) in [t.id for t in things]
        ]
        assert np.array_equal(found.masks(), ids == np.array(wanted)[:, None, None])
        assert found.crowd.tolist() == [n < 1000 for n in wanted]
        assert [things[label].id for label in found.classes] == [
            n if n < 1000 else n // 1000 for n in wanted
        ]
        same_boxes(found)


@of("class_folders")
@pytest.mark.parametrize("split", ["train", "val"])
def test_class_folders_are_torchvisions(made, split):
    reference = theirs.ImageFolder(str(made / split))
    ours = open_class_folders(made, split)
    assert list(ours.names) == reference.classes
    assert [str(ours.photos.path(key)) for key in ours.keys] == [path for path, _ in reference.imgs]
    assert [ours.label(key) for key in ours.keys] == reference.targets


@of("panoptic")
def test_panoptic_ids_are_by_the_formats_own_rule(made):
    """ids=R+G*256+B*256^2 (cocodataset.org/#format-data); crowds have a class, id 0 has none."""
    panoptic = open_coco_panoptic(made, "train")
    with Image.open(made / "annotations/panoptic_train2017/a.png") as png:
        red, green, blue = np.moveaxis(np.array(png).astype(int), 2, 0)
    ids = red + green * 256 + blue * 256**2
    found = panoptic.segments("a.jpg")
    assert np.array_equal(found.ids, np.where(ids == 0, -1, ids))
    assert sorted(found.classes) == [5, 300, 70000]
    assert panoptic.names == ("car", "grass")
    expected = np.select([(ids == 5) | (ids == 300), ids == 70000], [0, 1], 255)
    assert np.array_equal(panoptic.labels("a.jpg"), expected)


@of("ade20k")
def test_ade20k_is_by_its_authors_rule(made):
    """ObjectClassMasks = R/10*256+G, instances by B (utils_ade20k.py)."""
    path = made / "ADE_train_00000001_seg.png"
    red, green, blue = np.moveaxis(np.array(Image.open(path)), 2, 0)
    found = read_ade20k(path)
    theirs = (red / 10).astype(np.int32) * 256 + green.astype(np.int32)
    assert np.array_equal(found.classes, theirs) and np.array_equal(found.instances, blue)


@of("bsds")
def test_bsds_is_scipys(made):
    path = made / "train" / "12003.mat"
    cells = loadmat(path)["groundTruth"]
    expected = [cells[0, i]["Segmentation"][0, 0] for i in range(cells.shape[1])]
    found = read_segmentations(path)
    assert len(found) == 2 and all(np.array_equal(*pair) for pair in zip(found, expected))


@of("camvid")
def test_camvid_is_what_pillow_reads(made):
    maps = open_camvid(made, "train")
    expected = np.array(Image.open(made / "trainannot/0001TP_006690.png"))
    assert np.array_equal(
        maps.labels("0001TP_006690.png"), np.where(expected == len(NAMES), 255, expected)
    )


@of("folder")
def test_a_labelled_folder_is_what_pillow_reads(made):
    labels, ids = (
        np.array(Image.open(made / "train" / part / "a.png")) for part in ("labels", "instances")
    )
    assert np.array_equal(open_folder(made, "train").labels("a.jpg"), labels)
    found = open_folder_objects(made, "train").objects("a.jpg")
    numbers = [n for n in np.unique(ids) if n and (labels[ids == n] != 255).any()]
    assert np.array_equal(found.masks(), ids == np.array(numbers)[:, None, None])
    same_boxes(found)


@of("nyu")
def test_nyu_lies_as_matlab_sees_it(made):
    """MATLAB has images [y x 3 n] and depths [y x n], in columns: HDF5 has the axes reversed."""
    import h5py

    with h5py.File(made / "nyu_depth_v2_labeled.mat") as file:
        images, depths = file["images"][()].T, file["depths"][()].T  # as MATLAB shows them
    maps = open_nyu(made, "train")
    assert list(maps.keys) == ["0001", "0003"]
    for key in maps.keys:
        assert np.array_equal(maps.photo(key), images[..., int(key) - 1])
        assert np.allclose(maps.depth(key), depths[..., int(key) - 1])


@pytest.mark.parametrize("way", ["parquet", "disk"])
def test_hugging_face_is_what_its_own_library_writes_and_reads(tmp_path, way):
    """Where `datasets` is installed, which isn't needed otherwise."""
    library = pytest.importorskip("datasets")
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)) for _ in range(6)]
    maps = [Image.fromarray(rng.integers(0, 3, (9, 12), np.uint8)) for _ in range(6)]
    boxes = [[[1.0, 2.0, 5.0, 4.0]] * (number % 3) for number in range(6)]
    names = library.ClassLabel(names=["cat", "dog"])
    features = library.Features(
        image=library.Image(),
        label=names,
        mask=library.Image(),
        objects={
            "bbox": library.List(library.List(library.Value("float32"), length=4)),
            "category": library.List(names),
        },
    )
    rows = {
        "image": pictures,
        "label": [number % 2 for number in range(6)],
        "mask": maps,
        "objects": [{"bbox": some, "category": [1] * len(some)} for some in boxes],
    }
    whole = library.Dataset.from_dict(rows, features=features)
    parts = library.DatasetDict(train=whole.select(range(4)), validation=whole.select([4, 5]))
    for split, part in parts.items() if way == "parquet" else ():
        (tmp_path / "data").mkdir(exist_ok=True)
        part.to_parquet(tmp_path / f"data/{split}-00000-of-00001.parquet")
    if way == "disk":
        parts.save_to_disk(tmp_path)
    for split, part in (("train", parts["train"]), ("val", parts["validation"])):
        classes, labels, objects = (
            opened(tmp_path, split) for opened in (open_classes, open_label_maps, open_objects)
        )
        assert classes.names == objects.names == ("cat", "dog") and len(classes.keys) == len(part)
        for key, row in zip(classes.keys, part, strict=True):
            assert np.array_equal(classes.photo(key), np.array(row["image"]))
            assert classes.label(key) == row["label"]
            assert np.array_equal(labels.pair(key)[1], np.array(row["mask"]))
            found = objects.objects(key)
            corners = [[x, y, x + w, y + h] for x, y, w, h in row["objects"]["bbox"]]
            assert found.boxes.tolist() == corners
            assert found.classes.tolist() == row["objects"]["category"]
