"""One small data set, written by hand in each format of drawn objects."""

import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image

SIZE = (32, 40)  # height and width
NAMES = ("cat", "dog")
OUTLINES = {
    "a": [("dog", [[4, 2], [14.5, 3], [12, 20], [5, 18]]), ("cat", [[20, 8], [36, 8], [28, 30]])],
    "b": [("cat", [[1, 1], [9, 1], [9, 12], [1, 12]])],
    "c": [],
    "d": [("dog", [[10, 5], [30, 6], [31, 25], [12, 28]])],
    "e": [("dog", [[2, 20], [12, 20], [12, 31], [2, 31]]), ("cat", [[20, 2], [38, 2], [38, 9.5]])],
}
"""By photo: label and outline of each object."""
SPLITS = {"train": ("a", "b", "c"), "val": ("d", "e")}


def boxes(stem):
    """Left, top, right, bottom of each object."""
    return [
        (label, [*np.min(points, axis=0).tolist(), *np.max(points, axis=0).tolist()])
        for label, points in OUTLINES[stem]
    ]


def save_photo(path: Path, seed: int = 0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path, quality=90)


def save_text(path: Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def every_photo(root: Path, place: str):
    """Saves all photos; `place` has {split} and {stem}. Yields split and stem."""
    for split, stems in SPLITS.items():
        for stem in stems:
            save_photo(root / place.format(split=split, stem=stem), seed=ord(stem))
            yield split, stem


def yolo(root: Path, layout="images/{split}", outlines=True):
    """`layout` is the folder of photos."""
    for split, stem in every_photo(root, f"{layout}/{{stem}}.jpg"):
        lines = []
        for (label, points), (_, box) in zip(OUTLINES[stem], boxes(stem), strict=True):
            shares = np.array(points) / [SIZE[1], SIZE[0]]
            if not outlines:
                corners = np.reshape(box, (2, 2)) / [SIZE[1], SIZE[0]]
                shares = np.stack([corners.mean(0), corners[1] - corners[0]])
            words = " ".join(f"{share:.6f}" for share in shares.ravel())
            lines.append(f"{NAMES.index(label)} {words}\n")
        folder = layout.format(split=split).replace("images", "labels")
        save_text(root / folder / f"{stem}.txt", "".join(lines))
    names = "names:\n  0: cat\n  1: dog\n"
    paths = "".join(f"{s}: {layout.format(split=s)}\n" for s in ("train", "val"))
    save_text(root / "data.yaml", f"path: .\n{paths}{names}")


def yolo_boxes(root: Path):
    yolo(root, outlines=False)


def roboflow(root: Path):
    yolo(root, layout="{split}/images")
    paths = "train: ../train/images\nval: ../val/images\nnc: 2\nnames: ['cat', 'dog']\n"
    save_text(root / "data.yaml", paths)


def voc_xml(root: Path):
    for _, stem in every_photo(root, "JPEGImages/{stem}.jpg"):
        objects = "".join(
            f"<object><name>{label}</name><difficult>0</difficult><bndbox>"
            f"<xmin>{left + 1:g}</xmin><ymin>{top + 1:g}</ymin>"
            f"<xmax>{right:g}</xmax><ymax>{bottom:g}</ymax></bndbox></object>\n"
            for label, (left, top, right, bottom) in boxes(stem)
        )
        save_text(
            root / "Annotations" / f"{stem}.xml",
            f"<annotation><filename>{stem}.jpg</filename>\n<size><width>{SIZE[1]}</width>"
            f"<height>{SIZE[0]}</height><depth>3</depth></size>\n{objects}</annotation>\n",
        )
    for split, stems in SPLITS.items():
        save_text(root / "ImageSets" / "Main" / f"{split}.txt", "\n".join(stems) + "\n")


def labelme(root: Path):
    for split, stem in every_photo(root, "{split}/{stem}.jpg"):
        shapes = [
            {"label": label, "points": points, "group_id": None, "shape_type": "polygon",
             "flags": {}}
            for label, points in OUTLINES[stem]
        ]  # fmt: skip
        values = {
            "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"{stem}.jpg",
            "imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1],
        }  # fmt: skip
        save_text(root / split / f"{stem}.json", json.dumps(values, indent=2))


def cvat(root: Path, outlines=True):
    entries = []
    for number, (split, stem) in enumerate(every_photo(root, "images/{split}/{stem}.jpg")):
        shapes = ""
        for (label, points), (_, box) in zip(OUTLINES[stem], boxes(stem), strict=True):
            joined = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
            edges = " ".join(
                f'{n}="{v:.2f}"' for n, v in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True)
            )
            shape = f'<polygon points="{joined}"' if outlines else f"<box {edges}"
            shapes += (
                f'{shape} label="{label}" occluded="0" z_order="0"></{shape[1:8].split()[0]}>\n'
            )
        entries.append(
            f'<image id="{number}" name={quoteattr(f"{split}/{stem}.jpg")} subset="{split}" '
            f'width="{SIZE[1]}" height="{SIZE[0]}">\n{shapes}</image>\n'
        )
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES)
    save_text(
        root / "annotations.xml",
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>\n'
        f"<meta><task><labels>{labels}</labels></task></meta>\n{''.join(entries)}</annotations>\n",
    )


