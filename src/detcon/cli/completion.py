"""Completion in shells: of verbs, recipes, settings and their values.

`detcon completion bash` prints a script for the shell. The script asks `detcon --complete` with
the words so far, which answers a possible last word a line.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Literal, get_args, get_origin

from detcon.cli.verbs import VERBS
from detcon.config import RecipeError, field_names, recipes_for
from detcon.config.hints import below, is_record, kind_of

_BASH = """\
_detcon() {
  local line="${COMP_LINE:0:COMP_POINT}" cut=""
  local -a words
  read -ra words <<< "$line"
  [[ "$line" == *" " ]] && words+=("")
  local last="${words[-1]}"
  [[ "$last" == *=* ]] && cut="${last%=*}="    # bash takes what follows a = for a word
  local IFS=$'\\n'
  COMPREPLY=($(detcon --complete "${words[@]:1}" 2>/dev/null))
  COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}
complete -o nospace -o default -F _detcon detcon
"""
_ZSH = """\
_detcon() {
  local -a found
  found=("${(@f)$(detcon --complete "${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)}")
  found=(${found:#})
  (( $#found )) && compadd -Q -S '' -a found && return
  compset -P '*='    # a path behind images=
  _files
}
compdef _detcon detcon
"""
_FISH = """\
complete -c detcon -a '(detcon --complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null |
  string trim)'    # fish sets the space itself
"""
SHELLS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def shell_script(names: Sequence[str]) -> str:
    """The script of the one shell that is named. Raises `RecipeError` for another."""
    if len(names) != 1 or names[0] not in SHELLS:
        raise RecipeError(f"name your shell: detcon completion {'|'.join(SHELLS)}")
    return SHELLS[names[0]]


def complete(words: Sequence[str]) -> list[str]:
    """What the last word may become, with a space behind what is whole.

    >>> complete(["pretr"])
    ['pretrain ']
    >>> complete(["masks", "workers"])
    ['workers=']
    """
    *before, last = words or [""]
    found = _of_verb(before[0], last) if before else (f"{verb} " for verb in [*VERBS, "completion"])
    return [one for one in found if one.startswith(last)]


def _of_verb(name: str, last: str) -> Iterator[str]:
    if name == "completion":
        yield from (f"{shell} " for shell in SHELLS)
    if name not in VERBS:
        return
    module, _, recipe = VERBS[name].recipe.partition(":")
    record = getattr(import_module(f"detcon.{module}"), recipe)
    setting, equals, _ = last.partition("=")
    if equals:
        yield from (f"{setting}={value} " for value in _values(record, setting))
        return
    yield from (f"--{flag} " for flag in (*VERBS[name].flags, "help"))
    yield from (f"{one.name} " for one in recipes_for(getattr(record, "shelf", "")))
    yield from (f"{one}=" for one in field_names(record))


def _values(record: Any, setting: str) -> Iterator[str]:
    """The values of a setting that has a fixed list of them, or yes and no."""
    hints: tuple[Any, ...] = (record,)
    for name in setting.split("."):
        hints = below(hints, name)
    for hint in hints:
        if get_origin(hint) is Literal:
            yield from map(str, get_args(hint))
        elif hint is bool:
            yield from ("true", "false")
        elif is_record(hint) and (kind := kind_of(hint)):
            yield kind
