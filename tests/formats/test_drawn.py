"""YOLO, VOC XML, LabelMe, CVAT and VIA: one data set written in each gives the same objects."""

import base64
import io
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import drawn_layouts as layouts
import numpy as np
import pytest
from drawn_layouts import BOXES, MAKERS, OUTLINES, SIZE, SPLITS, boxes, save_photo, save_text
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from skimage.draw import polygon2mask

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.holdout import Holdout, draw_split
from detcon.formats.registry import open_label_maps, open_objects, open_segments
from detcon.formats.segments import SegmentOptions
from detcon.masks.quality.truth import open_truth
from detcon.masks.sources import FromAnnotations
from detcon.photos import PhotosError


@pytest.fixture(params=MAKERS)
def made(request, tmp_path):
    """The name of a layout, its format, and a data set in it."""
    format, make = MAKERS[request.param]
    make(tmp_path / "data")
    return request.param, format, tmp_path / "data"


def drawn_mask(points):
    """By pycocotools, straight from the outline."""
    return rle.decode(rle.merge(rle.frPyObjects([np.ravel(points).tolist()], *SIZE))).astype(bool)


def by_stem(source):
    return {PurePosixPath(key).stem: key for key in source.keys}


@pytest.mark.parametrize("split", SPLITS)
def test_objects_are_those_that_were_drawn(made, split):
    name, format, data = made
    source = open_objects(data, format, split)
    keys = by_stem(source)
    assert sorted(keys) == sorted(SPLITS[split]) and source.names == ("cat", "dog")
    for stem, key in keys.items():
        found = source.objects(key)
        assert found.size == SIZE and source.photo(key).shape[:2] == SIZE
        assert [source.names[label] for label in found.classes] == [one for one, _ in boxes(stem)]
        expected = np.reshape([box for _, box in boxes(stem)], (-1, 4))
        assert np.allclose(found.boxes, expected, atol=1e-4)
        assert not found.crowd.any()
        if name not in BOXES:
            masks = [drawn_mask(points) for _, points in OUTLINES[stem]]
            assert np.array_equal(found.masks(), np.reshape(masks, (-1, *SIZE)))


def test_they_serve_masks_and_truth(made):
    name, format, data = made
    photo, key = np.zeros((*SIZE, 3), np.uint8), by_stem(open_objects(data, format, "val"))["d"]
    if name in BOXES:
        with pytest.raises(AnnotationError, match="is a box without an outline, which gives no ma"):
            FromAnnotations(str(data), format=format, split="val")(photo, key)
        return
    expected = drawn_mask(OUTLINES["d"][0][1])
    masks = FromAnnotations(str(data), format=format, split="val")(photo, key)
    assert np.array_equal(masks.stack(), expected[None])
    truth = open_truth(data, format=format, split="val")
    assert np.array_equal(truth[key].marked[0].stack(), expected[None])
    classes = FromAnnotations(
        str(data), format=format, split="val", regions="classes", background=True
    )(photo, key)
    assert np.array_equal(classes.stack(), [expected, ~expected])


def test_they_serve_label_maps(made):
    name, format, data = made
    if name in BOXES:
        with pytest.raises(AnnotationError, match="is a box without an outline, which gives no ma"):
            open_label_maps(data, format, "train")
        return
    maps = open_label_maps(data, format, "train")
    assert maps.names == ("background", "cat", "dog")
    expected = np.zeros(SIZE, int)
    for label, points in OUTLINES["a"]:
        expected[drawn_mask(points)] = maps.names.index(label)
    assert np.array_equal(maps.labels(by_stem(maps)["a"]), expected)


@pytest.mark.parametrize("layout", ["yolo boxes", "voc_xml", "cvat boxes"])
def test_boxes_are_labelformats(layout, tmp_path):
    """A second reader on the same files."""
    from labelformat.formats.cvat import CVATObjectDetectionInput
    from labelformat.formats.pascalvoc import PascalVOCObjectDetectionInput
    from labelformat.formats.yolov8 import YOLOv8ObjectDetectionInput
    from labelformat.model.bounding_box import BoundingBoxFormat

    format, make = MAKERS[layout]
    make(tmp_path)
    theirs = {
        "yolo": lambda: YOLOv8ObjectDetectionInput(tmp_path / "data.yaml", "train"),
        "voc_xml": lambda: PascalVOCObjectDetectionInput(tmp_path / "Annotations", "cat,dog"),
        "cvat": lambda: CVATObjectDetectionInput(tmp_path / "annotations.xml"),
    }[format]()
    read = {Path(one.image.filename).stem: one.objects for one in theirs.get_labels()}
    ours = open_objects(tmp_path, format, "train")
    for stem, key in by_stem(ours).items():
        found = ours.objects(key)
        expected = [one.box.to_format(BoundingBoxFormat.XYXY) for one in read[stem]]
        expected = np.reshape(expected, (-1, 4))
        if format == "voc_xml":  # theirs leaves pixels counted from 1
            expected = expected - [1, 1, 0, 0]
        assert np.allclose(found.boxes, expected, atol=1e-3)
        assert [ours.names[n] for n in found.classes] == [one.category.name for one in read[stem]]


def plainly(format, root):
    """By photo the label and outline of each object: a second reader, of a few lines."""
    found = {}
    if format == "yolo":
        for path in (root / "labels").rglob("*.txt"):
            rows = [line.split() for line in path.read_text().splitlines()]
            points = [np.reshape(row[1:], (-1, 2)).astype(float) * SIZE[::-1] for row in rows]
            found[path.stem] = [
                (("cat", "dog")[int(row[0])], p) for row, p in zip(rows, points, strict=True)
            ]
    elif format == "labelme":
        for path in root.rglob("*.json"):
            shapes = json.loads(path.read_text())["shapes"]
            found[path.stem] = [(one["label"], np.array(one["points"])) for one in shapes]
    elif format == "via":
        for path in root.rglob("*.json"):
            for entry in json.loads(path.read_text()).values():
                found[Path(entry["filename"]).stem] = some = []
                for one in entry["regions"]:
                    shape = one["shape_attributes"]
                    points = np.stack([shape["all_points_x"], shape["all_points_y"]], 1)
                    some.append((one["region_attributes"]["class"], points))
    else:
        for image in ElementTree.parse(root / "annotations.xml").getroot().iter("image"):
            found[Path(image.get("name")).stem] = some = []
            for one in image.iter("polygon"):
                pairs = [pair.split(",") for pair in one.get("points").split(";")]
                some.append((one.get("label"), np.array(pairs, float)))
    return found


