"""Settings of an import."""

from pydantic import Field

from detcon.config import Recipe
from detcon.models.recipe import Normalisation


class ImportRecipe(Recipe):
    """Turns DeepMind's released DetCon weights (.npy) into a backbone file.

    Only the tensors of the ResNet are read: no projector, predictor or classifier. No code in the
    file is run.
    """

    weights: str = Field(description="the .npy file, also without 'weights=': detcon import FILE")
    out: str = Field(
        description="the backbone file, .safetensors; an existing file is not replaced"
    )
    same_padding: bool = Field(
        default=True,
        description="pad as in training (TensorFlow's SAME); false: on all sides, as torchvision, "
        "which gives other features unless sides are 32 k + 1 pixels",
    )
    normalisation: Normalisation = Field(
        default=Normalisation(), description="mean and standard deviation for photos in [0, 1]"
    )
