"""What an import is told."""

from pydantic import Field

from detcon.config import Recipe
from detcon.models.normalisation import Normalisation


class ImportRecipe(Recipe):
    """DeepMind's released DetCon weights (.npy) become a backbone file.

    Read are the tensors of the ResNet; projector, predictor and classifier are left. Nothing in the
    file is run.
    """

    weights: str = Field(description="the .npy file; 'detcon import FILE' is enough")
    out: str = Field(description="the backbone file, .safetensors; what is there is left alone")
    same_padding: bool = Field(
        default=True,
        description="pad as in training (TensorFlow's SAME); false: evenly, as torchvision, which "
        "differs unless sides are 32 k + 1 pixels",
    )
    normalisation: Normalisation = Field(
        default=Normalisation(), description="what photos in [0, 1] are to be normalised by"
    )