@pytest.mark.parametrize("layout", ["yolo", "labelme", "cvat", "via"])
def test_outlines_are_those_of_a_second_reader(layout, tmp_path):
    """Drawn by scikit-image, whose polygons go through the middles of pixels."""
    format, make = MAKERS[layout]
    make(tmp_path)
    source, read = open_objects(tmp_path, format, "train"), plainly(format, tmp_path)
    for stem, key in by_stem(source).items():
        found = source.objects(key)
        assert [source.names[number] for number in found.classes] == [one for one, _ in read[stem]]
        for number, (_, points) in enumerate(read[stem]):
            box = [*points.min(0), *points.max(0)]
            assert np.allclose(found.boxes[number], box, atol=1e-3)
            drawn = polygon2mask(SIZE, points[:, ::-1] - 0.5)
            both = (drawn & found.mask(number)).sum() / (drawn | found.mask(number)).sum()
            assert both > 0.85, (stem, number, both)


@pytest.mark.parametrize("layout", ["coco of Roboflow", "coco of CVAT", "coco boxes"])
def test_exported_coco_is_what_cocos_own_tools_read(layout, tmp_path, capsys):
    format, make = MAKERS[layout]
    make(tmp_path)
    source = open_objects(tmp_path, format, "train")
    (path,) = (one for one in tmp_path.rglob("*.json") if "train" in str(one.relative_to(tmp_path)))
    theirs = COCO(str(path))
    for image in theirs.loadImgs(theirs.getImgIds()):
        found = source.objects(by_stem(source)[Path(image["file_name"]).stem])
        entries = theirs.loadAnns(theirs.getAnnIds(image["id"]))
        names = [theirs.cats[one["category_id"]]["name"] for one in entries]
        assert [source.names[number] for number in found.classes] == names
        boxes = np.reshape([one["bbox"] for one in entries], (-1, 4))
        assert np.allclose(found.boxes[:, :2], boxes[:, :2])
        assert np.allclose(found.boxes[:, 2:] - found.boxes[:, :2], boxes[:, 2:])
        if layout not in BOXES:
            masks = [theirs.annToMask(one) for one in entries]
            assert np.array_equal(found.masks(), np.reshape(masks, (-1, *SIZE)))


