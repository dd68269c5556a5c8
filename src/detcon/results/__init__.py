"""Reads and writes the files in run folders; imports no torch."""


class RunError(ValueError):
    """A run folder, or a file in one, that cannot be read or written to."""
