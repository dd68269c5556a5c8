"""Pretraining: from a recipe to a run folder with a backbone in it."""

from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.training import build_method, open_views, pretrain

__all__ = ["PretrainRecipe", "build_method", "open_views", "pretrain"]
