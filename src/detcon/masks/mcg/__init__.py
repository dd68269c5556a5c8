"""Multiscale combinatorial grouping, stage by stage; `generator` is the whole."""
