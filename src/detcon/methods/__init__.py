"""Methods: from a batch to a loss. Methods of one class, which differ in their parts.

| method              | regions | target         | predictor | objective              |
|---------------------|---------|----------------|-----------|------------------------|
| DetCon-S            | 16      | shared         | -         | contrast               |
| DetCon-B            | 16      | EMA            | MLP       | contrast               |
| SimCLR              | 1       | shared         | -         | contrast               |
| BYOL                | 1       | EMA            | MLP       | regression             |
| region BYOL         | 16      | EMA            | MLP       | regression             |
| region distillation | 16      | frozen teacher | MLP       | contrast or regression |
| supervised          | 1       | -              | -         | classification         |
"""
