"""Multiscale combinatorial grouping, stage by stage; `generator` combines the stages."""
