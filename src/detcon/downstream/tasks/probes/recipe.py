"""Settings of the probes: tasks that leave the encoder as it is."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from detcon.config import Recipe
from detcon.downstream.tasks.settings import Count, Ignore, NumClasses, Side

Penalty = Annotated[
    float, Field(ge=0, description="L2 penalty on the weights of standardised features")
]
Iterations = Annotated[int, Field(ge=1, description="of L-BFGS, at most")]
Neighbours = Annotated[
    int, Field(ge=1, description="neighbours that vote; all, if there are fewer")
]
Temperature = Annotated[
    float, Field(gt=0, description="a neighbour's weight is exp(cosine / temperature)")
]


class CentreRecipe(Recipe):
    """The part of a photo that a classifier sees; one size for all, so that they make batches."""

    shorter: Side = Field(default=256, description="photos are resized to this shorter side")
    side: Side = Field(default=224, description="of the square that is cut from the middle")

    @model_validator(mode="after")
    def _fits(self) -> "CentreRecipe":
        if self.side > self.shorter:
            raise ValueError(
                f"centre.side={self.side} doesn't fit into centre.shorter={self.shorter}; choose "
                f"a smaller side"
            )
        return self


Centre = Annotated[CentreRecipe, Field(description="the part of a photo that is looked at")]


class LinearSegmentationRecipe(Recipe):
    """Classifies each pixel by a linear layer on frozen features."""

    kind: Literal["linear_segmentation"] = "linear_segmentation"
    ignore: Ignore = None
    num_classes: NumClasses = None
    weight_decay: Penalty = 1e-4
    iterations: Iterations = 200
    fineness: Count = Field(
        default=2, description="labels of pixels are learnt at this multiple of the grid"
    )


class KnnSegmentationRecipe(Recipe):
    """Classifies each pixel by the training cells whose frozen features are nearest."""

    kind: Literal["knn_segmentation"] = "knn_segmentation"
    ignore: Ignore = None
    num_classes: NumClasses = None
    k: Neighbours = 20
    temperature: Temperature = 0.07
    bank: Count = Field(
        default=65_536, description="cells of training photos that are kept, drawn at random"
    )


class LinearClassificationRecipe(Recipe):
    """Classifies photos by a linear layer on frozen, pooled features."""

    kind: Literal["linear_classification"] = "linear_classification"
    centre: Centre = CentreRecipe()
    weight_decay: Penalty = 1e-4
    iterations: Iterations = 200


class KnnClassificationRecipe(Recipe):
    """Classifies photos by the training photos whose frozen, pooled features are nearest."""

    kind: Literal["knn_classification"] = "knn_classification"
    centre: Centre = CentreRecipe()
    k: Neighbours = 20
    temperature: Temperature = 0.07


ProbeRecipe = (
    LinearSegmentationRecipe
    | KnnSegmentationRecipe
    | LinearClassificationRecipe
    | KnnClassificationRecipe
)
