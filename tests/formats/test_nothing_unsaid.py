"""A contract of all formats: photos in = photos used + photos named, in an error or on stderr."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import drawn_layouts
import layouts
import numpy as np
import pytest
from test_coco import example, write as write_coco
from test_every_use import scene_parsing
from test_hugging_face import arrow, parquet, row

from detcon.formats.errors import AnnotationError
from detcon.formats.registry import (
    FORMATS,
    find_format,
    open_classes,
    open_depth,
    open_label_maps,
    open_objects,
)
from detcon.masks.sources import FromAnnotations
from detcon.notes import note
from detcon.photos import EXTENSIONS, Photos, PhotosError, UnreadablePhoto, open_photos


@dataclass(frozen=True)
class MaskedPhotos:
    """Photos whose masks are looked up in a format that has no photos of its own."""

    photos: Photos
    keys: list[str]
    generator: FromAnnotations

    def photo(self, key):
        return self.photos.read(key)

    def masks(self, key):
        return self.generator(self.photo(key), key)


def open_masks(root, format, split):
    """As `detcon masks` does: which photos are annotated is known before any is read."""
    photos = open_photos(root / "photos")
    generator = FromAnnotations(str(root / format), format=format)
    assert not generator.not_annotated(photos.keys), "it raises, unless missing= lets them pass"
    return MaskedPhotos(photos, list(photos.keys), generator)


READ = {
    "label_maps": (open_label_maps, "labels"),
    "objects": (open_objects, "objects"),
    "depth": (open_depth, "depth"),
    "classes": (open_classes, "label"),
    "masks": (open_masks, "masks"),
}


@dataclass(frozen=True)
class Case:
    """A data set: what writes it, and the folder of its training photos."""

    format: str
    make: object
    photos: str
    labels: str = ""  # of a file for each photo
    kinds: tuple[str, ...] = ()  # empty: all that the format has
    is_listed: bool = True  # whether a file tells which photos there should be


def coco(root):
    values = example()
    del values["annotations"][4]  # which lies outside its picture
    write_coco(root, values)
    for split in ("train2017", "val2017"):
        for name in "abcd":
            layouts.save(root / split / f"{name}.jpg", np.full((20, 30, 3), 90, np.uint8))
    folder = root / "annotations"
    shutil.copy(folder / "instances_val2017.json", folder / "instances_train2017.json")


def cityscapes(root):
    layouts.cityscapes(root)
    for path in [*root.rglob("ulm_*")]:
        shutil.copy(path, path.with_name(path.name.replace("000019", "000020")))


def camvid(root):
    layouts.camvid(root)
    layouts.save(root / "trainannot" / "0001TP_006690.png", np.minimum(layouts.CLASSES, 11))


def png(root):
    for name in "ab":
        layouts.save(root / "photos" / f"{name}.jpg", layouts.PHOTO)
        layouts.save(root / "png" / f"{name}.png", layouts.OBJECTS)


def bsds(root):
    layouts.bsds(root / "bsds")
    layouts.save(root / "photos" / "train" / "12003.jpg", layouts.PHOTO)


def tfrecord(root):
    layouts.tfrecord(root / "tfrecord")
    layouts.save(root / "photos" / "n01_1.JPEG", layouts.PHOTO)


CASES = {
    "folder": Case("folder", layouts.folder, "train/images", "train/labels",
                   ("label_maps", "objects", "depth")),
    "folder of classes": Case("folder", layouts.class_folders, "train/n01", "", ("classes",),
                              False),
    "imagenet": Case("imagenet", layouts.class_folders, "train/n01", is_listed=False),
    "coco": Case("coco", coco, "train2017", "", ("objects",)),
    "coco_panoptic": Case("coco_panoptic", layouts.panoptic, "train2017",
                          "annotations/panoptic_train2017"),
    "voc": Case("voc", layouts.voc, "VOCdevkit/VOC2012/JPEGImages",
                "VOCdevkit/VOC2012/SegmentationObject", ("objects",)),
    "voc maps": Case("voc", layouts.voc, "VOCdevkit/VOC2012/JPEGImages",
                     "VOCdevkit/VOC2012/SegmentationClass", ("label_maps",)),
    "cityscapes": Case("cityscapes", cityscapes, "leftImg8bit/train/ulm",
                       "gtFine/train/ulm"),
    "ade20k": Case("ade20k", scene_parsing, "images/training", "annotations/training"),
    "camvid": Case("camvid", camvid, "train", "trainannot"),
    "nyu": Case("nyu", layouts.folder, "train/images", "train/depth"),
    "nyu frames": Case("nyu", layouts.frames, "train/office", is_listed=False),
    "png": Case("png", png, "photos", "png", ("masks",), False),
    "bsds": Case("bsds", bsds, "photos", "bsds/train", ("masks",), False),
    "tfrecord": Case("tfrecord", tfrecord, "photos", kinds=("masks",), is_listed=False),
} | {
    name: Case(format, make, {"yolo": "images/train", "voc_xml": "JPEGImages",
                              "cvat": "images/train", "coco of CVAT": "images/train",
                              "yolo of Roboflow": "train/images"}.get(
                                  name if " of " in name else format, "train"),
               kinds=("objects",) if name in drawn_layouts.BOXES else ())
    for name, (format, make) in drawn_layouts.MAKERS.items()
}  # fmt: skip


def test_every_format_is_here():
    """Hugging Face's photos lie in shards: they have a test of their own below."""
    assert {case.format for case in CASES.values()} | {"hugging_face"} == set(FORMATS)


