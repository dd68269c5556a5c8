# %% [markdown]
# # Adapt weights to your photos
#
# You have weights that know something, a folder of photos, and a few labels. Does it help to go on with pretraining on your photos? `detcon.adapt` answers with a measurement.
#
# This notebook runs as it stands, on pictures that it renders. For your own, give your folders in place of `photos` and `labelled`, and `weights="torchvision:resnet50"`.
#
# ## Photos and labels
#
# A labelled folder has `train/` and `val/`, each with `images/` and `labels/`. The photos to adapt to need no labels; here they are those of `train/`.

# %%
import detcon

labelled = detcon.make_scenes(out="labelled", num=32, size=96, workers=1)
photos = labelled / "train" / "images"

# %% [markdown]
# ## Weights to start from
#
# Stand-ins for weights that you have: SimCLR on other pictures, for a minute at most. The network is half as wide as a ResNet-18.

# %%
others = detcon.make_scenes(out="others", num=32, size=96, seed=1, workers=1)
small = {"batch_size": 16, "workers": 0, "views.size": 64}
weights = detcon.pretrain(
    "simclr_small", images=others / "train" / "images", out="weights", steps=8, **small
)

# %% [markdown]
# ## Adapt
#
# One call: masks of the photos, pretraining with DetCon-S from the weights, and transfer of the weights before and after, with the same labelled photos and paired seeds.
# The sizes are for two minutes of a laptop, not for a result: 20 updates teach a network next to nothing.

# %%
page = detcon.adapt(
    images=photos,
    weights=weights,
    data=labelled,
    out="adapted",
    labels=20,
    seeds=3,
    masks="felzenszwalb_small",
    pretrain={**small, "steps": 20, "optimizer.lr": 1e-3, "label_free": None},
    transfer={"recipe": "folder_linear", "size": 96},
)

# %% [markdown]
# The answer stands below the table. Where the interval of the difference holds 0, it says that it can't be told: that is the honest outcome of most short runs, and of this one.
# `adapted/report.html` has it on its first screen, with all figures below.
#
# ## Look
#
# Features of the weights and of the adapted ones, as colours. What has one colour looks alike to the network.

# %%
from IPython.display import Image

from detcon.report.sheet import show

sheet = show(
    images=photos,
    masks="adapted/masks",
    backbone=[weights, "adapted/adapted/backbone.safetensors"],
    out="sheet.jpg",
    num=2,
    views={"size": 64},
)
Image(sheet)

# %% [markdown]
# ## And then
#
# - `adapted/adapted/backbone.safetensors` is the network: [use it elsewhere](../backbones.md#out).
# - The finished models lie in `adapted/transfer`: [predict](../predict.md) with them.
# - [What else can be set](../adapting.md), such as rates that don't spoil what is good.
