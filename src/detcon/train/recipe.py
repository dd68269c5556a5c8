"""How a loop is run, whatever it trains."""

from typing import Literal

from pydantic import Field

from detcon.config import Recipe


class LoopRecipe(Recipe):
    """How steps are computed, watched and saved."""

    precision: Literal["bf16", "32"] = Field(
        "bf16", description="bf16 autocast, or 32-bit throughout (faster on CPUs without bf16)"
    )
    channels_last: bool = Field(True, description="memory format of convolutions")
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="device")
    log_every: int = Field(10, ge=1, description="steps between logs")
    checkpoint_every: int | None = Field(500, ge=1, description="steps between checkpoints")
    checkpoint_minutes: float | None = Field(10, gt=0, description="or minutes, what comes first")
