"""What is said of annotations that can't be used."""


class AnnotationError(ValueError):
    """An annotation that is missing, damaged, or can't be the annotation of its photo."""