_COCO = "train/_annotations.coco.json"
TWINS = {
    # layout: file, what is replaced (a pattern), by what, and the sentence that follows
    "yolo": [
        ("labels/train/a.txt", r"^1 ", "2 ", r"line 1 of .*a\.txt has the class '2', but classes "),
        ("labels/train/a.txt", r"^1 ", "-1 ", r"line 1 of .*a\.txt has the class '-1', but clas"),
        ("labels/train/a.txt", r"^1 ", "dog ", r"line 1 of .*a\.txt has the class 'dog', but cla"),
        ("labels/train/a.txt", r"0\.\d+\n", "\n", r"line 1 of .*a\.txt has 7 numbers behind the c"),
        ("labels/train/a.txt", r"0\.100000", "nan", r"line 1 .* which aren't all finite numbers; "),
        ("labels/train/a.txt", r"0\.100000", "x", r"line 1 of .* as x and y, which are no numbers"),
        ("labels/train/a.txt", r"0\.100000", "4", r"line 1 .*has the coordinate 4; they are share"),
        ("labels/train/a.txt", r"0\.100000", "-4", r"line 1 .*has the coordinate -4; they are sha"),
        ("data.yaml", r"1: dog", "2: dog", r"data\.yaml numbers its names 0, 2; number them"),
        ("data.yaml", r"1: dog", "1: cat", r"data\.yaml names the class 'cat' 2 times; rename"),
        ("data.yaml", r"names:[\s\S]*", "", r"data\.yaml has no 'names', a list of the classes; a"),
        ("data.yaml", r"[\s\S]*", "[1, 2", r"data\.yaml is no YAML that can be read"),
        ("data.yaml", r"images/val", "images/vall", r"has 'images/vall' as val, but there is no"),
        ("data.yaml", r"names", "nc: 3\nnames", r"has nc: 3, but 2 names; correct one"),
        ("data.yaml", r"names", "kpt_shape: [17, 3]\nnames", r"describes key points \(kpt_shape\)"),
    ],
    "coco of Roboflow": [
        (_COCO, r"}$", "", r"coco\.json is no JSON that can be read"),
        (_COCO, r'"images"', '"imgs"', r"json has no list of 'images'; it"),
        (_COCO, r'"a\.jpg"', "7", r"97 of .* has no 'file_name'; write th"),
        (_COCO, r'"a\.jpg"', '"x.jpg"', r"1 of 3 photos of .* are missi"),
        (_COCO, r'"a\.jpg"', '"b.jpg"', r"both annotate the photo .*b\.j"),
        (_COCO, r'"id": 98', '"id": 97', r"two images with the id 97; re"),
        (_COCO, r'"width": 40', '"width": 4', r"of a photo of 4 x 32 pixel"),
        (_COCO, r'"width": 40', '"width": -4', r"'height' and 'width'; give both, in p"),
        (_COCO, r'"image_id": 97', '"image_id": 7', r"annotation 0 .* has the image_id 7"),
        (_COCO, r'"category_id": 2', '"category_id": 9', r"has a category_id that"),
        (_COCO, r'"iscrowd": 0', '"iscrowd": "x"', r"has 'x' as 'iscrowd'"),
        (_COCO, r'"bbox": \[4\.0', '"bbox": [NaN', r"annotation 0 .* finite"),
        (_COCO, r'"bbox": \[4\.0, ', '"bbox": [', r"as 'bbox'; it takes left"),
        (_COCO, r"14\.5", "-999", r"annotation 0 .* reaches far out of it"),
        (_COCO, r"14\.5,", "", r"annotation 0 .* of an odd number of"),
        (_COCO, r'"dog"', '"cat"', r"has 2 categories with the name 'cat'"),
        (_COCO, r'"dog"', '"cow"', r"another file of .* has cat, (cow|dog); export all spl"),
    ],
    "voc_xml": [
        ("Annotations/a.xml", r"</annotation>", "", r"a\.xml is no XML that can be read: no elem"),
        ("Annotations/a.xml", r"<name>dog</name>", "", r"object 1 of .*a\.xml has no <name>; give"),
        ("Annotations/a.xml", r"<xmin>5</xmin>", "", r"object 1 of .*a\.xml has no <bndbox> with "),
        ("Annotations/a.xml", r">5<", ">nan<", r"object 1 of .*a\.xml has .* aren't all finite"),
        ("Annotations/a.xml", r">5<", ">five<", r"object 1 of .*a\.xml has .* which are no numbe"),
        ("Annotations/a.xml", r">5<", ">-500<", r"object 1 of .*a\.xml reaches far out of its pho"),
        ("Annotations/a.xml", r"<difficult>0", "<difficult>yes", r"has 'yes' as <difficult>; it t"),
        ("Annotations/a.xml", r"<width>40", "<width>41", r"is of a photo of 41 x 32 pixels, but "),
        ("Annotations/a.xml", r"<width>40", "<width>x", r"a\.xml .* numbers as <size>, .*; corre"),
        ("Annotations/a.xml", r"<width>40", "<width>inf", r"a\.xml has no whole numbers as <size>"),
        ("Annotations/a.xml", r"a\.jpg", "b.jpg", r"names the photo .*b\.jpg, but there is also "),
        ("ImageSets/Main/train.txt", r"b\n", "b\nb\n", r"train\.txt has b twice; remove one of"),
        ("ImageSets/Main/train.txt", r"b\n", "b\nd\n", r": 1 photos are in train and in val, t"),
        ("ImageSets/Main/train.txt", r"b\n", "x\n", r"1 of the 3 photos that .*train\.txt lists h"),
        ("Annotations/a.xml", r"^<ann", '<!DOCTYPE a [<!ENTITY x "y">]><ann', r"no XML that can"),
    ],
    "labelme": [
        ("train/a.json", r"[\s\S]{40}$", "", r"train/a\.json is no JSON that can be read"),
        ("train/a.json", r'"label": "dog"', '"label": 3', r"shape 1 of .*a\.json has no 'label'; "),
        ("train/a.json", r'"points": ', '"point": ', r"shape 1 of .*a\.json has no list of 'point"),
        ("train/a.json", r"14\.5", "NaN", r"shape 1 of .*a\.json has .* which aren't all finite"),
        ("train/a.json", r"14\.5", '"x"', r"shape 1 of .*a\.json has .* which are no numbers"),
        ("train/a.json", r"14\.5", "-1450", r"shape 1 of .*a\.json reaches far out of its photo"),
        ("train/a.json", r"14\.5,", "", r"shape 1 of .*a\.json has a point that isn't x and y"),
        ("train/a.json", r'"polygon"', '"cone"', r"shape 1 of .* is of the type 'cone', which isn"),
        ("train/a.json", r'"polygon"', '"rectangle"', r"is a rectangle of 4 points; it takes two"),
        ("train/a.json", r'"imageWidth": 40', '"imageWidth": 20', r"photo of 20 x 32 pixels, but"),
        ("train/a.json", r'"imageWidth": 40', '"imageWidth": 0', r"as 'imageHeight' and 'imageWid"),
        ("train/a.json", r'"shapes": ', '"shapes": 3, "s": ', r"'shapes' of .*a\.json is no list "),
        ("train/a.json", r'"a\.jpg"', '"b.jpg"', r"names the photo .*b\.jpg, but there is also"),
    ],
    "cvat": [
        ("annotations.xml", r"</annotations>", "", r"annotations\.xml is no XML that can be read"),
        ("annotations.xml", r' label="dog"', ' label="cow"', r"<labels> doesn't name; correct it"),
        ("annotations.xml", r' label="dog"', "", r"<polygon> 1 of the image train/a\.jpg in .* ha"),
        ("annotations.xml", r"4\.00,2\.00", "nan,2", r"<polygon> 1 of .* aren't all finite number"),
        ("annotations.xml", r"4\.00,2\.00", "4.00", r"<polygon> 1 of .* has a point that isn't x"),
        ("annotations.xml", r"4\.00,2\.00", "-400,2", r"<polygon> 1 of .* reaches far out of its "),
        ("annotations.xml", r'width="40"', 'width="30"', r"is of a photo of 30 x 32 pixels, but "),
        ("annotations.xml", r'width="40"', 'width=""', r"train/a\.jpg in .* no whole w.*; give "),
        ("annotations.xml", r'name="train/a\.jpg"', 'name=""', r"name \(id '0'\); write the"),
        ("annotations.xml", r"train/a\.jpg", "train/x.jpg", r"1 of 3 photos of .* are missing, th"),
        ("annotations.xml", r"train/a\.jpg", "train/b.jpg", r"both annotate the photo .*b\.jpg; "),
        ("annotations.xml", r"<meta>", "<track/><meta>", r"is of CVAT for video; export the task "),
        ("annotations.xml", r"<polygon([^/]*)</polygon", r"<blob\1</blob", r"is none of box, poly"),
    ],
    "via": [
        ("train/via_region_data.json", r"}$", "", r"via_region_data\.json is no JSON that can be "),
        ("train/via_region_data.json", r'"class": "dog"', '"class": 3', r"region 1 of a\.jpg in ."),
        ("train/via_region_data.json", r'"polygon"', '"blob"', r"has a shape 'blob', which isn't "),
        ("train/via_region_data.json", r"14\.5, ", "", r"no 'all_points_x' and 'all_points_y' of "),
        ("train/via_region_data.json", r"14\.5", "NaN", r"region 1 of a\.jpg .* all finite number"),
        ("train/via_region_data.json", r"14\.5", "null", r"region 1 of a\.jpg .* are no numbers"),
        ("train/via_region_data.json", r"14\.5", "-999", r"region 1 of a\.jpg .* reaches far out"),
        ("train/via_region_data.json", r'"a\.jpg", "s', '"x.jpg", "s', r"1 of 3 photos .* missing"),
        ("train/via_region_data.json", r'"a\.jpg", "s', '"b.jpg", "s', r"both annotate the photo"),
        ("train/via_region_data.json", r'"regions": \[', '"regions": [3, ', r"has 'regions' witho"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "file", "old", "new", "message"),
    [(layout, *twin) for layout, twins in TWINS.items() for twin in twins],
)
def test_what_is_wrong_is_said(layout, file, old, new, message, tmp_path):
    format, make = MAKERS[layout]
    make(tmp_path)
    text = (tmp_path / file).read_text()
    changed = re.sub(old, new, text, count=1)
    assert changed != text
    (tmp_path / file).write_text(changed)
    with pytest.raises(AnnotationError, match=message) as error:
        open_objects(tmp_path, format, "train")
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_photo_that_is_missing_damaged_or_turned_is_found_at_the_start(made):
    _, format, data = made
    key = by_stem(open_objects(data, format, "train"))["a"]
    path = data / key if (data / key).is_file() else next(data.rglob("a.jpg"))
    whole = path.read_bytes()
    path.write_bytes(b"no photo")
    with pytest.raises(AnnotationError, match=r"cannot read .*a\.jpg: the file holds no picture"):
        open_objects(data, format, "train")
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(
        shutil.copy(path, path.with_suffix(".bak")) and __import__("io").BytesIO(whole)
    ) as photo:
        photo.save(path, exif=exif)
    path.with_suffix(".bak").unlink()
    if format in ("yolo", "via"):  # they don't say how large the photo was
        assert open_objects(data, format, "train").objects(key).size == SIZE[::-1]
    else:
        with pytest.raises(AnnotationError, match="EXIF turns the photo, and the annotation was d"):
            open_objects(data, format, "train")
    path.unlink()
    if format != "yolo":  # whose photos are those that are there
        with pytest.raises(AnnotationError, match=r"1 of 3 photos of .* are missing, the first is"):
            open_objects(data, format, "train")


def test_photos_in_are_photos_used_and_photos_named(made):
    """Nothing is left out without a word: strange photos and annotations are counted and named."""
    _, format, data = made
    extra = next(data.rglob("b.jpg")).with_name("zz.jpg")
    save_photo(extra)
    source = open_objects(data, format, "train")
    used, said = len(source.keys), "; ".join(source.sentences)
    assert "zz.jpg" in said and re.search(r"\b1 of \d", said)
    assert used == (4 if format == "yolo" else 3)  # YOLO's have no objects then
    (next(data.rglob("b.jpg"))).with_name("zz.jpg").unlink()
    assert open_objects(data, format, "train").sentences == ()


def test_objects_left_out_are_counted_and_named(tmp_path):
    layouts.labelme(tmp_path)
    path = tmp_path / "train" / "b.json"
    values = json.loads(path.read_text())
    shape = values["shapes"][0]
    values["shapes"] += [
        {**shape, "shape_type": "point", "points": [[1, 1]]},
        {**shape, "points": [[50, 1], [60, 1], [60, 9]]},  # outside
        {**shape, "points": [[36, 1], [60, 1], [60, 9], [36, 9]]},  # half outside
        {**shape, "label": f"{shape['label']} "},  # as shape 1
    ]
    path.write_text(json.dumps(values))
    (tmp_path / "notes.json").write_text("[]")
    source = open_objects(tmp_path, "labelme", "train")
    said = "; ".join(source.sentences)
    assert "JSON files left out: 1 (they hold no 'shapes', as LabelMe's do), the first is" in said
    assert re.search(
        r"shapes left out: 1 \(points or lines\), the first is shape 2 of .*b\.js", said
    )
    assert re.search(r"objects of train left out: 1 \(outside the photo.* area\), .* shape 3", said)
    assert re.search(r"objects of train that repeat another .*: 1 \(they .*b\.json", said)
    found = source.objects("train/b.jpg")
    assert np.array_equal(found.boxes, [[1, 1, 9, 12], [36, 1, 40, 9], [1, 1, 9, 12]])
    assert found.classes.tolist() == [0, 0, 0]


def test_a_box_among_outlines_leaves_boxes_alone(tmp_path):
    layouts.labelme(tmp_path)
    path = tmp_path / "train" / "b.json"
    values = json.loads(path.read_text())
    values["shapes"].append({"label": "dog", "points": [[5, 9], [1, 3]], "shape_type": "rectangle"})
    path.write_text(json.dumps(values))
    source = open_objects(tmp_path, "labelme", "train")
    assert source.objects("train/a.jpg").segments == ()
    assert source.objects("train/b.jpg").boxes[1].tolist() == [1, 3, 5, 9]
    with pytest.raises(AnnotationError, match=r"shape 2 of .*b\.json is a box without an outline"):
        open_segments(tmp_path, "labelme", SegmentOptions())
    for other in (tmp_path / "train").glob("*.json"):  # a box and an outline on every photo
        other.write_text(json.dumps(values | {"imagePath": f"{other.stem}.jpg"}))
    [said] = open_objects(tmp_path, "labelme", "train").sentences
    assert "is a box without an outline, so that there are no masks" in said


def test_voc_counts_pixels_from_1_and_boxes_that_begin_at_0_from_0(tmp_path):
    layouts.voc_xml(tmp_path)
    path = tmp_path / "Annotations" / "b.xml"
    assert open_objects(tmp_path, "voc_xml", "train").objects(
        "JPEGImages/b.jpg"
    ).boxes.tolist() == [[1, 1, 9, 12]]
    path.write_text(path.read_text().replace("<xmin>2", "<xmin>0"))
    source = open_objects(tmp_path, "voc_xml", "train")
    assert source.objects("JPEGImages/b.jpg").boxes.tolist() == [[0, 2, 9, 12]]
    assert source.sentences == (
        f"pixels of {tmp_path} count from 0, not from 1, as those of object 1 of {path} do",
    )


@pytest.mark.parametrize("line", ["{}.jpg", "JPEGImages/{}.jpg", "{}  1", "Annotations/{}.xml"])
def test_lists_of_voc_may_have_whole_names(tmp_path, line):
    layouts.voc_xml(tmp_path)
    (tmp_path / "ImageSets/Main/train.txt").write_text(
        "".join(f"{line.format(s)}\n" for s in "abc")
    )
    assert len(open_objects(tmp_path, "voc_xml", "train").keys) == 3


def test_outlines_in_vocs_xml_are_counted(tmp_path):
    layouts.voc_xml(tmp_path)
    path = tmp_path / "Annotations" / "b.xml"
    path.write_text(path.read_text().replace("<bndbox>", "<polygon><x1>2</x1></polygon><bndbox>"))
    said = f"outlines left out: 1 (boxes alone are read), the first is object 1 of {path}"
    assert open_objects(tmp_path, "voc_xml", "train").sentences == (said,)


def test_lists_of_voc_that_fit_two_photos_say_what_to_rename(tmp_path):
    """The photo alone is not enough: its XML would belong to the other."""
    layouts.voc_xml(tmp_path)
    for file in ("Annotations/a.xml", "JPEGImages/a.jpg"):
        for part in ("one", "two"):
            (tmp_path / file).with_name(part).mkdir()
            shutil.copy(tmp_path / file, (tmp_path / file).with_name(part))
        (tmp_path / file).unlink()
    with pytest.raises(AnnotationError, match=r"a\.jpg; rename one of them, and its XML"):
        open_objects(tmp_path, "voc_xml", "train")
    for file in ("Annotations/two/a.xml", "JPEGImages/two/a.jpg"):
        path = tmp_path / file
        path.rename(path.with_stem("z"))
    assert len(open_objects(tmp_path, "voc_xml", "train").keys) == 3


def test_two_things_for_one_xml_beside_the_photo_and_one_among_annotations(tmp_path):
    layouts.voc_xml(tmp_path)
    shutil.copy(tmp_path / "Annotations/a.xml", tmp_path / "JPEGImages/a.xml")
    with pytest.raises(
        AnnotationError, match=r"s/a\.xml and .*/a\.xml are both of the photo JPEGI"
    ):
        open_objects(tmp_path, "voc_xml", "train")


def test_difficult_objects_of_voc_are_neither_learnt_nor_counted(tmp_path):
    layouts.voc_xml(tmp_path)
    path = tmp_path / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("<difficult>0", "<difficult>1", 1))
    source = open_objects(tmp_path, "voc_xml", "train")
    assert source.objects("JPEGImages/a.jpg").crowd.tolist() == [True, False]
    assert (
        "objects of train marked as difficult, or as a crowd: 1 (neither learnt nor counted)"
        in "; ".join(source.sentences)
    )