def cvat_boxes(root: Path):
    cvat(root, outlines=False)


def via(root: Path):
    values: dict[str, dict] = {split: {} for split in SPLITS}
    for split, stem in every_photo(root, "{split}/{stem}.jpg"):
        regions = [
            {"shape_attributes": {"name": "polygon", "all_points_x": [x for x, _ in points],
                                  "all_points_y": [y for _, y in points]},
             "region_attributes": {"class": label}}
            for label, points in OUTLINES[stem]
        ]  # fmt: skip
        entry = {"filename": f"{stem}.jpg", "size": 1, "regions": regions, "file_attributes": {}}
        values[split][f"{stem}.jpg1"] = entry
    for split, entries in values.items():
        save_text(root / split / "via_region_data.json", json.dumps(entries))


def coco(root: Path, photos="{split}", file="{split}/_annotations.coco.json", outlines=True):
    """As Roboflow writes it."""
    values: dict[str, dict] = {
        split: {"images": [], "annotations": [],
                "categories": [{"id": n, "name": name} for n, name in enumerate(NAMES, start=1)]}
        for split in SPLITS
    }  # fmt: skip
    for split, stem in every_photo(root, photos + "/{stem}.jpg"):
        content, image = values[split], ord(stem)
        content["images"].append(
            {"id": image, "file_name": f"{stem}.jpg", "height": SIZE[0], "width": SIZE[1]}
        )
        for (label, points), (_, box) in zip(OUTLINES[stem], boxes(stem), strict=True):
            left, top, right, bottom = box
            content["annotations"].append(
                {"id": len(content["annotations"]), "image_id": image, "iscrowd": 0,
                 "category_id": NAMES.index(label) + 1, "area": 1,
                 "segmentation": [np.ravel(points).tolist()] if outlines else [],
                 "bbox": [left, top, right - left, bottom - top]}
            )  # fmt: skip
    for split, content in values.items():
        save_text(root / file.format(split=split), json.dumps(content))


def coco_boxes(root: Path):
    coco(root, outlines=False)


def coco_of_cvat(root: Path):
    coco(root, "images/{split}", "annotations/instances_{split}.json")


MAKERS = {
    "coco of Roboflow": ("coco", coco),
    "coco boxes": ("coco", coco_boxes),
    "coco of CVAT": ("coco", coco_of_cvat),
    "yolo": ("yolo", yolo),
    "yolo of Roboflow": ("yolo", roboflow),
    "yolo boxes": ("yolo", yolo_boxes),
    "voc_xml": ("voc_xml", voc_xml),
    "labelme": ("labelme", labelme),
    "cvat": ("cvat", cvat),
    "cvat boxes": ("cvat", cvat_boxes),
    "via": ("via", via),
}
"""By layout: the format, and what writes it."""
BOXES = ("coco boxes", "yolo boxes", "voc_xml", "cvat boxes")
