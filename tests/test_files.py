"""Tests for detcon.files: whole or not at all."""

import errno
import os
import platform
import stat
import subprocess
import sys
import time

import pytest

from detcon.files import is_partial, remove_abandoned, replacing, write_whole
from detcon.results.lines import append_line


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("data", [b"new", "new"])
def test_replaces_and_leaves_nothing_beside(tmp_path, durable, data):
    path = tmp_path / "deep" / "file"
    write_whole(path, b"old")
    write_whole(path, data, durable=durable)
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_keeps_the_old_file_and_cleans_up(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail_halfway():
        with replacing(path) as file:
            file.write(b"ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail_halfway()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def refuse_folders(monkeypatch, code):
    """As where folders can't be synced: on SMB mounts, some of FUSE."""
    sync = os.fsync

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr("detcon.files.os.fsync", refuse)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_odd_file_systems_that_cant_sync_a_folder_are_written_to(tmp_path, monkeypatch, code):
    refuse_folders(monkeypatch, code)
    write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_folder_that_fails_to_sync_is_an_error(tmp_path, monkeypatch):
    refuse_folders(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        write_whole(tmp_path / "file", b"new")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_odd_file_systems_that_cant_sync_a_file_are_written_to(tmp_path, monkeypatch, code):
    def refuse(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("detcon.files.os.fsync", refuse)
    write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "ä" * 125 + ".png"])
def test_odd_file_systems_names_as_long_as_they_may_be(tmp_path, name):
    """A temporary file must not have a longer name."""
    write_whole(tmp_path / name, b"new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_of_long_names_have_temporary_files_of_their_own(tmp_path):
    one, other = (tmp_path / f"{'a' * 240}{end}" for end in "xy")
    with replacing(one) as first, replacing(other) as second:
        first.write(b"1")
        second.write(b"2")
        assert len(list(tmp_path.iterdir())) == 2 and all(map(is_partial, tmp_path.iterdir()))
    assert one.read_bytes() == b"1" and other.read_bytes() == b"2"


@pytest.mark.parametrize("write", [write_whole, lambda path, _: append_line(path, {"a": 1})])
def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch, write):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        write(tmp_path / "file", b"new")
    assert error.value.filename == str(tmp_path / "file")


def test_names_of_files_stay_as_their_bytes(tmp_path):
    write_whole(tmp_path / "file", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "file").read_bytes() == b"caf\xe9"


def test_what_a_killed_process_leaves_is_recognised(tmp_path):
    path = tmp_path / "file"
    with replacing(path):
        (beside,) = tmp_path.iterdir()
        assert is_partial(beside) and not path.exists()
    assert not is_partial(path)


def test_what_killed_processes_left_is_removed_and_what_others_write_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here, now, old = platform.node(), time.time(), time.time() - 7200
    files = {
        f".a.{here}.{dead.pid}.partial": (now, False),
        f".b.{here}.{os.getpid()}.partial": (now, True),
        ".c.another.host.1.partial": (now, True),
        ".d.another.host.1.partial": (old, False),
        ".e.partial": (now, True),
        "f.partial": (old, True),
    }
    for name, (written, _) in files.items():
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (written, written))
    remove_abandoned(tmp_path)
    assert {name: (tmp_path / name).exists() for name in files} == {
        name: stays for name, (_, stays) in files.items()
    }


def test_odd_file_systems_without_locks_take_lines(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    append_line(tmp_path / "lines.jsonl", {"a": 1})
    append_line(tmp_path / "lines.jsonl", {"a": 2})
    assert (tmp_path / "lines.jsonl").read_text() == '{"a": 1}\n{"a": 2}\n'
