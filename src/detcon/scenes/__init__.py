"""Built-in data with exact labels: rendered scenes and composites. No torch."""

from detcon.scenes.compose import Composite, compose_scene
from detcon.scenes.cutouts import Cutouts, open_cutouts, split_backgrounds, split_cutouts
from detcon.scenes.raycast import CLASSES, Scene, render_scene
from detcon.scenes.write import ScenesRecipe, make_scenes

__all__ = [
    "CLASSES",
    "Composite",
    "Cutouts",
    "Scene",
    "ScenesRecipe",
    "compose_scene",
    "make_scenes",
    "open_cutouts",
    "render_scene",
    "split_backgrounds",
    "split_cutouts",
]
