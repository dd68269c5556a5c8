"""Photos in tar files, as in WebDataset: read by offset, without unpacking.

A tar is walked once, header by header; the list of its members is kept next to it, in a hidden
file, where the folder may be written, and is used while the tar has the same size and date.
"""

import posixpath
import tarfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64

from detcon.files import copy_again
from detcon.photos.errors import PhotosError, UnreadablePhoto
from detcon.photos.kept import kept_table
from detcon.photos.kinds import Chooser

_BLOCK = 512  # bytes; a tar ends with two of zeros
_SCHEMA = pa.schema([("name", pa.large_string()), ("offset", pa.int64()), ("size", pa.int64())])
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, eq=False)
class Members:
    """Where the files are in the tars, in the order of the keys.

    Attributes:
        tars: Paths of tars.
        tar: The place in `tars` of each file's tar.
        offset: Of each file's first byte in its tar.
        size: Of each file, in bytes.
    """

    tars: tuple[str, ...]
    tar: Int32[np.ndarray, " n"]
    offset: Int64[np.ndarray, " n"]
    size: Int64[np.ndarray, " n"]

    def part(self, start: int, stop: int) -> "Members":
        """The files `start` to `stop - 1`, and only the tars that hold them."""
        used, tar = np.unique(self.tar[start:stop], return_inverse=True)
        tars = tuple(self.tars[i] for i in used.tolist())
        return Members(tars, tar.astype(np.int32), self.offset[start:stop], self.size[start:stop])

    def span(self, number: int) -> tuple[str, int, int]:
        """The tar of one file, where it begins in it, and its size in bytes."""
        return (self.tars[int(self.tar[number])], int(self.offset[number]), int(self.size[number]))

    def read(self, number: int) -> bytes:
        """The bytes of one file.

        Raises:
            UnreadablePhoto: The tar has become shorter since it was listed.
            OSError: The tar is gone, or may not be read.
        """
        path, start, size = self.span(number)
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            data = file.read(size)
        if len(data) != size:
            raise UnreadablePhoto(f"cannot read from {path}: it has changed since it was listed")
        return data


def list_tars(tars: Sequence[Path], root: Path, chooser: Chooser) -> tuple[list[str], Members]:
    """The photos in some tars: sorted keys, and where they are.

    A key is the tar's path from `root`, without its ending, and the member's name: the photo's
    path if each tar were unpacked into a folder of its own name.

    Raises:
        PhotosError: A tar that is damaged, cut off or compressed, or holds a name twice.
    """
    keys: list[str] = []
    places = array("q")  # of each photo: the tar's number, offset and size
    for number, path in enumerate(tars):
        prefix = path.relative_to(root).with_suffix("").as_posix()
        columns = (_members(path)[name].to_pylist() for name in _SCHEMA.names)
        for name, offset, size in zip(*columns, strict=True):
            if chooser.takes_path(name) and not chooser.misses(offset < 0):
                keys.append(f"{prefix}/{name}")
                places.extend((number, offset, size))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    table = np.array(places, np.int64).reshape(-1, 3)[order]
    members = Members(
        tuple(map(str, tars)), table[:, 0].astype(np.int32), table[:, 1].copy(), table[:, 2].copy()
    )
    return [keys[i] for i in order], members


def _members(path: Path) -> pa.Table:
    """All files of a tar: name, offset and size."""
    try:
        stat = path.stat()
    except OSError as error:
        raise PhotosError(f"cannot read the tar {path}: {error.strerror}") from error
    state = f"with links {stat.st_size} {stat.st_mtime_ns}"
    kept = path.with_name(f".{path.name}.members")
    return kept_table(kept, state, _SCHEMA, lambda: _walk(path, stat.st_size))


def _walk(path: Path, length: int) -> pa.Table:
    """Reads all headers of a tar; links have the place of their target, or -1 if there is none."""
    rows: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            before = -1
            while (member := tar.next()) is not None:
                if member.offset <= before:  # a damaged size may lead back, for ever
                    raise tarfile.ReadError("a header leads backwards")
                before = member.offset
                tar.members = []  # pyright: ignore[reportAttributeAccessIssue]  # or it keeps all
                is_link = member.islnk() or member.issym()
                if not (member.isreg() or is_link) or member.issparse():
                    continue
                name = member.name.removeprefix("./")
                name.encode()
                if name in rows or name in links:
                    raise PhotosError(
                        f"the tar {path} holds {name} twice; write it again with each file once"
                    )
                if is_link:
                    start = posixpath.dirname(name) if member.issym() else ""
                    links[name] = posixpath.normpath(posixpath.join(start, member.linkname))
                else:
                    rows[name] = member.offset_data, member.size
            end = tar.offset
    except PhotosError:
        raise
    except Exception as error:  # tarfile has a dozen for a damaged file
        if isinstance(error, OSError) and error.errno is not None:
            raise PhotosError(f"cannot read the tar {path}: {error.strerror}") from error
        raise PhotosError(_what_it_is(path, str(error))) from error
    _check_end(path, end)
    if any(not 0 <= offset <= length - size for offset, size in rows.values()):
        raise PhotosError(_what_it_is(path, "a member ends behind the file's end"))
    rows |= {name: rows.get(_target(name, links), (-1, 0)) for name in links}
    offsets, sizes = zip(*rows.values(), strict=True) if rows else ((), ())
    return pa.table([list(rows), offsets, sizes], schema=_SCHEMA)


def _target(name: str, links: dict[str, str]) -> str:
    """What a link stands for, through other links; of links in a circle, one of them."""
    for _ in range(len(links)):
        if name not in links:
            break
        name = links[name]
    return name


def _check_end(path: Path, end: int) -> None:
    """Checks that a tar ends with its end mark: tarfile also stops at a damaged header."""
    with path.open("rb") as file:
        file.seek(end)
        block = file.read(_BLOCK)
    if not block.strip(b"\0") and len(block) == _BLOCK:
        return
    if len(block) < _BLOCK:
        raise PhotosError(
            f"the tar {path} ends before its end mark; it was cut off, or its writer was not "
            f"closed: copy or write it again"
        )
    raise PhotosError(_what_it_is(path, f"no header at byte {end}"))


def _what_it_is(path: Path, what: str) -> str:
    with path.open("rb") as file:
        begins = file.read(8)
    for magic, name in _COMPRESSED.items():
        if begins.startswith(magic):
            return (
                f"cannot read photos from {path}: it is compressed ({name}), so that no file in it "
                f"can be read alone; uncompress it to a .tar"
            )
    again = copy_again(path, otherwise="copy or write it again")
    return f"the tar {path} is damaged ({what}); {again}"
