"""Multiscale combinatorial grouping, stage by stage; `grouping` runs the stages."""
