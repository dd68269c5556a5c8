"""Braces in the names of files, as shells and WebDataset write them."""

import re

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")


def expand_braces(pattern: str) -> list[str]:
    """All names that a pattern with braces stands for, in the order of bash.

    `a{08..10}` counts (`a08`, `a09`, `a10`; with zeros in front where an end has them), a third
    number is the step, `{a,b}` are alternatives; groups may follow one another and be nested.
    Braces that are neither stay as they are, and so does a pattern without any.
    """
    begin = pattern.find("{")
    while begin >= 0:
        parts, end = _split(pattern, begin)
        if len(parts) > 1:
            inner = [name for part in parts for name in expand_braces(part)]
        else:
            inner = _count(parts[0]) if parts else []
        if inner:
            rests = expand_braces(pattern[end:])
            return [pattern[:begin] + name + rest for name in inner for rest in rests]
        begin = pattern.find("{", begin + 1)
    return [pattern]


def _split(pattern: str, begin: int) -> tuple[list[str], int]:
    """The alternatives of the group that begins at `begin`, and where it ends; none: it doesn't."""
    parts, depth, start = [], 0, begin + 1
    for place in range(begin, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[place], 0)
        if depth == 0 or (depth == 1 and pattern[place] == ","):
            parts.append(pattern[start:place])
            start = place + 1
        if depth == 0:
            return parts, start
    return [], begin


def _count(text: str) -> list[str]:
    """The numbers of `000..127`; nothing where the text is no range."""
    if not (found := _RANGE.fullmatch(text)):
        return []
    first, last, step = found[1], found[2], abs(int(found[3] or 1)) or 1
    padded = any(re.match(r"-?0\d", end) for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    one, end = int(first), int(last)
    numbers = range(one, end + 1, step) if one <= end else range(one, end - 1, -step)
    return [f"{number:0{width}d}" for number in numbers]
