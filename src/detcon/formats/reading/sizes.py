"""Holding annotations to the size of their photo."""

from detcon.formats.errors import AnnotationError


def check_size(
    annotation: str, size: tuple[int, ...], photo: str, photo_size: tuple[int, ...]
) -> None:
    """Sees to it that an annotation has the upright size of its photo.

    Args:
        annotation: How messages call the annotation.
        size: Its height and width.
        photo: How messages call the photo.
        photo_size: Its height and width.

    Raises:
        AnnotationError: If they differ.
    """
    if size != photo_size:
        raise AnnotationError(
            f"{annotation} is {_pixels(size)}, but its photo {photo} is {_pixels(photo_size)} "
            f"(upright); labels must have exactly the photo's size"
        )


def _pixels(size: tuple[int, ...]) -> str:
    return f"{size[0]} x {size[1]} pixels"
