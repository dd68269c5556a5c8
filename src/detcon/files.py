"""Writing files that are there whole, or not at all."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a file beside `path`, which takes its place when the block ends well.

    Two processes may write the same file at once: each has its own file beside, and the later
    rename wins. If anything fails, what was there before is untouched and nothing is left beside.

    Args:
        path: What to write; its folder is made if need be.
        durable: Whether to wait until a power cut can't undo it. Not worth its time for the many
            small files of a set that can be made again.

    Raises:
        OSError: The disk is full, or refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.partial")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def write_whole(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Replaces a file in one move; see `replacing`."""
    with replacing(path, durable=durable) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def is_partial(path: Path) -> bool:
    """Whether the file was being written by a process that was killed."""
    return path.name.startswith(".") and path.name.endswith(".partial")


def _sync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power cut, where the system lets one."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
