"""The whole way on built-in data: scenes, masks, two pretrainings, transfer, a page."""

from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from rich.console import Console

from detcon.config import Recipe, load_recipe
from detcon.downstream.transfer import transfer
from detcon.masks.store.fill import make_masks
from detcon.pretraining.training import pretrain
from detcon.report.page import make_report
from detcon.scenes.write import make_scenes
from detcon.train.environment import has_bfloat16

METHODS = ("detcon_s", "simclr")


class DemoRecipe(Recipe):
    """Built-in scenes become masks, backbones, a table of transfer, and a page that shows it."""

    out: str = Field(default="demo", description="folder; given again, it goes on there")
    quick: bool = Field(default=False, description="two minutes instead of twelve; learns little")
    seed: int = Field(default=0, ge=0, description="of scenes, pretraining and transfer")


def demo(recipe: str | Path | None = None, /, **overrides: Any) -> Path:
    """Walks the main job from end to end, every step by the function a user would call.

    Args:
        recipe: A YAML file, or None for the defaults.
        **overrides: The settings of `DemoRecipe`.

    Returns:
        The page.
    """
    settings = load_recipe(DemoRecipe, recipe, overrides)
    out, quick = Path(settings.out), settings.quick
    scenes, masks, runs = out / "scenes", out / "masks", out / "runs"
    say = Console(stderr=True, highlight=False).print
    say("1/5  scenes: pictures with exact labels, rendered here")
    make_scenes(out=scenes, num=240 if quick else 1200, size=96, seed=settings.seed)
    images = scenes / "train" / "images"
    say("2/5  masks: Felzenszwalb-Huttenlocher, from the pixels alone")
    make_masks("recipes/masks/felzenszwalb_small.yaml", images=images, out=masks)
    for method in METHODS:
        say(f"3/5  pretraining: {method}, the same pictures and steps for each method")
        _pretrain(method, images, masks, runs, settings)
    for backbone in (*METHODS, "random"):
        say(f"4/5  transfer: few-label segmentation from {backbone}")
        _transfer(backbone, scenes, runs, settings)
    say("5/5  the page")
    return make_report([runs], out=out / "report.html", title="DetCon on built-in scenes")


def _pretrain(method: str, images: Path, masks: Path, runs: Path, settings: DemoRecipe) -> None:
    pretrain(
        f"recipes/pretrain/demo_{method}.yaml",
        images=images,
        masks=masks,
        out=runs / method,
        seed=settings.seed,
        loop=_loop(),
        **({"steps": 60, "batch_size": 64} if settings.quick else {}),
    )


def _transfer(backbone: str, scenes: Path, runs: Path, settings: DemoRecipe) -> None:
    trained = backbone != "random"
    source = runs / backbone / "backbone.safetensors" if trained else "random"
    tasks: dict[str, dict[str, Any]] = {
        "linear": {},
        "fcn": {"task.steps": 40} if settings.quick else {},
    }
    for task, shorter in tasks.items():
        transfer(
            f"recipes/transfer/demo_{task}.yaml",
            data=scenes,
            backbone=source,
            out=runs / f"{backbone}-{task}",
            seed=settings.seed,
            seeds=1 if settings.quick else 3,
            loop=_loop(),
            **shorter,
        )


def _loop() -> dict[str, str]:
    """In bfloat16, but where that would be emulated."""
    fast = torch.cuda.is_available() or has_bfloat16(torch.device("cpu"))
    return {"precision": "bf16" if fast else "32"}
