"""Settings of a task of the user's own."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from detcon.config import Recipe


class OwnRecipe(Recipe):
    """Learns and scores by a class of the user's own."""

    usual_stride: ClassVar[None] = None

    kind: Literal["own"] = "own"
    function: str = Field(
        description="package.module:name of a class, or of a function, that makes the task"
    )
    options: dict[str, Any] = Field(default={}, description="its arguments, by name")
