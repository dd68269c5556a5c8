"""Annotation files that belong to a photo each, and the photos that they belong to."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detcon.files import copy_again
from detcon.formats.errors import AnnotationError
from detcon.photos import open_photos

_KINDS = ("image", "img", "photo", "pic", "jpeg", "jpg", "png", "annot", "label", "xml", "json")


def files_below(root: Path, suffix: str) -> list[Path]:
    """The files of a suffix in a folder and its subfolders, sorted; hidden ones are passed over.

    Raises:
        AnnotationError: There is no such folder, or no such file in it.
    """
    if not root.is_dir():
        raise AnnotationError(f"there is no folder {root}; check data=")
    found = []
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found += [
            Path(folder, name)
            for name in names
            if name.lower().endswith(suffix) and not name.startswith(".")
        ]
    if not found:
        raise AnnotationError(f"there are no {suffix} files in {root} and its subfolders")
    return sorted(found)


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises `AnnotationError`."""
    try:
        return json.loads(path.read_bytes())
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{path} is no JSON that can be read: it is not UTF-8 text; save it so"
        ) from error
    except (ValueError, RecursionError, OSError) as error:
        raise AnnotationError(
            f"{path} is no JSON that can be read: {error}; {copy_again(path)}"
        ) from error


def read_xml(path: Path) -> Element:
    """Reads an XML file, without entities. Raises `AnnotationError`."""
    try:
        return fromstring(path.read_bytes())
    except (ParseError, DefusedXmlException, ValueError, LookupError, OSError) as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise AnnotationError(
            f"{path} is no XML that can be read: {what}; {copy_again(path)}"
        ) from error


@dataclass(frozen=True)
class PhotoFinder:
    """Finds the photo that an annotation file belongs to.

    Attributes:
        root: The folder of the data set; keys are relative to it.
    """

    root: Path
    _by_name: Mapping[str, list[str]] = field(init=False, repr=False)
    _by_stem: Mapping[str, list[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_name, by_stem = {}, {}
        for key in open_photos(self.root).keys:
            path = PurePosixPath(key)
            by_name.setdefault(path.name, []).append(key)
            by_stem.setdefault(path.stem, []).append(key)
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "_by_stem", by_stem)

    def find(self, file: Path, name: Any) -> str:
        """The key of the photo that has the file's own stem, or the name that the file gives.

        Args:
            file: The annotation, below `root`.
            name: The photo's name or path in it; anything else than text is none.

        Returns:
            The key. Where there is no photo, the one it should have.

        Raises:
            AnnotationError: Several photos may be meant.
        """
        own = self._nearest(file, self._by_stem.get(file.stem, []))
        name = name.replace("\\", "/").rpartition("/")[2] if isinstance(name, str) else ""
        given = self._nearest(file, self._by_name.get(name, []))
        both = [key for key in own if key in given]
        found = both or own or given
        if own and given and not both:
            raise AnnotationError(
                f"{file} names the photo {given[0]}, but there is also {own[0]} of its own name; "
                f"correct one of the names, or give data= a folder without one of the photos"
            )
        if len(found) > 1:
            raise AnnotationError(
                f"{file} may belong to the photo {found[0]} or {found[1]}; rename one of them"
            )
        if found:
            return found[0]
        path = file.relative_to(self.root)
        return path.with_name(name if PurePosixPath(name).suffix else f"{file.stem}.jpg").as_posix()

    def named(self, file: Path, name: str) -> str:
        """The key of the photo that a list in a file names by its path or by its name alone.

        Returns:
            The key. Where there is no photo, the one it should have.

        Raises:
            AnnotationError: Several photos may be meant.
        """
        beside = file.relative_to(self.root).parent / name
        if Path(self.root, beside).is_file():
            return PurePosixPath(os.path.normpath(beside)).as_posix()
        keys = self._by_name.get(PurePosixPath(name).name, [])
        found = [key for key in keys if key == name or key.endswith(f"/{name}")]
        found = self._nearest(file, found)
        if len(found) > 1:
            raise AnnotationError(
                f"the photo {name} of {file} may be {found[0]} or {found[1]}; rename one of them"
            )
        return found[0] if found else beside.as_posix()

    def others(self, keys: Sequence[str]) -> list[str]:
        """The photos that aren't among these, sorted."""
        known = set(keys)
        return sorted(key for part in self._by_name.values() for key in part if key not in known)

    def _nearest(self, file: Path, keys: Sequence[str]) -> list[str]:
        """Those that may belong to a file, of these the ones that share most of its folders."""
        folders = file.relative_to(self.root).parent.parts
        found = {key: PurePosixPath(key).parent.parts for key in keys}
        found = {key: parts for key, parts in found.items() if _may_belong(folders, parts)}
        shared = {key: _num_shared(folders, parts) for key, parts in found.items()}
        return [key for key, count in shared.items() if count == max(shared.values())]


def not_annotated(finder: PhotoFinder, keys: Sequence[str], kind: str) -> tuple[str, ...]:
    """A sentence on photos that no file annotates; none if there are none.

    Args:
        finder: Knows all photos.
        keys: Those that are annotated.
        kind: What a photo lacks: "XML".
    """
    others = finder.others(keys)
    if not others:
        return ()
    return (
        f"photos left out: {len(others)} of {len(others) + len(keys)} (no {kind}), the first is "
        f"{finder.root / others[0]}",
    )


def _may_belong(folders: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a file and a photo in these folders may belong together.

    Folders named for what they hold, as in `train/Annotations` and `train/JPEGImages`, may differ;
    others, such as two cameras, may not, unless one of the two lies in none.
    """
    own, other = (
        [part for part in parts if not any(word in part.lower() for word in _KINDS)]
        for parts in (folders, others)
    )
    return own == other or not own or not other


def _num_shared(one: Sequence[str], other: Sequence[str]) -> int:
    same = [a == b for a, b in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)
