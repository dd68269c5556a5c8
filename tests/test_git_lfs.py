"""A pointer that Git LFS left in place of a file is called that, with what to do."""

import pytest

from detcon.downstream.model_file import load_model
from detcon.formats.bsds import read_segmentations
from detcon.formats.coco.json_file import read_coco_json
from detcon.formats.hugging_face.rows import open_rows
from detcon.formats.reading.beside import read_json, read_xml
from detcon.formats.reading.ids import read_map, read_rgb
from detcon.formats.registry import open_depth
from detcon.formats.tfrecord.framing import scan_records
from detcon.masks.sources.mcg.contour_maps import read_contours
from detcon.models.backbone_file import load_backbone
from detcon.photos import decode
from detcon.scenes.cutouts import Cutouts

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:79\nsize 12345\n"


def nyu(path):
    path.with_name("nyu_depth_v2_labeled.mat").write_bytes(POINTER)
    return open_depth(path.parent, "nyu", "train")


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
}


@pytest.mark.parametrize("name", READ)
def test_a_pointer_is_named(name, tmp_path):
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(ValueError, match=rf"{name}.* pointer of Git LFS.*run git lfs pull"):
        READ[name](tmp_path / name)
