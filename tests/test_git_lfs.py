"""A pointer that Git LFS left in place of a file is called that, with what to do."""

import io
import tarfile

import cv2
import numpy as np
import pytest

import detcon
from detcon import Grid
from detcon.config import load_recipe
from detcon.data.classes import read_classes
from detcon.downstream.model_file import load_model
from detcon.embedding.table import read_about
from detcon.formats.bsds import read_segmentations
from detcon.formats.coco.json_file import read_coco_json
from detcon.formats.folder.depth import DepthFiles
from detcon.formats.folder.labels import _read_classes
from detcon.formats.hugging_face.rows import open_rows
from detcon.formats.reading.beside import read_json, read_xml
from detcon.formats.reading.holdout import Holdout
from detcon.formats.reading.ids import read_map, read_rgb
from detcon.formats.registry import open_depth
from detcon.formats.tfrecord.framing import scan_records
from detcon.formats.yolo import read_yolo
from detcon.importing.npy import read_arrays
from detcon.masks.recipe import MasksRecipe
from detcon.masks.sources.mcg.contour_maps import read_contours
from detcon.masks.sources.mcg.scores import load_ranker
from detcon.models.backbone_file import load_backbone
from detcon.photos import Photos, PhotosError, decode, open_photos
from detcon.scenes.cutouts import Cutouts

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:79\nsize 12345\n"


def nyu(path):
    path.with_name("nyu_depth_v2_labeled.mat").write_bytes(POINTER)
    return open_depth(path.parent, "nyu", "train")


def whole_store(path, part):
    """A store of masks of which one file is a pointer."""
    photos = path.parent / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "a.png"), np.zeros((9, 9, 3), np.uint8))
    store = detcon.make_masks(images=photos, out=path.parent / "m", generator=Grid(2), workers=1)
    (store / part).write_bytes(POINTER)
    return detcon.MaskStore(store)["a.png"]


def yolo(path):
    root = path.parents[1] if path.parent.name == "labels" else path.parent
    (root / "images").mkdir()
    (root / "images" / "a.jpg").write_bytes(b"")
    (root / "labels").mkdir(exist_ok=True)
    if path.name != "classes.txt":
        (root / "classes.txt").write_text("cat")
    if path.name != "a.txt":
        (root / "labels" / "a.txt").touch()
    return read_yolo(root)


def depth(path):
    return DepthFiles(Photos("", "", ["a.png"]), {"a.png": path}, 1.0).depth("a.png")


READ = {
    "photo.jpg": lambda path: decode(path.read_bytes(), str(path)),
    "four bands.tif": lambda path: decode(path.read_bytes(), str(path), channels=4),
    "labelme.json": read_json,
    "coco.json": read_coco_json,
    "voc.xml": read_xml,
    "ids.png": lambda path: read_map(path, "a"),
    "codes.png": lambda path: read_rgb(path, "a", wrong=""),
    "contours.png": lambda path: read_contours(str(path.parent), "contours.jpg", (9, 9), (9, 9)),
    "cut-out.png": lambda path: Cutouts(str(path.parent), (), {}).read(path.name, 9),
    "sbd.mat": lambda path: read_map(path, "a"),
    "bsds.mat": read_segmentations,
    "train.parquet": lambda path: open_rows(path.parent, "train"),
    "train.arrow": lambda path: open_rows(path.parent, "train"),
    "splits.mat": nyu,
    "masks-00000-of-02048": lambda path: list(scan_records(path)),
    "weights.pth": load_backbone,
    "backbone.safetensors": load_backbone,
    "model.safetensors": load_model,
    "released.npy": read_arrays,
    "ranker.npz": lambda path: load_ranker(str(path)),
    "contours.npy": lambda path: read_contours(str(path.parent), "contours.jpg", (9, 9), (9, 9)),
    "vectors.parquet": read_about,
    "list.txt": open_photos,
    "list.csv": open_photos,
    "list.parquet": open_photos,
    "photos.tar": open_photos,
    "labels/a.txt": yolo,
    "classes.txt": yolo,
    "data.yaml": yolo,
    "groups.csv": lambda path: Holdout(0.2, str(path)).is_val(["a.jpg"]),
    "classes.csv": lambda path: read_classes(str(path), ["a/b.jpg"]),
    "recipe.yaml": lambda path: load_recipe(MasksRecipe, path),
    "depth.png": depth,
    "classes.json": lambda path: _read_classes(path),
    "cutout.png": lambda path: Cutouts(str(path.parent), (), {}).read(path.name, 9),
    "header.json": lambda path: whole_store(path, path.name),
    "index.arrow": lambda path: whole_store(path, path.name),
    "00000.masks": lambda path: whole_store(path, f"shards/{path.name}"),
}


@pytest.mark.parametrize("name", READ)
def test_a_pointer_is_named(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(
        ValueError, match=rf"{name}.*( a|are) pointers? of Git LFS.*run git lfs pull"
    ):
        READ[name](tmp_path / name)


def in_folder(root):
    for name in ("a.jpg", "b/c.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(POINTER)
    return root


def in_list(root):
    in_folder(root)
    (root / "list.txt").write_text("a.jpg\nb/c.png")
    return root / "list.txt"


def in_tar(root):
    with tarfile.open(root.with_suffix(".tar"), "w") as tar:
        for name in ("a.jpg", "b/c.png"):
            member = tarfile.TarInfo(name)
            member.size = len(POINTER)
            tar.addfile(member, io.BytesIO(POINTER))
    return root.with_suffix(".tar")


@pytest.mark.parametrize("place", [in_folder, in_list, in_tar])
def test_photos_that_were_never_fetched_are_said_at_once(place, tmp_path):
    source = place(tmp_path / "photos")
    said = (
        rf"the photos of {source} are pointers of Git LFS, the first is .*a\.jpg; run git lfs pull"
    )
    with pytest.raises(PhotosError, match=said):
        open_photos(source)


def test_a_collection_that_was_fetched_in_part_is_opened(tmp_path):
    in_folder(tmp_path)
    cv2.imwrite(str(tmp_path / "z.png"), np.zeros((9, 9, 3), np.uint8))
    assert len(open_photos(tmp_path)) == 3
