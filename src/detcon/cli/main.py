"""Runs a command: from the words of the command line to the function.

A verb's settings are the fields of its recipe, which also gives its help and its checks.
"""

import errno
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

import detcon
from detcon.cli.completion import complete, shell_script
from detcon.cli.help import list_verbs, teach
from detcon.cli.verbs import VERBS, Verb
from detcon.config import RecipeError, changes, field_names, load_recipe, nearest, parse_overrides
from detcon.train.stop import SCHEDULERS, StopSignals

_HAS_SLASH = re.compile(r"[^=]*[/\\]")
_EVERYWHERE = ("help", "debug")
"""Switches of every command."""


@dataclass(frozen=True)
class Words:
    """The words of a command by kind: bare ones, settings `name=value`, and names of switches.

    A bare word is a recipe, or a value of the verb's `bare` setting.
    """

    bare: tuple[str, ...]
    settings: tuple[str, ...]
    switches: frozenset[str]


def main() -> None:
    """The entry point of the command `detcon`.

    A scheduler's signal ends it as Ctrl-C does. While a training runs, its loop takes both.
    """
    stop = StopSignals(SCHEDULERS)
    try:
        with stop, stop.obeyed_at_once():
            _run(sys.argv[1:], Console(soft_wrap=True, highlight=False))
    except (ValueError, OSError, KeyboardInterrupt) as error:
        if "--debug" in sys.argv:
            raise
        errors = Console(stderr=True, soft_wrap=True, highlight=False)
        errors.print(f"detcon: {escape(_sentence(error))}")
        sys.exit(stop.exit_code if isinstance(error, KeyboardInterrupt) else 2)


def _run(argv: Sequence[str], out: Console) -> None:
    name, *rest = argv or ["--help"]
    if name == "--help":
        list_verbs(VERBS, out)
    elif name in ("version", "--version"):
        out.print(detcon.__version__)
    elif name == "completion":
        print(shell_script(rest), end="")
    elif name == "--complete":
        print("\n".join(complete(rest)))
    elif name not in VERBS:
        known = [*VERBS, "completion", "version"]
        raise RecipeError(f"there is no command '{name}'{nearest(name, known)}")
    else:
        words = _sort(name, VERBS[name], rest)
        if "help" in words.switches:
            recipe, given = _bare(VERBS[name], words.bare) if words.bare else (None, {})
            given |= parse_overrides(words.settings)
            teach(name, VERBS[name], _load(VERBS[name].recipe), out, recipe, given)
        else:
            _carry_out(VERBS[name], words, out)


def _sort(name: str, verb: Verb, argv: Sequence[str]) -> Words:
    """Sorts the words of a command; see `_is_path` for paths that hold a `=`."""
    switches = [word for word in argv if word.startswith("--")]
    known = [f"--{switch}" for switch in (*verb.flags, *_EVERYWHERE)]
    for switch in switches:
        if switch not in known:
            raise RecipeError(f"detcon {name} has no switch '{switch}'{nearest(switch, known)}")
    others = [word for word in argv if not word.startswith("--")]
    known = field_names(_load(verb.recipe)) if any(map(_is_file, others)) else []
    bare = [word for word in others if "=" not in word or _is_path(word, verb, known)]
    settings = [word for word in others if word not in bare]
    settings += [f"{flag}=true" for flag in verb.flags if f"--{flag}" in switches]
    return Words(tuple(bare), tuple(settings), frozenset(word[2:] for word in switches))


def _is_path(word: str, verb: Verb, settings: Sequence[str]) -> bool:
    """Whether a word with a `=` is the path of a recipe or run, and no setting.

    Paths have a slash before the `=`, as in `runs/lr=0.1`, or are files whose name up to the `=` is
    no setting.

    Raises:
        RecipeError: A file has the name of a setting and its value.
    """
    if _HAS_SLASH.match(word):
        return True
    is_file = _is_file(word) and (bool(verb.bare) or word.endswith((".yaml", ".yml")))
    if is_file and word.partition("=")[0] in settings:
        raise RecipeError(
            f"'{word}' is a setting, and there is a file of this name; write ./{word} "
            f"for the file, or remove it"
        )
    return is_file


