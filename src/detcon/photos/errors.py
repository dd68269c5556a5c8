"""What is said of photos that can't be had."""


class PhotosError(ValueError):
    """A collection of photos that can't be opened."""


class UnreadablePhoto(ValueError):
    """A photo that can't be decoded; the message names it."""


class TooManyUnreadable(ValueError):
    """More photos can't be decoded than a run may pass over."""
