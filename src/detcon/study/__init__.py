"""Studies: grids of pretrainings and transfers, run and reported claim by claim."""


class StudyError(ValueError):
    """A study whose parts don't fit together, or whose results are of another recipe."""