def test_empty_boxes_of_voc_are_left_out(tmp_path):
    layouts.voc_xml(tmp_path)
    path = tmp_path / "Annotations" / "b.xml"
    text = path.read_text().replace("<xmax>9", "<xmax>2").replace("<ymax>12", "<ymax>2")
    path.write_text(text)
    source = open_objects(tmp_path, "voc_xml", "train")
    assert len(source.objects("JPEGImages/b.jpg")) == 0
    assert "objects of train left out: 1 (outside the photo" in "; ".join(source.sentences)


AS_WRITTEN = """<annotation verified="yes">
\t<folder>JPEGImages</folder>
\t<filename>{stem}.jpg</filename>
\t<path>C:\\data\\{stem}.jpg</path>
\t<size><width>0</width><height>0</height><depth>3</depth></size>
\t<segmented>0</segmented>{objects}
</annotation>
"""
OBJECT = """
\t<object>
\t\t<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
\t\t<name> {label} </name>
\t\t<pose>Unspecified</pose><truncated>1</truncated><difficult>0</difficult>
\t\t<bndbox>
\t\t\t<ymin>{1}</ymin><xmin>{0}</xmin>
\t\t\t<xmax>{2}</xmax><ymax>{3}</ymax>
\t\t</bndbox>
\t</object>"""
ANYWHERE = st.tuples(*[st.integers(1, side) for side in (*SIZE[::-1], *SIZE[::-1])])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANYWHERE.map(lambda b: (*np.minimum(b[:2], b[2:]), *np.maximum(b[:2], b[2:])))))
def test_voc_as_labelling_tools_write_it_is_what_elementtree_reads(tmp_path, corners):
    """Empty boxes, boxes of one pixel's width and at the edge, parts, tabs, no size: as found."""
    corners = [*corners, (1, 1, *SIZE[::-1]), (4, 4, 4, 4), (4, 2, 4, 9)]
    folder = tmp_path / "voc"
    save_photo(folder / "JPEGImages" / "a.jpg")
    objects = "".join(OBJECT.format(*box, label="cat") for box in corners)
    save_text(folder / "ImageSets" / "Main" / "train.txt", "a\n")
    save_text(folder / "Annotations" / "a.xml", AS_WRITTEN.format(stem="a", objects=objects))
    expected = []
    for one in ElementTree.parse(folder / "Annotations" / "a.xml").getroot().findall("object"):
        edges = {edge.tag: int(edge.text) for edge in one.find("bndbox")}
        left, top, right, bottom = (edges[name] for name in ("xmin", "ymin", "xmax", "ymax"))
        if (left, top) != (right, bottom):  # a click
            expected.append([left - 1, top - 1, right, bottom])
    source = open_objects(folder, "voc_xml", "train")
    assert source.objects("JPEGImages/a.jpg").boxes.tolist() == expected
    clicks = len(corners) - len(expected)
    assert (
        f"objects of train left out: {clicks} (outside the photo, or of no area)"
        in source.sentences[0]
    )