def _is_file(word: str) -> bool:
    return "=" in word and os.path.exists(word)


def _carry_out(verb: Verb, words: Words, out: Console) -> None:
    """Loads the recipe, calls the verb's function with it, and prints what was written."""
    recipe, given = _bare(verb, words.bare)
    overrides = parse_overrides(words.settings)
    for name in given.keys() & overrides.keys():
        raise RecipeError(f"'{name}' is given twice, by name and without; give it once")
    settings = load_recipe(_load(verb.recipe), recipe, {**given, **overrides})
    # a study's file sets everything: nearly all of it would differ from the defaults
    _say_settings(recipe, words.settings if verb.records_words else changes(settings), out)
    recorded = {"words": (*words.bare, *words.settings)} if verb.records_words else {}
    if verb.page(settings):  # found now, not when all is done
        page = Path(settings.out) / "report.html"
        _load("report.output:check_output")(page, suffixes=(".html",))
    before = _times(verb, settings)
    written = _load(verb.function)(settings, **recorded)
    if verb.table and written is not None:
        out.print(_load(verb.table)(settings))
    if before and _times(verb, settings) == before:
        out.print(f"nothing new in {escape(settings.out)}")
        return
    if written is None:
        return
    _say_written(written if isinstance(written, Path) else settings.out, verb.then(settings), out)
    if verb.page(settings) and _load("train.environment:is_first_rank")():
        page = _load("report.page:make_report")([settings.out], out=f"{settings.out}/report.html")
        _say_written(page, f"open {page} in a browser", out)


def _times(verb: Verb, settings: Any) -> dict[Path, int]:
    """When the verb's `parts` were written; none where it has no such files."""
    if not verb.parts:
        return {}
    out = Path(settings.out)
    files = [out] if out.is_file() else out.glob(verb.parts)
    return {file: file.stat().st_mtime_ns for file in files}


def _bare(verb: Verb, bare: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """The recipe, and the setting that is given by bare words."""
    if verb.bare.endswith("*"):
        if not bare:
            raise RecipeError(f"name the {verb.bare[:-1]}: {verb.example}")
        return None, {verb.bare[:-1]: list(bare)}
    given = {}
    if verb.bare and bare and not bare[0].endswith((".yaml", ".yml")):
        given = {verb.bare: bare[0]}
        bare = bare[1:]
    if len(bare) > 1:
        raise RecipeError(
            f"'{bare[1]}' is a second recipe; give one recipe, and settings as name=value"
        )
    return (bare[0] if bare else None), given


def _say_settings(recipe: str | None, settings: Sequence[str], out: Console) -> None:
    """Prints the recipe and settings `name=value`, a line for each group of settings."""
    lines: dict[str, list[str]] = {}
    for word in settings:
        name = word.partition("=")[0]
        lines.setdefault(name.rpartition(".")[0].partition(".")[0], []).append(word)
    for words in [[recipe] if recipe else [], *lines.values()]:
        if words:
            out.print(f"  {escape('  '.join(words))}", style="dim")


def _say_written(place: str | Path, then: str, out: Console) -> None:
    out.print(f"wrote {escape(str(place))}")
    for line in then.splitlines():
        out.print(f"next: {escape(line)}")


def _load(address: str) -> Any:
    module, _, name = address.partition(":")
    return getattr(import_module(f"detcon.{module}"), name)


def _sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; give the same command again to go on"
    if isinstance(error, OSError) and error.strerror:
        place = f" {error.filename}" if error.filename else ""
        refused = isinstance(error, PermissionError) or error.errno == errno.EROFS
        remedy = "make it writable" if refused else "make room"
        return f"cannot use{place}: {error.strerror.lower()}; {remedy} or choose another place"
    if isinstance(error, UnicodeEncodeError):
        name = error.object[max(0, error.start - 40) : error.end + 40]
        return f"{os.fsencode(name)!r} holds a name that isn't valid UTF-8; rename the file"
    return str(error)
