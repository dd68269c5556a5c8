"""The demo: scenes, masks, two pretrainings, transfer and a report."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import Field

import detcon
from detcon.config import Recipe, fixed_part, load_recipe
from detcon.notes import say
from detcon.report.output import check_output

METHODS = ("detcon_s", "simclr")


class DemoRecipe(Recipe):
    """Settings of the demo."""

    out: str = Field(default="demo", description="folder; given again, the demo continues there")
    quick: bool = Field(default=False, description="smaller, in a minute; learns little")
    seed: int = Field(default=0, ge=0, description="seed of scenes, pretraining and transfer")


def demo(recipe: str | Path | DemoRecipe | None = None, /, **overrides: Any) -> Path:
    """Runs the demo: each step calls the function that a user would call.

    Args:
        recipe: A recipe, its YAML file, or None for the defaults.
        **overrides: The settings of `DemoRecipe`.

    Returns:
        The page.
    """
    from detcon.downstream.recipe import GridRecipe  # half a second, which --help does without
    from detcon.masks.recipe import MasksRecipe
    from detcon.pretraining.recipe import PretrainRecipe
    from detcon.scenes.write import ScenesRecipe

    settings = load_recipe(DemoRecipe, recipe, overrides)
    out, quick, seed = Path(settings.out), settings.quick, settings.seed
    scenes, masks, runs = out / "scenes", out / "masks", out / "runs"
    check_output(out / "report.html", suffixes=(".html",))
    say("1/5  scenes: pictures with exact labels, rendered here")
    with _fixed(ScenesRecipe, "scenes"):
        detcon.make_scenes(out=scenes, num=96 if quick else 1200, size=128, seed=seed)
    images = scenes / "train" / "images"
    say("2/5  masks: Felzenszwalb-Huttenlocher, from the pixels alone")
    finer = {"generator.scale": 200, "generator.min_size": 100}
    with _fixed(MasksRecipe, "masks"):
        detcon.make_masks("felzenszwalb_small", images=images, out=masks, **finer)
    for method in METHODS:
        say(f"3/5  pretraining: {method}, the same pictures and steps for each method")
        needed = None if method == "simclr" else masks  # it takes whole photos
        given = {"images": images, "masks": needed, "out": runs / method, "seed": seed}
        shorter = {"steps": 24, "batch_size": 32} if quick else {}
        with _fixed(PretrainRecipe, "pretrain"):
            detcon.pretrain(f"demo_{method}", **given, **shorter)
    for name in (*METHODS, "random"):
        say(f"4/5  transfer: few-label segmentation from {name}")
        backbone = name if name == "random" else runs / name / "backbone.safetensors"
        given = {"data": scenes, "backbone": backbone, "seed": seed}
        given |= {"seeds": 1 if quick else 3}
        shorter = {"task.steps": 24} if quick else {}
        with _fixed(GridRecipe, "transfer"):
            detcon.transfer("demo_linear", out=runs / f"{name}-linear", **given)
            detcon.transfer("demo_fcn", out=runs / f"{name}-fcn", **given, **shorter)
    say("5/5  the page")
    return detcon.make_report([runs], out=out / "report.html", title="DetCon on built-in scenes")


def _fixed(model: type[Recipe], verb: str) -> AbstractContextManager[None]:
    """Within, advice on settings that a demo doesn't have says which command has them."""
    way_out = f"the demo has no such setting: it is one of 'detcon {verb}'"
    return fixed_part(model, DemoRecipe.model_fields, way_out)