def test_an_annotation_of_one_camera_serves_no_photo_of_another(tmp_path):
    layouts.voc_xml(tmp_path)
    shutil.rmtree(tmp_path / "ImageSets")
    for part in ("Annotations", "JPEGImages"):
        for camera in ("cam1", "cam2"):
            shutil.copytree(tmp_path / part, tmp_path / "new" / part / camera)
    holdout = Holdout(0.4)
    keys = open_objects(tmp_path / "new", "voc_xml", "train", holdout=holdout).keys
    assert any("cam1" in key for key in keys) and any("cam2" in key for key in keys)
    (tmp_path / "new" / "JPEGImages" / "cam1" / "a.jpg").unlink()
    with pytest.raises(AnnotationError, match=r"1 of \d+ photos .* are missing, .*cam1/a\.jpg"):
        open_segments(tmp_path / "new", "voc_xml", SegmentOptions())


def test_two_photos_of_one_label_file_are_refused(tmp_path):
    layouts.yolo(tmp_path)
    save_photo(tmp_path / "images" / "train" / "a.png")
    with pytest.raises(
        AnnotationError, match=r"a\.jpg and .*a\.png have the same label file, .*a\.t"
    ):
        open_objects(tmp_path, "yolo", "train")


def test_lines_that_repeat_and_labels_without_photo_are_named(tmp_path):
    layouts.yolo(tmp_path)
    path = tmp_path / "labels" / "train" / "b.txt"
    path.write_text(path.read_text() * 2)
    save_text(tmp_path / "labels" / "train" / "zz.txt", "")
    source = open_objects(tmp_path, "yolo", "train")
    assert re.search(
        r"lines left out: 1 \(they repeat another .*first is line 2 of .*b\.txt",
        "; ".join(source.sentences),
    )
    assert re.search(
        r"label files left out: 1 \(no photo\), the first is .*zz\.txt", "; ".join(source.sentences)
    )
    assert len(source.objects("images/train/b.jpg")) == 1


def test_yolo_takes_lists_of_photos_and_a_list_of_classes(tmp_path):
    layouts.yolo(tmp_path)
    expected = open_objects(tmp_path, "yolo", "train")
    save_text(tmp_path / "train.txt", "".join(f"./images/train/{s}.jpg\n" for s in "abc"))
    text = (tmp_path / "data.yaml").read_text().replace("images/train", "train.txt")
    (tmp_path / "data.yaml").write_text(text)
    assert list(open_objects(tmp_path, "yolo", "train").keys) == list(expected.keys)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "train.txt").unlink()
    with pytest.raises(
        AnnotationError, match=r"no data\.yaml in .*, nor a classes\.txt with a cla"
    ):
        open_objects(tmp_path, "yolo", "train")
    save_text(tmp_path / "classes.txt", "cat\ndog\n")
    assert list(open_objects(tmp_path, "yolo", "train").keys) == list(expected.keys)


