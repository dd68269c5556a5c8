"""Data sets in the formats they come in: one file or folder for each, readers and writers.

`registry` opens a data set by the name of its format; `format` says what a format can give.
"""
