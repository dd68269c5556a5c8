"""Built-in data with exact labels: rendered scenes and composites. No torch."""

from detcon.scenes.raycast import CLASSES, render_scene
from detcon.scenes.write import ScenesRecipe, make_scenes

__all__ = ["CLASSES", "ScenesRecipe", "make_scenes", "render_scene"]
