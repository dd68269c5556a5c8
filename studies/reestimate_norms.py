"""Give a backbone's batch norms the statistics of whole photos, and change nothing else.

    python studies/reestimate_norms.py lite0.safetensors data/camvid/train/images out.safetensors
    detcon transfer camvid_linear data=data/camvid backbone=out.safetensors size=320 \\
      labels=10,50,all seeds=1 out=transfer

What docs/adapting_measured.md says of it was measured so: photos with the longer side at 320
pixels, in a random order, in batches of 16 that are cut to one size; means over all batches.
"""

import argparse

import numpy as np
import torch
from torch import nn

from detcon.models.backbone_file import load_backbone, save_backbone
from detcon.photos import open_photos, resize

SIDE, BATCH, AREA = 320, 16, 3  # cv2.INTER_AREA


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backbone")
    parser.add_argument("photos")
    parser.add_argument("out")
    arguments = parser.parse_args()
    start, photos = load_backbone(arguments.backbone), open_photos(arguments.photos)
    encoder = start.encoder.eval()
    for part in encoder.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.reset_running_stats()
            part.momentum = None  # the mean over batches
            part.train()
    mean, std = (
        torch.tensor(values).view(-1, 1, 1)
        for values in (start.normalisation.mean, start.normalisation.std)
    )
    keys = list(photos)
    np.random.default_rng(0).shuffle(keys)
    for first in range(0, len(keys) - BATCH + 1, BATCH):
        batch = []
        for key in keys[first : first + BATCH]:
            photo = photos.read(key)
            scale = SIDE / max(photo.shape[:2])
            height, width = (round(side * scale) for side in photo.shape[:2])
            pixels = torch.from_numpy(resize(photo, (width, height), AREA)).permute(2, 0, 1)
            batch.append((pixels.float() / 255 - mean) / std)
        height, width = (min(photo.shape[axis] for photo in batch) for axis in (1, 2))
        encoder(torch.stack([photo[:, :height, :width] for photo in batch]))
    save_backbone(arguments.out, encoder, start.recipe, normalisation=start.normalisation)


if __name__ == "__main__":
    main()
