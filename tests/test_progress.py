import io
import sys

import pytest

from detcon.progress import ProgressBar, with_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def open_terminal(monkeypatch):
    """Makes stderr a terminal, from the call on: pytest sets stderr between fixture and test."""

    def call():
        for name in ("TERM", "FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        return terminal

    return call


def test_items_pass_under_a_bar(open_terminal):
    terminal = open_terminal()
    assert list(with_progress(iter("abc"), "letters", 3, words="signs")) == ["a", "b", "c"]
    shown = terminal.getvalue()
    assert "letters" in shown and "3/3" in shown and "signs" in shown


def test_nothing_is_drawn_where_nobody_looks(capsys):
    assert list(with_progress(range(3), "numbers", 3)) == [0, 1, 2]
    with ProgressBar("steps", 5, done=2) as bar:
        bar.reach(4)
        with bar.hidden():
            bar.say("a line")
    assert capsys.readouterr().err == "a line\n"


def test_a_line_soon_and_one_a_minute_where_there_is_no_terminal(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with ProgressBar("masks", 300, words="photos") as bar:
        for clock[0] in (30.0, 61.0, 100.0, 130.0):
            bar.advance(10)
        bar.say("something else")
        for clock[0] in (180.0, 191.0):
            bar.reach(200)
    lines = [
        "masks 10/300 photos",
        "masks 30/300 photos · 0:15:45 left",
        "something else",
        "masks 200/300 photos · 0:01:25 left",
    ]
    assert capsys.readouterr().err.splitlines() == lines


def test_other_ranks_are_silent(open_terminal):
    terminal = open_terminal()
    with ProgressBar("steps", 5, show=False) as bar:
        bar.say("a line")
        bar.reach(5)
    assert terminal.getvalue() == ""


def test_work_that_was_done_before_counts(open_terminal):
    terminal = open_terminal()
    with ProgressBar("photos", 10, done=7) as bar:
        bar.advance(2)
        bar.write("quick")
    assert "9/10" in terminal.getvalue() and "quick" in terminal.getvalue()
