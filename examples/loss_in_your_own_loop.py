"""Use the loss alone, in a training loop of your own: ten steps of DetCon-S on random pixels.

python examples/loss_in_your_own_loop.py
"""

import numpy as np
import torch
from torchvision.models import resnet18

from detcon import contrastive_detection, pool_regions, sample_regions, shrink_labels

torch.manual_seed(0)
rng = np.random.default_rng(0)
encoder = torch.nn.Sequential(*list(resnet18().children())[:-2])  # [b 3 y x] -> [b 512 h w]
projector = torch.nn.Linear(512, 64)
optimizer = torch.optim.SGD([*encoder.parameters(), *projector.parameters()], lr=0.05)


def regions_of(labels: np.ndarray, num: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Sampled ids [r], and which of the 4 x 4 cells belong to each [r h w]."""
    cells = shrink_labels(labels, (4, 4))
    ids = sample_regions(np.unique(cells), num, rng)
    return torch.from_numpy(ids), torch.from_numpy(ids[:, None, None] == cells).float()


quadrants = np.arange(128)[:, None] // 64 * 2 + np.arange(128)[None] // 64  # four masks
photos = torch.rand(4, 3, 128, 128)
for step in range(10):
    views = [photos + 0.1 * torch.randn_like(photos) for _ in range(2)]
    drawn = [[regions_of(quadrants) for _ in photos] for _ in views]
    ids = [torch.stack([ids for ids, _ in view]) for view in drawn]  # [b r]
    weights = [torch.stack([w for _, w in view]) for view in drawn]  # [b r h w]
    one, two = (
        projector(pool_regions(encoder(view), weight))
        for view, weight in zip(views, weights, strict=True)
    )
    loss = contrastive_detection(one, two, one, ids[0], ids[1])
    loss = loss + contrastive_detection(two, one, two, ids[1], ids[0])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: loss {loss.item():.3f}")
