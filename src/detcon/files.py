"""Atomic writes: a file is complete, or absent."""

import errno
import hashlib
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

_ABANDONED = 3600  # seconds
_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENODEV, errno.ENOLCK)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_POINTER = b"version https://git-lfs.github.com/"
_FETCH = "it is a pointer of Git LFS: run git lfs pull"
_NO_TEXT = "it is not UTF-8 text; save it so"
_LONG = 100  # bytes; a name has 255 at most on most disks, and 143 on some that are encrypted


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a temporary file that replaces `path` when the block ends without an error.

    Two processes may write the same file at once: each has its own temporary file, and the later
    rename wins. After an error the old file is untouched and the temporary one is removed.

    Args:
        path: What to write; its folder is made if need be.
        durable: Whether to wait until a power cut can't undo it. Not worth its time for the many
            small files of a set that can be made again.

    Raises:
        OSError: The disk is full, or refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name
    if len(os.fsencode(name)) > _LONG:  # the temporary name would be longer than a name may be
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    partial = path.with_name(f".{name}.{platform.node()}.{os.getpid()}.partial")
    try:
        with naming(path), partial.open("wb") as file:
            yield file
            file.flush()
            if durable:
                sync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names a file in the error of a disk that is full, which knows of none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _FULL:
            error.filename = str(path)
        raise


def write_whole(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Writes a file atomically; see `replacing`. Names of files need not be text: bytes stay."""
    if isinstance(data, str):
        data = data.encode(errors="surrogateescape")
    with replacing(path, durable=durable) as file:
        file.write(data)


def check_writable(path: Path) -> None:
    """Refuses a file or folder that couldn't be written, before the work whose result it gets.

    Raises:
        PermissionError: It, or the nearest folder above it that exists, can't be written.
    """
    place = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def holds_other(path: Path, data: bytes) -> bool:
    """Whether the path exists and is not a file with exactly these bytes."""
    return path.exists() and not (path.is_file() and path.read_bytes() == data)


def read_text(path: Path) -> str:
    """Reads a file of UTF-8 text, with or without a byte order mark.

    Raises:
        ValueError: It is no such text, or what Git LFS left in its place.
        OSError: It can't be read.
    """
    data = path.read_bytes()
    if is_pointer(data):
        raise ValueError(_FETCH)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(_NO_TEXT) from error
    if "\0" in text:  # as in text of 16 bits a letter
        raise ValueError(_NO_TEXT)
    return text


def copy_again(path: Path, otherwise: str = "copy it again") -> str:
    """The end of a message on a file that can't be read: how to get it whole."""
    with suppress(OSError), path.open("rb") as file:
        if is_pointer(file.read(len(_POINTER))):
            return _FETCH
    return otherwise


def is_pointer(data: bytes) -> bool:
    """Whether a file's first bytes are those of a pointer that Git LFS left in its place."""
    return data.startswith(_POINTER)


def is_partial(path: Path) -> bool:
    """Whether the file is a temporary file of `replacing`."""
    return path.name.startswith(".") and path.name.endswith(".partial")


def remove_abandoned(folder: Path) -> None:
    """Removes temporary files of killed processes.

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


def lock(file: IO[Any], *, wait: bool = True) -> bool:
    """Locks an open file against other processes of this machine, until the file is closed.

    The system ends the lock when a process dies, however it dies. Where there are no locks (on
    Windows, and on some mounts), every process gets it.

    Args:
        file: Opened for writing; what it holds doesn't matter.
        wait: Whether to wait for another process that has it.

    Returns:
        Whether this process has the lock now.
    """
    if os.name == "posix":
        import fcntl  # there is none on Windows

        try:
            with unsupported():
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
    return True


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds the `lock` of a file during the block; yields whether this process got it.

    The file is made if need be, and stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield lock(file, wait=wait)


def sync(descriptor: int) -> None:
    """Waits until an open file or folder is on the disk, where its file system can tell."""
    with unsupported():
        os.fsync(descriptor)


@contextmanager
def unsupported() -> Iterator[None]:
    """Passes over what the file system of a mount (SMB, FUSE, NFS) can't do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _sync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power cut, where the system supports it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
