"""The transfer tasks by kind, each loaded when it is needed."""

from importlib import import_module

from detcon.downstream.recipe import TaskRecipe
from detcon.downstream.task import Task

TASKS = {
    "segmentation": "segmentation.task:segmentation",
    "detection": "detection.task:Detection",
    "depth": "depth.task:Depth",
    "linear_segmentation": "probes.tasks:linear_segmentation",
    "knn_segmentation": "probes.tasks:knn_segmentation",
    "linear_classification": "probes.tasks:linear_classification",
    "knn_classification": "probes.tasks:knn_classification",
}


def open_task(recipe: TaskRecipe) -> Task:
    """The task that a recipe describes."""
    module, _, make = TASKS[recipe.kind].partition(":")
    return getattr(import_module(f"detcon.downstream.tasks.{module}"), make)(recipe)
