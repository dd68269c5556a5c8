"""The transfer tasks by name, each loaded when it is asked for."""

from importlib import import_module

from detcon.downstream.task import Task

TASKS = {
    "segmentation": "segmentation.task:Segmentation",
    "detection": "detection.task:Detection",
    "depth": "depth.task:Depth",
    "linear_segmentation": "probes.tasks:linear_segmentation",
    "knn_segmentation": "probes.tasks:knn_segmentation",
    "linear_classification": "probes.tasks:linear_classification",
    "knn_classification": "probes.tasks:knn_classification",
}


def open_task(name: str) -> Task:
    """The task of that name; one of `TASKS`."""
    module, _, make = TASKS[name].partition(":")
    return getattr(import_module(f"detcon.downstream.tasks.{module}"), make)()
