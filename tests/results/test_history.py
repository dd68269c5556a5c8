"""Tests for detcon.results.history and .lines: logs and other files of one object a line."""

import json
import multiprocessing

import pytest

from detcon.results import RunError
from detcon.results.history import History, HistoryFile, read_history
from detcon.results.lines import append_line, read_lines


def test_a_curve_leaves_out_what_is_missing_or_not_finite():
    rows = [{"step": 1, "loss": 2.0}, {"step": 2}, {"step": 3, "loss": float("nan")}]
    assert History(rows).curve("loss") == ([1], [2.0])


def test_seconds_are_those_of_the_last_line_that_has_them(tmp_path):
    assert read_history(tmp_path).seconds == 0
    assert History([{"step": 1, "seconds": 5.0}, {"step": 2, "probe_mIoU": 1.0}]).seconds == 5


def test_a_resumed_log_goes_on_after_the_checkpoint(tmp_path):
    log = HistoryFile(tmp_path, step=0)
    for step in (1, 2, 3):
        log.write(step, {"loss": 1 / step})
    log.close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 4, "lo')
    HistoryFile(tmp_path, step=2).close()
    assert path.read_text().splitlines() == [
        json.dumps({"step": step, "loss": 1 / step}) for step in (1, 2)
    ]


def test_a_torn_last_line_is_skipped_and_reported(tmp_path):
    path = tmp_path / "x.jsonl"
    assert read_lines(path) == ({}, False)
    path.write_text('{"a": 1}\n\n{"a": 2}')
    assert read_lines(path) == ({1: {"a": 1}, 3: {"a": 2}}, False), "only its end is missing"
    path.write_text('{"a": 1}\n{"a": ')
    assert read_lines(path) == ({1: {"a": 1}}, True)
    append_line(path, {"a": "é"})
    assert path.read_text("utf-8") == '{"a": 1}\n{"a": "é"}\n'


@pytest.mark.parametrize("line", ["{", "[1]", "7"])
def test_any_other_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n{{"a": 2}}\n')
    with pytest.raises(RunError, match=r"line 2 of .*x\.jsonl .*; delete the line, or leave"):
        read_lines(path)


def append_many(path, writer):
    for number in range(50):
        append_line(path, {"writer": writer, "number": number, "text": "x" * 20_000})


def test_two_processes_append_to_one_file(tmp_path):
    path = tmp_path / "x.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append_many, args=(path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    rows, torn = read_lines(path)
    assert not torn and len(rows) == 100
    for name in "ab":
        numbers = [row["number"] for row in rows.values() if row["writer"] == name]
        assert numbers == list(range(50))


def test_appending_reads_no_more_than_the_end(tmp_path, monkeypatch):
    """Each append read the whole file: quadratic work over the cells of a study."""
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"a": {n}}}\n' for n in range(200_000)) + '{"torn": ')
    read, opened = [], type(path).open

    def counting(self, *args, **options):
        file = opened(self, *args, **options)
        whole = file.read
        file.read = lambda size=-1: read.append(len(data := whole(size))) or data
        return file

    monkeypatch.setattr(type(path), "open", counting)
    append_line(path, {"a": -1})
    monkeypatch.undo()
    assert sum(read) < 100_000 < path.stat().st_size
    assert path.read_text().endswith('{"a": 199999}\n{"a": -1}\n')
    path.write_text('{"torn": ' + " " * 200_000)
    append_line(path, {"a": 1})
    assert path.read_text() == '{"a": 1}\n'
