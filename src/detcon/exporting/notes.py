"""What a backbone file says of its making, without what concerns nobody else."""

from typing import Any

_PRIVATE = ("images", "masks", "data", "from")
"""Notes that are paths of the machine: of no use to others, and not theirs to read."""


def public_notes(notes: dict[str, Any]) -> dict[str, Any]:
    """The notes without paths, at any depth."""
    return {
        name: public_notes(value) if isinstance(value, dict) else value
        for name, value in notes.items()
        if name not in _PRIVATE
    }