def photo_files(folder: Path) -> list[Path]:
    """The photos of a folder, or its label files."""
    return sorted(
        path for path in folder.rglob("*")
        if path.suffix.lower() in (*EXTENSIONS, ".h5", ".mat")
    )  # fmt: skip


def stranger(case, root):
    """A photo that nothing annotates."""
    first = photo_files(root / case.photos)[0]
    name = first.name.replace(first.name[0], "z", 1) if "_" in first.name else f"zz{first.suffix}"
    shutil.copy(first, first.with_name(name))
    return {first.with_name(name)}


def lost_photo(case, root):
    """A photo that is annotated, but gone."""
    *_, last = photo_files(root / case.photos)
    last.unlink()
    return {last} if case.is_listed else set()


def lost_label(case, root):
    """A photo whose label is gone."""
    if case.labels:
        photo_files(root / case.labels)[0].unlink()
    return set()


def damaged(case, root):
    """A photo that can't be decoded."""
    path = photo_files(root / case.photos)[0]
    path.write_bytes(path.read_bytes()[:40])
    return set()


def twin(case, root):
    """Two photos with one stem."""
    first = photo_files(root / case.photos)[0]
    other = first.with_suffix(".bmp" if first.suffix != ".bmp" else ".png")
    if first.suffix != ".h5":
        layouts.save(other, np.zeros((*layouts.PHOTO.shape,), np.uint8))
        return {other}
    return set()


def untouched(case, root):
    """Nothing is wrong."""
    return set()


@pytest.mark.parametrize("disturb", [untouched, stranger, lost_photo, lost_label, damaged, twin])
@pytest.mark.parametrize("name", CASES)
def test_photos_are_used_or_named(tmp_path, capsys, name, disturb):
    case = CASES[name]
    note.cache_clear()
    case.make(tmp_path)
    photos = disturb(case, tmp_path) | set(photo_files(tmp_path / case.photos))
    kinds = case.kinds or [
        kind for kind in READ if getattr(find_format(case.format), kind, None)
    ]  # fmt: skip
    for kind in kinds:
        capsys.readouterr()
        note.cache_clear()
        used, said = use(case, tmp_path, kind)
        said += capsys.readouterr().err
        unsaid = [
            path for path in photos
            if path.name not in used and path.stem.removesuffix("_leftImg8bit") not in said
        ]  # fmt: skip
        if case.format == "voc":  # its lists say which photos are for training
            unsaid = [path for path in unsaid if path.name == "2007_000032.jpg"]
        elif "voc_xml" in name:
            unsaid = [path for path in unsaid if path.stem in drawn_layouts.SPLITS["train"]]
        if disturb is untouched:
            assert used and not said.replace("is a box without an outline", ""), said
        assert not unsaid, (kind, used, said)


def use(case, root, kind) -> tuple[set[str], str]:
    """The names of the photos that could be used, and the messages of those that couldn't."""
    opener, read = READ[kind]
    try:
        source = opener(root, case.format, "train")
    except (AnnotationError, PhotosError) as error:
        return set(), everything(root, str(error))
    used, said = set(), ""
    for key in source.keys:
        try:
            source.photo(key)
            getattr(source, read)(key)
            used.add(Path(key).name)
        except (AnnotationError, UnreadablePhoto) as error:
            said += f"{error}\n"
    return used, said


def everything(root, error: str) -> str:
    """An error stops all: the user corrects what it names, so that the other photos are used."""
    assert any(path.name in error or path.stem in error for path in all_names(root)), error
    return error + " ".join(path.name for path in photo_files(root))


def all_names(root):
    lost = [Path(f"{name}.jpg") for name in "abcde"]
    return [*(path for path in root.rglob("*") if path.is_file()), *lost]


def sound(rows):
    """Nothing is wrong."""


def torn_picture(rows):
    """A photo that can't be decoded."""
    rows[1]["image"]["bytes"] = rows[1]["image"]["bytes"][:40]


def no_picture(rows):
    """A photo that was saved as a path alone."""
    rows[1]["image"]["bytes"] = None


def no_label(rows):
    """A photo that nothing annotates."""
    rows[1] |= {"label": None, "mask": None, "objects": None}


def one_name(rows):
    """Two photos of one name."""
    rows[1]["image"]["path"] = rows[0]["image"]["path"]


@pytest.mark.parametrize("disturb", [sound, torn_picture, no_picture, no_label, one_name])
@pytest.mark.parametrize("kind", ["label_maps", "objects", "classes"])
@pytest.mark.parametrize("write", [parquet, arrow])
def test_rows_of_shards_are_used_or_named(tmp_path, capsys, write, kind, disturb):
    rows = [row(number) for number in range(5)]
    disturb(rows)
    shard = {parquet: "parquet", arrow: "arrow"}[write]
    write(tmp_path, rows, f"train/data-00000-of-00001.{shard}")
    write(tmp_path, [row(number) for number in (5, 6)], f"validation/data-00000-of-00001.{shard}")
    note.cache_clear()
    opener, read = READ[kind]
    used, said = 0, ""
    try:
        source = opener(tmp_path, "hugging_face", "train")
        for key in source.keys:
            try:
                source.photo(key)
                getattr(source, read)(key)
                used += 1
            except (AnnotationError, UnreadablePhoto) as error:
                said += f"{error}\n"
    except AnnotationError as error:  # all stops until this row is corrected
        said = str(error)
    said += capsys.readouterr().err
    named = "row 1 of group" in said or "p1.png" in said
    assert named if disturb not in (sound, one_name) else used == 5, (used, said)
