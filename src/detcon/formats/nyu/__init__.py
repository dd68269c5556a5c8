"""NYU-Depth v2, read in its three forms; scenes in its layout."""

from detcon.formats.format import Format
from detcon.formats.nyu.layout import NyuLayout
from detcon.formats.nyu.reader import open_nyu

FORMAT = Format(depth=open_nyu, takes_unit=True, layout=NyuLayout)
