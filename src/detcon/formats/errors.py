"""Errors of data sets: what can't be read, and what can't be written."""

from pathlib import Path


class AnnotationError(ValueError):
    """An annotation that is missing, damaged, or doesn't fit its photo."""


class NotAnnotated(AnnotationError):
    """A photo without any annotation."""


class FormatError(ValueError):
    """Something that a format can't hold, such as more classes than it has numbers for."""


def check_folders(*folders: Path, hint: str) -> None:
    """Raises an `AnnotationError` if a folder is missing; `hint` is the end of its message."""
    for folder in folders:
        if not folder.is_dir():
            raise AnnotationError(f"there is no folder {folder}; {hint}")