@pytest.mark.parametrize(
    "names, read",
    [
        ("{0: no, 1: yes}", ("no", "yes")),
        ("[on, 012]", ("on", "012")),
        ("{'0': cat, '1': dog}", ("cat", "dog")),
    ],
)
def test_values_read_as_something_else_names_of_yolo_are_text(tmp_path, names, read):
    layouts.yolo(tmp_path)
    yaml = "train: images\\train\nval: images\\val\n"
    (tmp_path / "data.yaml").write_text(f"{yaml}names: {names}\n")
    assert open_objects(tmp_path, "yolo", "train").names == read


def test_numbers_of_yolo_are_called_by_their_names(tmp_path):
    layouts.yolo(tmp_path)
    save_text(tmp_path / "labels" / "train" / "a.txt", "0 0,5 0,5 0,2 0,2\n")
    with pytest.raises(AnnotationError, match="as x, y, width and height, which are no numbers"):
        open_objects(tmp_path, "yolo", "train")


def test_labelmes_other_shapes(tmp_path):
    layouts.labelme(tmp_path)
    mask = np.zeros((5, 7), np.uint8)
    mask[1:4, 2:7] = 1
    file = io.BytesIO()
    Image.fromarray(mask * 255).save(file, "PNG")
    shapes = [
        {"label": "cat", "shape_type": "circle", "points": [[20, 16], [26, 16]]},
        {"label": "dog", "shape_type": "mask", "points": [[3, 4], [9, 8]],
         "mask": base64.b64encode(file.getvalue()).decode()},
        {"label": "dog", "group_id": 5, "points": [[0, 20], [4, 20], [4, 24], [0, 24]]},
        {"label": "dog", "group_id": 5, "points": [[8, 20], [12, 20], [12, 24], [8, 24]]},
        {"label": "dog", "shape_type": "oriented_rectangle",
         "points": [[30, 2], [35, 7], [30, 12], [25, 7]]},
    ]  # fmt: skip
    path = tmp_path / "train" / "b.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shapes": shapes}))
    found = open_objects(tmp_path, "labelme", "train").objects("train/b.jpg")
    circle, picture, parts, turned = found.masks()
    assert np.array_equal(turned, drawn_mask(shapes[-1]["points"]))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    assert np.mean(circle != (np.hypot(x - 20, y - 16) < 6)) < 0.02
    assert np.array_equal(np.argwhere(picture), np.argwhere(mask) + np.array([4, 3]))
    expected = np.zeros(SIZE, bool)
    expected[20:24, 0:4] = expected[20:24, 8:12] = True
    assert np.array_equal(parts, expected)
    assert found.boxes[2].tolist() == [0, 20, 12, 24]


def test_cvats_other_shapes(tmp_path):
    layouts.cvat(tmp_path)
    path = tmp_path / "annotations.xml"
    shapes = """
      <ellipse label="cat" cx="20" cy="16" rx="10" ry="4" rotation="90"/>
      <mask label="dog" rle="8, 5, 2, 5, 2, 5, 8" left="3" top="4" width="7" height="5"/>
      <box label="dog" xtl="10" ytl="10" xbr="20" ybr="20" rotation="45"/>
      <points label="dog" points="3,3"/><tag label="dog"/></image>"""
    text = path.read_text()
    at = text.index("</image>", text.index("b.jpg"))
    path.write_text(text[:at] + shapes + text[at + 8 :])
    source = open_objects(tmp_path, "cvat", "train")
    assert "shapes left out: 2 (points, lines, cuboids or tags)" in "; ".join(source.sentences)
    _, ellipse, mask, turned = source.objects("images/train/b.jpg").masks()
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    assert np.mean(ellipse != (((x - 20) / 4) ** 2 + ((y - 16) / 10) ** 2 < 1)) < 0.02
    assert np.argwhere(mask).tolist() == [[r, c] for r in (5, 6, 7) for c in range(4, 9)]
    assert np.mean(turned != (np.abs(x - 15) + np.abs(y - 15) < 50**0.5)) < 0.02


def test_vias_other_shapes_and_forms(tmp_path):
    layouts.via(tmp_path)
    path = tmp_path / "train" / "via_region_data.json"
    values = json.loads(path.read_text())
    entry = values["b.jpg1"]
    entry["regions"] = {  # VIA 1 numbers them
        "0": {"shape_attributes": {"name": "circle", "cx": 20, "cy": 16, "r": 6},
              "region_attributes": {"class": {"cat": True, "dog": False}}},
        "1": {"shape_attributes": {"name": "ellipse", "cx": 20, "cy": 16, "rx": 10, "ry": 4,
                                   "theta": np.pi / 2}, "region_attributes": {"class": "dog"}},
        "2": {"shape_attributes": {"name": "point", "cx": 2, "cy": 1}, "region_attributes": {}},
    }  # fmt: skip
    path.write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": values}))
    source = open_objects(tmp_path, "via", "train")
    circle, ellipse = source.objects("train/b.jpg").masks()
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    assert np.mean(circle != (np.hypot(x - 20, y - 16) < 6)) < 0.02
    assert np.mean(ellipse != (((x - 20) / 4) ** 2 + ((y - 16) / 10) ** 2 < 1)) < 0.02
    assert "regions left out: 1 (points or lines), the first is region 3 of b.jpg" in "; ".join(
        source.sentences
    )


def test_the_class_of_via_is_never_guessed(tmp_path):
    layouts.via(tmp_path)
    files = list(tmp_path.rglob("*.json"))
    for path in files:
        path.write_text(path.read_text().replace('"class": ', '"colour": "red", "kind": '))
    with pytest.raises(
        AnnotationError, match="have the attributes colour, kind; name the one that"
    ):
        open_objects(tmp_path, "via", "train")
    for path in files:
        path.write_text(re.sub(r'"colour": "red", "kind": "\w+"', "", path.read_text()))
    assert open_objects(tmp_path, "via", "train").names == ("object",)
    for path in files:  # ticked or not, in words
        path.write_text(
            path.read_text().replace(
                '"region_attributes": {',
                '"region_attributes": {"class": {"a": "false", "b": "true"}',
            )
        )
    assert open_objects(tmp_path, "via", "train").names == ("b",)


def no_split(root):
    """LabelMe's files in one folder."""
    layouts.labelme(root)
    for path in [*root.rglob("*.jpg"), *root.rglob("*.json")]:
        path.rename(root / path.name)
    for split in SPLITS:
        (root / split).rmdir()


