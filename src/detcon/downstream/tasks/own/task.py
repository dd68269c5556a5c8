"""A task of the user's own, made from its name."""

from detcon.config import find_named
from detcon.downstream.task import Task
from detcon.downstream.tasks.own.recipe import OwnRecipe

PARTS = [name for name in vars(Task) if not name.startswith("_")]


def own(recipe: OwnRecipe) -> Task:
    """Calls the user's class or function.

    Raises:
        ValueError: It isn't there, doesn't take these options, or makes no task.
    """
    name = f"task.function={recipe.function}"
    try:
        made = find_named(recipe.function, "task.function")(**recipe.options)
    except TypeError as error:
        raise ValueError(f"{name} can't be called with {recipe.options}: {error}") from error
    if missing := [part for part in PARTS if not hasattr(made, part)]:
        raise ValueError(
            f"{name} makes a {type(made).__name__}, which lacks {', '.join(missing)}; a task has "
            f"all parts of detcon.downstream.task.Task"
        )
    return made
