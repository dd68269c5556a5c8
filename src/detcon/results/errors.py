"""What can be wrong with a run folder."""


class RunError(ValueError):
    """A run folder, or a file in one, that cannot be read or written to."""
