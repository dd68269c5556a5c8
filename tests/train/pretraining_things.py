"""Batches of regions and an encoder small enough to pretrain in float64 in a test."""

import torch
from torch import nn

from detcon.data.batch import Batch
from detcon.data.colour import NUM_PARAMETERS
from detcon.methods.compositions import (
    byol,
    detcon_b,
    detcon_s,
    region_distillation,
    simclr,
    supervised,
)
from detcon.methods.towers import Teacher
from detcon.models.recipe import Normalisation
from detcon.train.environment import ranks
from detcon.train.loop import fit
from detcon.train.plan import Hooks, Plan
from detcon.train.recipe import Cosine, LoopRecipe, Sgd

PHOTOS, STEPS = 32, 10
HEAD = {"hidden": 8, "outputs": 4}
OTHER = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
MAKE = {
    "detcon_s": lambda e: detcon_s(e, **HEAD),
    "detcon_b": lambda e: detcon_b(e, **HEAD),
    "simclr": lambda e: simclr(e, **HEAD),
    "byol": lambda e: byol(e, **HEAD),
    "supervised": lambda e: supervised(e, num_classes=3),
    "detcon_s-quarters": lambda e: detcon_s(e, **HEAD, num_groups=4),
    "region_distillation": lambda e: region_distillation(e, Teacher(Doubles(), OTHER), **HEAD),
}


class Doubles(nn.Module):
    """An encoder of two cells by two, in float64 from the first layer on."""

    num_channels = 6

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, 2, 1, bias=False),
            nn.BatchNorm2d(6),
        )

    def forward(self, photos):
        return self.layers(photos.double())


def batch_of(step, kind):
    """The joined batch of a step; the whole view is one region where a method wants that."""
    rng = torch.Generator().manual_seed(step)
    has_masks = kind.startswith(("detcon", "region"))
    regions, views = 3 if has_masks else 1, 1 if kind == "supervised" else 2
    images = torch.randint(0, 256, (views, PHOTOS, 3, 8, 8), generator=rng, dtype=torch.uint8)
    ids = torch.randint(0, 3, (views, PHOTOS, regions), generator=rng)
    weights = torch.rand(views, PHOTOS, regions, 2, 2, generator=rng, dtype=torch.float64)
    colour = torch.zeros(views, PHOTOS, NUM_PARAMETERS)
    colour[..., 1:3] = 1
    colour[..., 4:8] = -1
    if regions == 1:
        ids, weights = torch.zeros_like(ids), torch.ones_like(weights)
    classes = torch.randint(0, 3, (PHOTOS,), generator=rng)
    return Batch(images, ids, weights, colour, torch.arange(PHOTOS), classes)


def share_of_batches(kind, first):
    place = ranks()
    for step in range(first, STEPS):
        yield batch_of(step, kind).split(place.world)[place.rank]


class Interrupted(Exception):
    """The run is cut off, after a checkpoint at half of its steps."""


def untrained(kind):
    torch.manual_seed(0)
    return MAKE[kind](Doubles()).double()


def pretrain_in_doubles(kind, folder, *, log_every=1, interrupted=False):
    """Ten steps of a method; every rank takes its share of each batch."""
    method = untrained(kind)

    def after_step(step):
        if interrupted and step == STEPS // 2:
            raise Interrupted
        method.update_target(0.9)

    fit(
        method,
        lambda first: share_of_batches(kind, first),
        plan=Plan(
            steps=STEPS,
            batch_size=PHOTOS,
            optimizer=Sgd(lr=0.05),
            schedule=Cosine(warmup=0.2),
            loop=LoopRecipe(
                precision="32", accelerator="cpu", log_every=log_every, checkpoint_every=STEPS // 2
            ),
            sync_norms=True,
        ),
        folder=folder,
        hooks=Hooks(after_step=after_step),
    )
    return method
