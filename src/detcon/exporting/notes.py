"""The notes of a backbone file that may be published."""

from typing import Any

_PRIVATE = ("images", "masks", "data", "from")
"""Notes with paths of this machine, which are private."""


def public_notes(notes: dict[str, Any]) -> dict[str, Any]:
    """The notes without paths, at all levels."""
    return {
        name: public_notes(value) if isinstance(value, dict) else value
        for name, value in notes.items()
        if name not in _PRIVATE
    }