def test_val_is_drawn_by_a_hash_of_names(tmp_path):
    no_split(tmp_path)
    for number in range(40):
        shutil.copy(tmp_path / "a.jpg", tmp_path / f"p{number}_0.jpg")
        values = json.loads((tmp_path / "a.json").read_text()) | {"imagePath": f"p{number}_0.jpg"}
        save_text(tmp_path / f"p{number}_0.json", json.dumps(values))
    with pytest.raises(AnnotationError, match="has no train: all its photos are together; give va"):
        open_objects(tmp_path, "labelme", "train")
    with pytest.raises(AnnotationError, match="has no val: all its photos are together; give val="):
        open_objects(tmp_path, "labelme", "val")
    drawn = {
        split: set(open_objects(tmp_path, "labelme", split, holdout=Holdout(0.2)).keys)
        for split in SPLITS
    }
    assert not drawn["train"] & drawn["val"] and len(drawn["train"] | drawn["val"]) == 45
    assert 3 <= len(drawn["val"]) <= 16
    (tmp_path / "a.json").unlink()
    (tmp_path / "a.jpg").unlink()
    again = set(open_objects(tmp_path, "labelme", "val", holdout=Holdout(0.2)).keys)
    assert again == drawn["val"] - {"a.jpg"}  # the others stay where they were
    more = set(open_objects(tmp_path, "labelme", "val", holdout=Holdout(0.5)).keys)
    assert again < more
    with pytest.raises(
        AnnotationError, match="val=1e-09 of the 44 photos of .* leaves none for val"
    ):
        open_objects(tmp_path, "labelme", "val", holdout=Holdout(1e-9))
    # masks and truth take all of them
    assert open_segments(tmp_path, "labelme", SegmentOptions()).place("p3_0.jpg")


def test_groups_stay_together():
    keys = [f"{patient}_{number}.png" for patient in range(30) for number in range(5)]
    drawn = dict(zip(keys, Holdout(0.3, "_").is_val(keys), strict=True))
    assert 5 < sum(drawn.values()) < 100
    for patient in range(30):
        assert len({drawn[f"{patient}_{number}.png"] for number in range(5)}) == 1
    folders = [f"{folder}/{number}.png" for folder in "abcdefgh" for number in range(4)]
    drawn = dict(zip(folders, Holdout(0.5, "/").is_val(folders), strict=True))
    assert all(len({drawn[f"{f}/{n}.png"] for n in range(4)}) == 1 for f in "abcdefgh")
    assert len(set(drawn.values())) == 2


def test_groups_of_a_csv(tmp_path):
    keys = [f"{number:02d}.png" for number in range(60)]
    table = tmp_path / "groups.csv"
    table.write_text("photo,group\n" + "".join(f"{key},{n % 6}\n" for n, key in enumerate(keys)))
    drawn = Holdout(0.5, str(table)).is_val(keys)
    assert all(len(set(drawn[group::6])) == 1 for group in range(6)) and len(set(drawn)) == 2
    with pytest.raises(
        AnnotationError, match=r"groups\.csv has no group for 1 of 2 photos, the fi"
    ):
        Holdout(0.5, str(table)).is_val(["00.png", "x.png"])
    table.write_text("photo\n")
    with pytest.raises(AnnotationError, match=r"line 1 of .*groups\.csv isn't 'photo,group'; give"):
        Holdout(0.5, str(table)).is_val(keys)
    table.unlink()
    with pytest.raises(
        AnnotationError, match=r"groups\.csv: No such file or directory; give a CSV"
    ):
        Holdout(0.5, str(table)).is_val(keys)


@dataclass(frozen=True)
class Entry:
    key: str


CALL = {"test": "call test train, and give val=0.2", "val": "call val train, and give val=0.2",
        "test,val": "call test train, to learn from it"}  # fmt: skip


@pytest.mark.parametrize("there", CALL)
@pytest.mark.parametrize("holdout", [None, Holdout(0.5)])
def test_without_train_nothing_is_drawn(there, holdout):
    names = there.split(",")
    entries = {name: [Entry(f"{name}{number}.png") for number in range(9)] for name in names}
    with pytest.raises(AnnotationError, match=f"has no train: only .*; {CALL[there]}"):
        draw_split(entries, "train", holdout, "data")
    # as it says
    called = {"train" if f"call {name} " in CALL[there] else name: entries[name] for name in names}
    draw = None if "val" in called else Holdout(0.2)
    assert draw_split(called, "train", draw, "data") and draw_split(called, "val", draw, "data")


def test_a_val_that_is_there_is_not_drawn(made):
    _, format, data = made
    with pytest.raises(AnnotationError, match="has a val of its own, of 2 photos; leave val= out"):
        open_objects(data, format, "train", holdout=Holdout(0.2))


def test_photos_that_are_both_train_and_val_are_no_val(tmp_path):
    layouts.yolo(tmp_path)
    text = (tmp_path / "data.yaml").read_text().replace("images/val", "images/train")
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(AnnotationError, match="has no val: all its photos are together; give val="):
        open_objects(tmp_path, "yolo", "val")
    assert len(open_objects(tmp_path, "yolo", "train", holdout=Holdout(0.5)).keys) < 3


