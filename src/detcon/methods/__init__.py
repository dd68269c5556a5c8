"""Methods: from a batch to a loss. Methods of one class, which differ in their parts.

| method      | regions | target | predictor | objective      |
|-------------|---------|--------|-----------|----------------|
| DetCon-S    | 16      | shared | -         | contrast       |
| DetCon-B    | 16      | EMA    | MLP       | contrast       |
| SimCLR      | 1       | shared | -         | contrast       |
| BYOL        | 1       | EMA    | MLP       | regression     |
| region BYOL | 16      | EMA    | MLP       | regression     |
| supervised  | 1       | -      | -         | classification |
"""

from detcon.methods.compositions import byol, detcon_b, detcon_s, simclr, supervised
from detcon.methods.method import Embeddings, Method, Tower
from detcon.methods.objectives import Contrast, CrossEntropy, Objective, Regression

__all__ = [
    "Contrast", "CrossEntropy", "Embeddings", "Method", "Objective", "Regression", "Tower",
    "byol", "detcon_b", "detcon_s", "simclr", "supervised",
]  # fmt: skip
