"""Tests for detcon.palette."""

import numpy as np
from skimage.color import rgb2lab

from detcon.palette import OKABE_ITO, class_colours, rgb


def test_classes_can_be_told_apart():
    """A difference of 2.3 in CIELAB is just seen; the first seven are 26 apart themselves."""
    colours = class_colours()
    assert colours[:7].tolist() == [list(rgb(colour)) for colour in OKABE_ITO.values()]
    assert colours[255].tolist() == [0, 0, 0], "void"
    lab = rgb2lab(colours / 255)
    apart = np.linalg.norm(lab[:, None] - lab, axis=2) + 999 * np.eye(256)
    assert apart[:21, :21].min() > 25 and apart[:150, :150].min() > 15 and apart.min() > 10
    assert apart[255].min() > 14, "black is void alone"
