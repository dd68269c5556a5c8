# %% [markdown]
# # What are good masks?
#
# DetCon learns that each mask is itself in both views. So masks should follow objects, or parts of them, and a photo should have a good number of them.
# Three steps before any pretraining is paid for: score, look, choose.
#
# ## Photos, and a few annotations
#
# Rendered pictures here. Of your own photos a few dozen with annotations are enough, of any classes; the other photos need none.

# %%
import json

import detcon
from detcon.report.sheet import show

scenes = detcon.make_scenes(out="scenes", num=24, size=128, workers=1)
photos = scenes / "train" / "images"

# %% [markdown]
# ## Masks of several sources
#
# A recipe each, in one line. `felzenszwalb` is the paper's; its scale decides how large the masks are.

# %%
sources = {
    "grid": ("grid", {}),
    "slic": ("slic", {}),
    "felzenszwalb-fine": ("felzenszwalb", {"generator.scale": 100, "generator.min_size": 50}),
    "felzenszwalb-coarse": ("felzenszwalb", {"generator.scale": 600, "generator.min_size": 300}),
    "mcg": ("mcg", {}),
}
for name, (recipe, settings) in sources.items():
    detcon.make_masks(recipe, images=photos, out=name, workers=1, **settings)

# %% [markdown]
# ## Score
#
# *Best overlap*: of each annotated region the intersection over union with the best mask, on average. *Recall*: the share of regions with a mask that overlaps by half. *Boundary F*: how well edges are found.

# %%
page = detcon.score(
    masks=list(sources), truth=scenes / "train" / "instances", format="png", out="score.html"
)
print(f"{'':20} masks  best overlap  recall  boundary F")
for store in json.loads(page.with_suffix(".json").read_text())["stores"]:
    print(
        f"{store['store']:20} {store['masks']:5.1f}  {store['average_best_overlap']:12.3f}"
        f"  {store['recall_50']:6.2f}  {store['boundary_f']:10.2f}"
    )

# %% [markdown]
# Only rows with similar numbers of masks compare fairly: with more masks, one of them fits by chance.
#
# ## Look
#
# No figure replaces a look. Do masks run across the edges of objects? Does one swallow the whole floor? Is a photo cut to crumbs?

# %%
from IPython.display import Image

some = ["felzenszwalb-fine", "felzenszwalb-coarse", "mcg"]
Image(show(images=photos, masks=some, out="sheet.jpg", num=2, views={"size": 64}))

# %% [markdown]
# The two views on the right are what the network gets: the numbered regions are in both. A mask that is smaller than a cell of the network's grid has no place in it.
#
# ## Choose
#
# - Begin with `felzenszwalb`, with a scale at which objects are cut into a few parts: some 10 to 30 masks a photo.
# - **Overlap alone doesn't say which masks teach best**: how many there are seems to count as well ([what was measured](../claims.md)). So compare sources with about equally many.
# - Where people have marked objects, those masks can be [taken as they are](../data.md#as-masks), or a [learned ranker](../masks.md#mcg-which-kind-whose-contours-which-scores) can choose among MCG's.
# - If two sources are close, the cheaper one is right: the [studies](../studies.md) compare sources by what they are for, the transfer.
