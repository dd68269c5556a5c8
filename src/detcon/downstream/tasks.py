"""The transfer tasks by name, each loaded when it is asked for."""

from importlib import import_module

from detcon.downstream.task import Task

TASKS = {
    "segmentation": "segmentation.task:Segmentation",
    "linear_segmentation": "probes.tasks:LinearSegmentation",
    "depth": "depth.task:Depth",
}


def open_task(name: str) -> Task:
    """The task of that name; one of `TASKS`."""
    module, _, kind = TASKS[name].partition(":")
    return getattr(import_module(f"detcon.downstream.{module}"), kind)()
