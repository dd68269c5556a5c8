"""Settings as they are written on the command line."""

from typing import Any

from pydantic import BaseModel

from detcon.config.hints import default_of, fields_of, is_record, kind_of

_LONGEST = 60  # characters of a value that is no text


def changes(settings: BaseModel) -> list[str]:
    """`name=value` for each setting that differs from its default."""
    return [f"{name}={_short(value)}" for name, value in _changes(settings, None, "")]


def _changes(record: Any, usual: Any, prefix: str) -> list[tuple[str, Any]]:
    """Settings that differ from `usual`, or from the defaults of the class if it is None."""
    found: list[tuple[str, Any]] = []
    for name in fields_of(type(record)):
        value = getattr(record, name)
        default = getattr(usual, name) if usual is not None else default_of(type(record), name)
        if value == default or name == "kind":
            continue
        if not is_record(type(value)):
            found.append((prefix + name, value))
            continue
        of_a_kind = type(value) is type(default)
        inner = _changes(value, default if of_a_kind else None, f"{prefix}{name}.")
        if not of_a_kind and (kind := kind_of(type(value))):
            inner.insert(0, (f"{prefix}{name}.kind", kind))
        found += inner
    return found


def shown(value: Any) -> str:
    """A value as it may be given on the command line.

    >>> shown((0.5, 2.0)), shown(None), shown(True)
    ('0.5,2.0', 'null', 'true')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        parts = [shown(one) for one in value]
        plain = not any(part[:1] in ("[", "{") or "," in part for part in parts)
        return ",".join(parts) if plain and len(parts) > 0 else f"[{', '.join(parts)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {shown(inner)}' for name, inner in value.items())}}}"
    if is_record(type(value)):
        return shown({name: getattr(value, name) for name in fields_of(type(value))})
    return str(value)


def _short(value: Any) -> str:
    text = shown(value)
    if isinstance(value, str) or len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 1]}…"
