# %% [markdown]
# # The loss, and the method, in your own loop
#
# The parts of DetCon are plain functions of tensors. This notebook takes them one by one: masks to regions, features to vectors of regions, vectors to a loss; then a whole method, and what it has learnt.
#
# ## Regions
#
# A view has a map of mask ids, `[y x]`. The network's features have a coarser grid: `shrink_labels` says which mask each cell belongs to, `sample_regions` draws masks (with repeats, where there are few).

# %%
import numpy as np
import torch

import detcon
from detcon import contrastive_detection, pool_regions, sample_regions, shrink_labels

torch.manual_seed(0)
rng = np.random.default_rng(0)
labels = np.zeros((64, 64), int)
labels[16:48, 16:48] = 1  # a square
labels[:, 48:] = 2  # a wall
cells = shrink_labels(labels, (4, 4))
ids = sample_regions(np.unique(cells), 4, rng)
weights = torch.from_numpy(ids[:, None, None] == cells).float()  # [r h w]
print(cells)
print("sampled masks:", ids)

# %% [markdown]
# ## Vectors of regions
#
# `pool_regions` averages the features of each region's cells: `[b d h w]` and `[b r h w]` to `[b r d]`.

# %%
features = torch.randn(1, 8, 4, 4)
pooled = pool_regions(features, weights[None])
print(tuple(pooled.shape))

# %% [markdown]
# ## The loss
#
# Each region of view 1 is to find itself among all regions of both views, of all photos: a cross-entropy of cosines. Regions of the same mask are positives; everything else is a negative.

# %%
one, two = torch.randn(2, 3, 4, 8)  # two views of 3 photos, 4 regions each, 8 dimensions
of = torch.tensor([[0, 1, 2, 3]] * 3)  # which mask each region is
print("strangers:", contrastive_detection(one, two, one, of, of).item())
print("the same: ", contrastive_detection(one, one, one, of, of).item())

# %% [markdown]
# The gradient is that of the official code, and the memory doesn't grow with the square of the batch ([measured](../performance.md)). So much for the loss in a loop that has its own data;
# [a whole loop](../../examples/loss_in_your_own_loop.py) is ten lines more.
#
# ## A method, from photos to weights
#
# `PhotoViews` and `batches` cut views and sample regions as `detcon pretrain` does. `detcon_s` is the method with its heads; any `Method` of [your own parts](../own.md#a-method) goes the same way.

# %%
from detcon.data.dataset import PhotoViews
from detcon.data.loader import batches
from detcon.data.recipe import ViewsRecipe
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.photos import open_photos

torch.manual_seed(0)
scenes = detcon.make_scenes(out="scenes", num=32, size=96, workers=1)
images = scenes / "train" / "images"
masks = detcon.make_masks("felzenszwalb_small", images=images, out="masks", workers=1)
recipe = EncoderRecipe(name="resnet18", width=0.25, stride=16)
method = detcon.detcon_s(build_encoder(recipe), hidden=256, outputs=64)
optimizer = torch.optim.AdamW(method.parameters(), lr=2e-3)
views = PhotoViews(
    open_photos(images), detcon.MaskStore(masks), ViewsRecipe(size=64), grid=(4, 4), seed=0
)
losses = []
for batch in batches(views, batch_size=16, seed=0, num_steps=20):
    loss, _ = method(batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

# %%
from matplotlib import pyplot as plt

figure, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
_ = axes.plot(losses)
axes.set(xlabel="update", ylabel="loss")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## What it has learnt
#
# The weights go into a file like any other, and `transfer` says what they are worth beside fresh ones: a classifier of pixels by their nearest neighbours, without any training.

# %%
from detcon.models.backbone_file import save_backbone

save_backbone("mine.safetensors", method.encoder, recipe, normalisation=method.normalisation)
results = detcon.transfer(
    "folder_knn", data=scenes, backbone=["mine.safetensors", "random"], out="transfer", size=96
)
for result in results:
    print(f"{result.backbone:20} {result.metric} {result.value:.1f} {result.unit}")

# %% [markdown]
# Twenty updates on 32 pictures are no pretraining; the same loop with your photos and hours is.
