"""How a loop is run, whatever it trains."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from detcon.config import Recipe


def _as_words(value: Any) -> Any:
    """On a command line, and in YAML without quotes, 32 is a number."""
    return str(value) if isinstance(value, int) else value


class LoopRecipe(Recipe):
    """How steps are computed, watched and saved."""

    precision: Annotated[Literal["bf16", "32"], BeforeValidator(_as_words)] = Field(
        default="bf16",
        description="bf16 autocast, or 32-bit throughout (faster on CPUs without bf16)",
    )
    channels_last: bool = Field(default=True, description="memory format of convolutions")
    compile: bool = Field(default=False, description="torch.compile: minutes first, then faster")
    recompute: bool = Field(
        default=False, description="activation checkpointing: less memory, a third more time"
    )
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="device")
    log_every: int = Field(default=10, ge=1, description="steps between logs")
    checkpoint_every: int | None = Field(default=500, ge=1, description="steps between checkpoints")
    checkpoint_minutes: float | None = Field(
        default=10, gt=0, description="or minutes, what comes first"
    )
    keep: int = Field(default=1, ge=1, description="checkpoints to keep, the last among them")
    wandb: str | None = Field(
        default=None, description="project of Weights & Biases to log to as well; null: none"
    )
