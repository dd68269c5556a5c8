"""Sources of masks; networks and kernels are loaded with the first photo.

A source is a `detcon.masks.MaskGenerator`: a frozen dataclass of settings that is called with a
photo. `AnySource` is what recipes accept; the field `kind` tells the sources apart.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field

from detcon.masks.sources.annotations import FromAnnotations
from detcon.masks.sources.clusters import Clusters
from detcon.masks.sources.displaced import Displaced
from detcon.masks.sources.from_callable import FromCallable, by_name
from detcon.masks.sources.grid import Grid, WholeImage
from detcon.masks.sources.mcg.generator import MCG, MCGFull
from detcon.masks.sources.segment_anything import SegmentAnything
from detcon.masks.sources.segments import Felzenszwalb, Slic

NetworkSource = Clusters | SegmentAnything
"""Sources that run a network: one process, threads as workers, and a digest of the weights."""

AnySource = Annotated[
    WholeImage
    | Grid
    | Felzenszwalb
    | Slic
    | MCG
    | MCGFull
    | FromAnnotations
    | Displaced
    | FromCallable
    | Clusters
    | SegmentAnything,
    Field(discriminator="kind"),
    BeforeValidator(by_name),  # a function stands for FromCallable
]
