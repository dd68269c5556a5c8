"""Studies: grids of pretrainings and transfers, carried out, kept, and reported claim by claim."""

from detcon.study.command import run_study
from detcon.study.recipe import StudyRecipe

__all__ = ["StudyRecipe", "run_study"]
