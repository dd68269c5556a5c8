"""The TFRecord files of the official script: photos with Felzenszwalb-Huttenlocher masks."""

from detcon.formats.format import Format
from detcon.formats.tfrecord.records import open_fh_records

FORMAT = Format(segments=open_fh_records, options=("which", "ignore"))
