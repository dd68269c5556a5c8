"""COCO's objects: instances_train2017.json and the like, of COCO or in its format.

    DIR/annotations/instances_{train,val}2017.json      DIR/{train,val}2017/000000000139.jpg

Lin et al., "Microsoft COCO", ECCV 2014; cocodataset.org/#format-data.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from detcon.formats.coco.json_file import find_json, read_categories, read_coco_json, read_images
from detcon.formats.coco.rows import CocoRows, encode_segmentation, read_rows
from detcon.formats.errors import AnnotationError, check_folders
from detcon.formats.format import PhotoFiles, check_size
from detcon.formats.objects import Objects
from detcon.formats.reading.label_files import check_listed
from detcon.formats.segments import ListedSegments, SegmentOptions, overlapping
from detcon.photos import Photos, nearest_key


@dataclass(frozen=True, eq=False)
class CocoObjects(PhotoFiles):
    """The objects of a COCO file; parsed once, kept in arrays, and small enough for workers.

    Attributes:
        annotations: The JSON file.
        photos: The photos; keys are their `file_name`s.
        names: Of the classes, which are the categories in the order of their ids.
        category_ids: The category id of each class, for result files.
        image_ids: The image id of each key.
    """

    annotations: Path
    photos: Photos
    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    image_ids: Int64[np.ndarray, " i"] = field(repr=False)
    _sizes: Int64[np.ndarray, "i 2"] = field(repr=False)
    _rows: CocoRows = field(repr=False)
    _places: dict[str, int] = field(repr=False)

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo. Raises `UnreadablePhoto`, and `AnnotationError` for another size."""
        place, photo = self._place(key), PhotoFiles.photo(self, key, channels)
        image = f"the image {self.image_ids[place]} of {self.annotations}"
        size = tuple(self._sizes[place].tolist())
        check_size(image, size, str(self.photos.path(key)), photo.shape[:2])
        return photo

    def objects(self, key: str) -> Objects:
        """The objects of a photo, in the order of the file. Raises `AnnotationError`.

        There are no masks of a photo in which one object has a box alone.
        """
        place = self._place(key)
        height, width = self._sizes[place].tolist()
        rows = self._rows
        first, end = rows.first[place : place + 2].tolist()
        part = slice(first, end)
        numbers = () if rows.alone[part].any() else range(first, end)
        return Objects(
            size=(height, width),
            boxes=rows.boxes[part].copy(),
            classes=rows.classes[part].copy(),
            crowd=rows.crowd[part].copy(),
            segments=tuple(self._encode(number, (height, width)) for number in numbers),
        )

    def _place(self, key: str) -> int:
        if key not in self._places:
            raise AnnotationError(
                f"there is no image {key} in {self.annotations}{nearest_key(key, self.keys)}"
            )
        return self._places[key]

    def _encode(self, number: int, size: tuple[int, int]) -> dict[str, Any]:
        rows = self._rows
        place, name = int(rows.entries[number]), int(rows.ids[number])
        return encode_segmentation(self.annotations, name, rows.segments, place, size)


def open_coco(data: str | Path, split: str) -> CocoObjects:
    """Opens COCO 2017: `data` holds `annotations/`, `train2017/` and `val2017/`."""
    root, name = Path(data), f"{split}2017"
    found = read_coco(root / "annotations" / f"instances_{name}.json", root / name)
    check_listed(found.photos, lists_all=True)
    return found


def open_object_segments(data: Path, options: SegmentOptions) -> ListedSegments[str]:
    """Opens the objects of a data set, or of a JSON file, as regions; no photos are needed."""
    file, folder = find_json(data, "instances", options.split)
    source = read_coco(file, file.parent)
    return ListedSegments(
        {folder + key: key for key in source.keys},
        str(file),
        lambda key, photo: [overlapping(source.objects(key), folder + key, str(file))],
    )


def read_coco(annotations: str | Path, images: str | Path) -> CocoObjects:
    """Opens any JSON file of objects; its `file_name`s are relative to the folder `images`.

    Raises:
        AnnotationError: The folder or the file is missing, or the file can't be used.
    """
    path, folder = Path(annotations), Path(images)
    values = read_coco_json(path)
    check_folders(
        folder,
        hint=f"the photos of {path} should be there; COCO's come from cocodataset.org/#download",
    )
    found = read_images(path, values["images"], folder)
    categories = read_categories(path, values["categories"])
    rows = read_rows(path, values["annotations"], found, categories)
    return CocoObjects(
        annotations=path,
        photos=found.photos,
        names=categories.names,
        category_ids=categories.ids,
        image_ids=found.ids,
        _sizes=found.sizes,
        _rows=rows,
        _places={key: place for place, key in enumerate(found.photos.keys)},
    )
