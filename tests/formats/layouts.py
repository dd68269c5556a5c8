"""Every data set in its true layout, as small as it can be: two photos of 6 x 8 pixels or so."""

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from detcon.formats.tfrecord.example import write_example
from detcon.formats.tfrecord.framing import frame

PHOTO = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
CLASSES = np.random.default_rng(1).choice([0, 1, 7, 20, 255], (6, 8)).astype(np.uint8)
OBJECTS = np.random.default_rng(2).choice([0, 1, 2, 255], (6, 8)).astype(np.uint8)


def save(path: Path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)


def save_text(path: Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def folder(root: Path):
    for split in ("train", "val"):
        save(root / split / "images" / "a.jpg", PHOTO)
        save(root / split / "labels" / "a.png", CLASSES % 3)
        save(root / split / "instances" / "a.png", OBJECTS.astype(np.uint16))
        save(root / split / "depth" / "a.png", OBJECTS.astype(np.uint16) * 9)
    save_text(root / "classes.json", '{"names": ["sky", "cup", "car"], "ignore": 255}')


def voc(root: Path):
    here, sbd = root / "VOCdevkit" / "VOC2012", root / "benchmark_RELEASE" / "dataset"
    for stem in ("2007_000032", "2007_000033", "2008_000008"):
        save(here / "JPEGImages" / f"{stem}.jpg", PHOTO)
    for stem in ("2007_000032", "2007_000033"):
        for part, ids in (("SegmentationClass", CLASSES), ("SegmentationObject", OBJECTS)):
            picture = Image.fromarray(np.roll(ids, int(stem[-1]), 1)).convert("P")
            picture.putpalette(np.arange(768, dtype=np.uint8).tobytes())
            (here / part).mkdir(exist_ok=True)
            picture.save(here / part / f"{stem}.png")
    save_text(here / "ImageSets" / "Segmentation" / "train.txt", "2007_000032\n")
    save_text(here / "ImageSets" / "Segmentation" / "val.txt", "2007_000033\n")
    for part, name, ids in (("cls", "GTcls", CLASSES), ("inst", "GTinst", OBJECTS)):
        (sbd / part).mkdir(parents=True)
        truth = {"Segmentation": np.where(ids == 255, 0, ids), "Boundaries": np.zeros((20, 1))}
        savemat(sbd / part / "2008_000008.mat", {name: truth}, do_compression=True)
    save(sbd / "img" / "2008_000008.jpg", PHOTO)
    save_text(sbd / "train.txt", "2008_000008\n")
    save_text(sbd / "val.txt", "2007_000033\n")


def cityscapes(root: Path):
    labels = np.arange(48).reshape(6, 8) % 34
    ids = labels.astype(np.int32)
    ids[labels >= 24] = labels[labels >= 24] * 1000 + np.arange((labels >= 24).sum()) % 3
    ids[0, :2] = 26  # a group of cars
    labels[0, :2] = 26
    for split, city in (("train", "ulm"), ("val", "bonn")):
        stem = f"{split}/{city}/{city}_000000_000019"
        save(root / "leftImg8bit" / f"{stem}_leftImg8bit.png", PHOTO)
        save(root / "gtFine" / f"{stem}_gtFine_labelIds.png", labels.astype(np.uint8))
        save(root / "gtFine" / f"{stem}_gtFine_instanceIds.png", ids.astype(np.uint16))
        for kind in ("color.png", "polygons.json"):  # which torchvision wants to see
            save_text(root / "gtFine" / f"{stem}_gtFine_{kind}", "{}")


def camvid(root: Path):
    for split in ("train", "val"):
        save(root / split / "0001TP_006690.png", PHOTO)
        save(root / f"{split}annot" / "0001TP_006690.png", (CLASSES % 12).astype(np.uint8))


def ade20k(root: Path):
    rng = np.random.default_rng(3)
    codes = np.stack([rng.choice([0, 10, 20, 110], (6, 8)), *rng.integers(0, 4, (2, 6, 8))], 2)
    save(root / "ADE_train_00000001.jpg", PHOTO)
    save(root / "ADE_train_00000001_seg.png", codes.astype(np.uint8))


def panoptic(root: Path):
    segments = [
        {"id": 70000, "category_id": 17, "iscrowd": 0, "area": 0, "bbox": [0, 0, 1, 1]},
        {"id": 300, "category_id": 3, "iscrowd": 1, "area": 0, "bbox": [0, 0, 1, 1]},
        {"id": 5, "category_id": 3, "iscrowd": 0, "area": 0, "bbox": [0, 0, 1, 1]},
    ]
    ids = np.random.default_rng(4).choice([0, 70000, 300, 5], (6, 8))
    values = {
        "images": [{"id": 9, "file_name": "a.jpg", "height": 6, "width": 8}],
        "annotations": [{"image_id": 9, "file_name": "a.png", "segments_info": segments}],
        "categories": [
            {"id": 3, "name": "car", "isthing": 1}, {"id": 17, "name": "grass", "isthing": 0},
        ],
    }  # fmt: skip
    save_text(root / "annotations" / "panoptic_train2017.json", json.dumps(values))
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], 2).astype(np.uint8)
    save(root / "annotations" / "panoptic_train2017" / "a.png", colours)
    save(root / "train2017" / "a.jpg", PHOTO)


def bsds(root: Path):
    cells = np.empty((1, 2), object)
    for place in range(2):
        ids = (OBJECTS % 3 + 1 + place).astype(np.uint16)
        cells[0, place] = {"Segmentation": ids, "Boundaries": ids > 1}
    (root / "train").mkdir(parents=True)
    savemat(root / "train" / "12003.mat", {"groundTruth": cells}, do_compression=True)


def nyu(root: Path):
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = rng.integers(0, 256, (3, 3, 8, 6), np.uint8)
        file.create_dataset("depths", data=rng.uniform(0.7, 9, (3, 8, 6)), compression="gzip")
    lists = {"trainNdxs": np.array([[1.0], [3.0]]), "testNdxs": np.array([[2.0]])}
    savemat(root / "splits.mat", lists)


def frames(root: Path):
    (root / "train" / "office").mkdir(parents=True)
    with h5py.File(root / "train" / "office" / "00001.h5", "w") as file:
        file["rgb"], file["depth"] = PHOTO.transpose(2, 0, 1), PHOTO[..., 0] / 50


def class_folders(root: Path):
    for split in ("train", "val"):
        for name in ("n02", "n01", "n10"):
            for number in range(2):
                path = root / split / name / f"{name}_{number}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), PHOTO)


def tfrecord(root: Path):
    jpeg = cv2.imencode(".jpg", PHOTO)[1].tobytes()
    values = {
        "image/filename": "n01_1.JPEG", "image/height": 6, "image/width": 8,
        "image/encoded": jpeg, "image/felzenszwalb_segmentations": (CLASSES % 9).tobytes(),
    }  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    (root / "train-00000-of-02048").write_bytes(frame(write_example(values)))
