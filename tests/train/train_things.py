"""A module and batches small enough to train in a test."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from detcon.train.environment import ranks
from detcon.train.loop import fit
from detcon.train.plan import Hooks, Plan, Probing
from detcon.train.recipe import Cosine, LoopRecipe, Sgd
from detcon.train.unreadable import UnreadablePhotos

LOOP = LoopRecipe(precision="32", accelerator="cpu", log_every=3, checkpoint_every=5)


@dataclass(frozen=True)
class Points:
    x: torch.Tensor
    names: tuple[str, ...] = ("a.jpg", "b.jpg")
    passed_over: tuple[tuple[str, str], ...] = ()

    def to(self, device):
        return replace(self, x=self.x.to(device))

    def split(self, parts):
        return [Points(x, self.names) for x in self.x.chunk(parts)]


class Net(nn.Module):
    """Dropout and batch norm: the weights depend on random states and buffers."""

    def __init__(self):
        super().__init__()
        rng = torch.random.get_rng_state()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
        )
        torch.random.set_rng_state(rng)

    def forward(self, batch):
        out = self.layers(batch.x)
        return out.square().mean() - out[:, 0].mean(), out.detach()


def points(first, steps=10, bad=None):
    """The batch of a step depends on the step alone."""
    for step in range(first, steps):
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(step))
        yield Points(x * torch.nan if step == bad else x)


def train(folder, module=None, open_batches=points, steps=10, **options):
    module = Net() if module is None else module
    plan = Plan(steps, 6, Sgd(lr=0.1), Cosine(warmup=0.2), LOOP)
    hooks = Hooks(names=lambda batch: list(batch.names))
    of_plan = {name: options.pop(name) for name in list(options) if hasattr(plan, name)}
    plan, hooks = replace(plan, **of_plan), replace(hooks, **options)
    fit(module, open_batches, plan=plan, folder=folder, hooks=hooks)
    return module


class TwoRanks(nn.Module):
    """Nothing in it depends on how a batch is split."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, batch):
        out = self.layers(batch.x)
        return (out - 1).square().mean(), out.detach()


class Crash(BaseException):
    """Like kill -9: nobody catches it, so nothing is saved."""


def train_two_ranks(folder, crash=None, bad=None, allowed=None):
    """Each rank takes its half of the batches; with `allowed`, each meets a photo of its own that
    can't be read.
    """
    place = ranks()

    def batches(first):
        for step, whole in enumerate(points(first), start=first):
            if step == crash:
                raise Crash
            x = whole.x.chunk(place.world)[place.rank]
            is_bad = step == bad and place.rank == 1
            name = f"rank{place.rank}.jpg"
            lost = ((name, f"cannot read {name}"),) if allowed and step == 3 + place.rank else ()
            yield Points(x * torch.nan if is_bad else x, (name,), lost)

    module = TwoRanks()

    def measure():
        assert place.rank == 0
        torch.rand(7)
        return {"probe_sum": float(sum(p.detach().sum() for p in module.parameters()))}

    unreadable = None
    if allowed:
        unreadable = UnreadablePhotos(folder, str, num_photos=100, share=allowed / 100)
    try:
        train(folder, module, batches, probing=Probing(4, measure), unreadable=unreadable)
    except Crash:
        assert crash is not None
