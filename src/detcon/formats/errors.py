"""What is said of annotations that can't be used."""


class AnnotationError(ValueError):
    """An annotation that is missing, damaged, or can't be the annotation of its photo."""


class NotAnnotated(AnnotationError):
    """There is no annotation of a photo at all."""
