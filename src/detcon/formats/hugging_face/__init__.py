"""Hugging Face data sets in a folder: Parquet or Arrow shards with a column of images.

    DIR/data/train-00000-of-00002.parquet   DIR/data/validation-...     from the hub
    DIR/train/data-00000-of-00001.arrow     DIR/validation/...          by `save_to_disk`

A column of classes serves classification; a second column of images (`mask`, `annotation`,
`label`) is a map of class ids, 255 void; `objects` has `bbox` and `category`. Photos are read in
place: a row group of a Parquet file, or a memory-mapped row of an Arrow file, at a time. Other
columns aren't read. huggingface.co/docs/datasets, "Dataset features".
"""

from detcon.formats.format import Format
from detcon.formats.hugging_face.reader import (
    open_classes,
    open_label_maps,
    open_objects,
    open_segments,
)

FORMAT = Format(
    label_maps=open_label_maps,
    objects=open_objects,
    segments=open_segments,
    classes=open_classes,
    options=("split",),
    draws_split=True,
)
