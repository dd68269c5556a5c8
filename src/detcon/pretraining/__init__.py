"""Pretraining: from a recipe to a run folder with a backbone in it."""
