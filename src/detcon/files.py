"""Writing files that are there whole, or not at all."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_ABANDONED = 3600  # seconds


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


def holds_other(path: Path, data: bytes) -> bool:
    """Whether something else than a file of these bytes is there already."""
    return path.exists() and not (path.is_file() and path.read_bytes() == data)


def is_partial(path: Path) -> bool:
    """Whether the file was being written by a process that was killed."""
    return path.name.startswith(".") and path.name.endswith(".partial")


def remove_abandoned(folder: Path) -> None:
    """Removes files that processes were writing when they were killed.

    Those of this machine whose process is gone, and any that is older than an hour: on a shared
    disk another machine may just be writing its own.
    """
    for path in folder.glob(".*.partial"):
        with suppress(OSError):
            if _process_is_gone(path) or time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def _process_is_gone(partial: Path) -> bool:
    before, _, pid = partial.name.removesuffix(".partial").rpartition(".")
    if os.name != "posix" or not before.endswith(f".{platform.node()}") or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)  # asks only
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _sync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power cut, where the system lets one."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
