"""`detcon masks`: mask stores from any source, those that run a network included.

Such a source runs in this process: its network is opened once, on a GPU if there is one, and
workers are threads that pass it one photo at a time. So bytes of a store don't depend on workers,
shares and interruptions, as those of other sources don't; another kind of device or another
version of torch may round otherwise. For several GPUs give each a share of the work:
`CUDA_VISIBLE_DEVICES=0 detcon masks ... shard=1/4`.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from detcon.config import load_recipe
from detcon.discover.clusters import Clusters
from detcon.discover.segment_anything import SegmentAnything
from detcon.masks import Felzenszwalb
from detcon.masks.fill import BY_KIND, AnyGenerator, MasksRecipe, fill_store


class DiscoverRecipe(MasksRecipe):
    """How to make the masks of a collection of photos."""

    generator: Annotated[AnyGenerator | Clusters | SegmentAnything, *BY_KIND] = Field(
        default=Felzenszwalb(), description="where the masks come from"
    )


def make_masks(recipe: str | Path | MasksRecipe | None = None, /, **overrides: Any) -> Path:
    """Makes the masks of all photos of a collection, once, into a store.

    Like `detcon.masks.fill.make_masks`, which knows all sources but `Clusters` and
    `SegmentAnything` and never loads torch.

    Args:
        recipe: A recipe, or the path of one, or None for the defaults.
        **overrides: Values to lay over it, as on the command line.

    Returns:
        The store's folder, for `MaskStore`.

    Raises:
        RecipeError: If the recipe is wrong.
        PhotosError: If there are no photos.
        StoreError: If `out` holds something else: other masks, other photos, no store.
        ValueError: A network that can't be opened, or a photo that the source can't do.
    """
    if isinstance(recipe, MasksRecipe):
        recipe, overrides = None, {**recipe.model_dump(mode="json"), **overrides}
    settings = load_recipe(DiscoverRecipe, recipe, overrides)
    if not isinstance(settings.generator, Clusters | SegmentAnything):
        return fill_store(settings)
    if settings.engine == "ray":
        raise ValueError(
            "a source that runs a network works on this machine alone; leave engine= out, and "
            "give each machine a share of the photos, as in shard=1/4"
        )
    from detcon.discover.networks import one_thread

    generator = settings.generator.identified()
    with one_thread():
        return fill_store(settings.model_copy(update={"generator": generator}), threads=True)
