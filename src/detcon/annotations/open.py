"""Opening annotated photos by the name of their format."""

from pathlib import Path

from detcon.annotations.errors import AnnotationError
from detcon.annotations.splits import ObjectSets


def open_objects(root: str | Path, format: str, split: str) -> ObjectSets:
    """Opens photos with objects.

    Raises:
        AnnotationError: There is no reader of that format.
    """
    raise AnnotationError(f"there is no reader of objects for format={format} ({root}, {split})")
