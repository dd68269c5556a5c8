"""Notes are printed once, by one process of a run."""

import pytest

from detcon.notes import counted, note, reworded, say
from detcon.progress import ProgressBar


@pytest.fixture(autouse=True)
def fresh():
    note.cache_clear()


def test_a_sentence_is_printed_once(capsys):
    for sentence in ("a", "b", "a"):
        note(sentence)
    assert capsys.readouterr() == ("", "a\nb\n")


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID"])
def test_other_ranks_are_silent(capsys, monkeypatch, name):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv(name, "1")
    note("a")
    monkeypatch.setenv(name, "0")
    note("b")
    assert capsys.readouterr().err == "b\n"


def test_workers_are_silent(capsys, monkeypatch):
    monkeypatch.setattr("detcon.notes.parent_process", lambda: "the parent")
    note("a")
    assert capsys.readouterr().err == ""


def test_sentences_are_changed_from_the_inside_out(capsys):
    def around(before, after):
        return reworded(lambda sentence: f"{before}{sentence}{after}")

    with around("(", ")"), around("[", "]"):
        say("a")
        with ProgressBar("steps", 5) as bar:
            bar.say("b")
    say("c")
    assert capsys.readouterr().err == "([a])\n([b])\nc\n"
    with pytest.raises(ValueError, match=r"^\(\[d\]\)$"), around("(", ")"), around("[", "]"):
        raise ValueError("d")
    with pytest.raises(UnicodeDecodeError, match="invalid start byte"), around("(", ")"):
        b"\xff".decode()


def test_nouns_agree_with_numbers():
    assert [counted(n, "photo") for n in (0, 1, 1234)] == ["0 photos", "1 photo", "1,234 photos"]