@pytest.fixture(scope="module", params=MAKERS)
def damageable(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("any") / "data"
    format, make = MAKERS[request.param]
    make(root)
    files = sorted(p for p in root.rglob("*") if p.suffix in (".xml", ".json", ".txt", ".yaml"))
    return root, format, [(path, path.read_bytes()) for path in files]


@given(
    st.integers(0, 99),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
    | st.integers(0, 10**6)
    | st.binary(max_size=40),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_is_read_or_refused(damageable, which, change):
    """Bytes that are others, an early end, or something else: the objects, or a sentence."""
    root, format, files = damageable
    path, whole = files[which % len(files)]
    content = bytearray(whole)
    if isinstance(change, bytes):
        content = bytearray(change)
    elif isinstance(change, int):
        del content[change % (len(content) + 1) :]
    else:
        for place, value in change if content else ():
            content[place % len(content)] = value
    path.write_bytes(bytes(content))
    said = str(root)
    try:
        for split in SPLITS:
            source = open_objects(root, format, split)
            for key in source.keys:
                found = source.objects(key)
                assert (found.boxes[:, 2:] > found.boxes[:, :2]).all() and found.size == SIZE
                assert ((found.classes >= 0) & (found.classes < len(source.names))).all()
    except (AnnotationError, PhotosError) as error:
        said = str(error)
    finally:
        path.write_bytes(whole)
    assert "\n" not in said and str(root) in said


def test_coco_with_a_box_of_no_area_and_a_good_outline_is_kept(tmp_path):
    layouts.coco(tmp_path)
    path = tmp_path / "train" / "_annotations.coco.json"
    values = json.loads(path.read_text())
    values["annotations"][0]["bbox"] = [4, 2, 0, 0]
    mask = rle.encode(np.asfortranarray(drawn_mask(OUTLINES["b"][0][1]), np.uint8))
    runs = {"size": list(SIZE), "counts": mask["counts"].decode()}
    values["annotations"][2] |= {"segmentation": runs, "iscrowd": "0"}
    values["annotations"][1]["segmentation"].append([])
    for image in values["images"]:
        image["file_name"] = f".\\{image['file_name']}"
    path.write_text(json.dumps(values))
    source = open_objects(tmp_path, "coco", "train")
    assert source.objects("train/a.jpg").boxes[0].tolist() == [4, 2, 14.5, 20]
    found = source.objects("train/b.jpg")
    assert np.array_equal(found.masks()[0], drawn_mask(OUTLINES["b"][0][1]))
    assert found.boxes.tolist() == [[1, 1, 9, 12]] and source.sentences == ()


def test_coco_without_boxes_has_those_of_its_outlines_and_masks(tmp_path):
    layouts.coco(tmp_path)
    path = tmp_path / "train" / "_annotations.coco.json"
    values = json.loads(path.read_text())
    for one in values["annotations"]:
        del one["bbox"]
    mask = rle.encode(drawn_mask(OUTLINES["b"][0][1]).astype(np.uint8, order="F"))
    runs = {"size": list(SIZE), "counts": mask["counts"].decode()}
    values["annotations"][2]["segmentation"] = runs
    path.write_text(json.dumps(values))
    source = open_objects(tmp_path, "coco", "train")
    assert source.objects("train/a.jpg").boxes[0].tolist() == [4, 2, 14.5, 20]
    assert source.objects("train/b.jpg").boxes.tolist() == [[1, 1, 9, 12]]
    values["annotations"][2]["segmentation"] = []
    path.write_text(json.dumps(values))
    with pytest.raises(AnnotationError, match="annotation 2 of .* has None as 'bbox'; it takes"):
        open_objects(tmp_path, "coco", "train")


@pytest.mark.parametrize("runs", ["0", "", "whole, but its last run", "whole, and a run more"])
def test_run_lengths_of_coco_that_dont_fill_their_photo_are_refused(tmp_path, runs):
    """pycocotools leaves what lies behind the last run as it finds it in memory."""
    layouts.coco(tmp_path)
    path = tmp_path / "train" / "_annotations.coco.json"
    values = json.loads(path.read_text())
    mask = drawn_mask(OUTLINES["b"][0][1]).astype(np.uint8, order="F")
    whole = rle.encode(mask)["counts"].decode()
    runs = {"whole, but its last run": whole[:-2], "whole, and a run more": f"{whole}5"}.get(
        runs, runs
    )
    values["annotations"][2]["segmentation"] = {"size": list(SIZE), "counts": runs}
    path.write_text(json.dumps(values))
    with pytest.raises(AnnotationError, match=r"annotation 2 .*has run lengths that don't fill th"):
        open_objects(tmp_path, "coco", "train")


def test_one_json_file_of_coco_is_a_data_set(tmp_path):
    layouts.coco_of_cvat(tmp_path)
    file = tmp_path / "annotations" / "instances_train.json"
    keys = open_objects(tmp_path, "coco", "train").keys
    for format in ("coco", "auto"):
        assert list(open_objects(file, format, "train").keys) == list(keys)
    assert len(open_label_maps(file, "coco", "train").keys) == 3
    with pytest.raises(AnnotationError, match=r"json has no val: only train; give val=0\.2"):
        open_objects(file, "coco", "val")
    assert len(open_objects(file, "coco", "val", holdout=Holdout(0.5)).keys) in (1, 2)
    with pytest.raises(AnnotationError, match=r"there are no annotations .*none/annotations/inst"):
        open_objects(tmp_path / "none", "coco", "train", holdout=Holdout(0.5))


def test_other_json_files_beside_those_of_coco_are_named(tmp_path):
    layouts.coco(tmp_path)
    path = tmp_path / "val" / "_annotations.coco.json"
    path.rename(path.with_name("labels.json"))
    said = "; ".join(open_objects(tmp_path, "coco", "train").sentences)
    assert re.search(
        r"JSON files left out: 1 \(beside _annotations\.coco\.json\), the first is .*l", said
    )
    assert "photos left out: 2 of 5 (no image in the JSON)" in said


def test_subsets_of_cvat_that_some_images_lack_are_not_passed_over(tmp_path):
    layouts.cvat(tmp_path)
    path = tmp_path / "annotations.xml"
    whole = path.read_text()
    for image in ("train/a.jpg", "val/d.jpg"):  # its folder says the same
        path.write_text(re.sub(rf'({image}" )subset="\w+" ', r"\1", whole))
        assert len(open_objects(tmp_path, "cvat", "train").keys) == 3
    for photo in (tmp_path / "images").glob("*/*.jpg"):
        photo.rename(tmp_path / "images" / photo.name)
    path.write_text(re.sub(r'"(train|val)/(\w.jpg)', r'"\2', whole))
    assert len(open_objects(tmp_path, "cvat", "train").keys) == 3
    path.write_text(path.read_text().replace('"b.jpg" subset="train"', '"b.jpg" subset="new"'))
    with pytest.raises(
        AnnotationError, match=r"for train and val, but 1 of 5 without, the first is the image b"
    ):
        open_objects(tmp_path, "cvat", "train", holdout=Holdout(0.5))


def test_names_of_coco_that_differ_by_a_space_are_one_name_twice(tmp_path):
    layouts.coco(tmp_path)
    path = next(tmp_path.rglob("*.json"))
    values = json.loads(path.read_text())
    first = values["categories"][0]
    values["categories"].append({"id": 99, "name": f" {first['name']}"})
    path.write_text(json.dumps(values))
    with pytest.raises(AnnotationError, match=f"has 2 categories with the name '{first['name']}'"):
        open_objects(tmp_path, "coco", "train")
    values["categories"].pop()
    values["annotations"][0]["iscrowd"] = "false"
    path.write_text(json.dumps(values))
    with pytest.raises(AnnotationError, match=r"^the annotation \d+ of \S+ has 'false' as 'iscrow"):
        open_objects(tmp_path, "coco", "train")


def test_coco_without_a_split_draws_one(tmp_path):
    layouts.coco(tmp_path)
    shutil.rmtree(tmp_path / "val")
    for path in (tmp_path / "train").iterdir():
        path.rename(tmp_path / path.name)
    keys = [open_objects(tmp_path, "coco", s, holdout=Holdout(0.5)).keys for s in SPLITS]
    assert sorted([*keys[0], *keys[1]]) == ["a.jpg", "b.jpg", "c.jpg"]
