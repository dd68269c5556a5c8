"""Errors of data sets: what can't be read, and what can't be written."""


class AnnotationError(ValueError):
    """An annotation that is missing, damaged, or doesn't fit its photo."""


class NotAnnotated(AnnotationError):
    """A photo without any annotation."""


class FormatError(ValueError):
    """Something that a format can't hold, such as more classes than it has numbers for."""
