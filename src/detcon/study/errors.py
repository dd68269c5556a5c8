"""What can be wrong with a study."""


class StudyError(ValueError):
    """A study whose parts don't fit together, or whose results are of another recipe."""
