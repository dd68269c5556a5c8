"""Errors of photos."""


class PhotosError(ValueError):
    """A collection of photos that can't be opened."""


class UnreadablePhoto(ValueError):
    """A photo that can't be read or decoded; the message names it."""


class TooManyUnreadable(ValueError):
    """More unreadable photos than a run may skip."""
