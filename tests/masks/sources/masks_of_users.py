"""What a user might write: functions and classes that find masks."""

import numpy as np

from detcon.masks import Masks


def by_brightness(image, levels=3):
    return image.mean(2).astype(int) * levels // 256


def overlapping(image):
    bright = image.mean(2)
    return np.stack([bright > 0, bright > 400, bright > 100])


def as_masks(image):
    return Masks.from_labels(np.zeros(image.shape[:2], np.int16))


def writes_to_it(image):
    image[:] = 0
    return image[..., 0]


class Levels:
    """Costly to make."""

    num_made = 0

    def __init__(self, levels):
        type(self).num_made += 1
        self.levels = levels

    def __call__(self, image):
        return by_brightness(image, self.levels)


def fails(image):
    raise KeyError("no such weights")


def gives_floats(image):
    return image[..., 0] / 255


def gives_one_mask(image):
    return image[..., 0] > 100


def gives_another_size(image):
    return image[1:, :, 0]


def gives_masks_of_another_size(image):
    return as_masks(image[:, 1:])


def gives_nothing(image):
    pass


not_a_function = 3
