"""Heads: from pooled features to the space in which regions are compared."""

from jaxtyping import Float
from torch import Tensor, nn

from detcon.models.resnet import initialise


class Head(nn.Module):
    """Linear, batch norm, ReLU, linear: the projector and the predictor of BYOL and DetCon.

    The first layer has a bias and the second has none, as in the official code
    (`utils/networks.py`). The norm takes its statistics over all vectors of all regions, copies
    included.
    """

    def __init__(
        self, num_inputs: int, num_hidden: int, num_outputs: int, *, output_norm: bool = False
    ) -> None:
        """Makes the head with fresh weights.

        `output_norm` adds a batch norm at the end, as SimCLR's projector has (BYOL, section 3.3).
        """
        super().__init__()
        self.hidden = nn.Linear(num_inputs, num_hidden)
        self.norm = nn.BatchNorm1d(num_hidden)
        self.relu = nn.ReLU(inplace=True)
        self.output = nn.Linear(num_hidden, num_outputs, bias=False)
        self.output_norm = nn.BatchNorm1d(num_outputs) if output_norm else None
        self.apply(initialise)

    def forward(self, vectors: Float[Tensor, "b r c"]) -> Float[Tensor, "b r d"]:
        rows = self.output(self.relu(self.norm(self.hidden(vectors.flatten(0, 1)))))
        if self.output_norm is not None:
            rows = self.output_norm(rows)
        return rows.unflatten(0, vectors.shape[:2])
