"""The state of a training: started, updated, saved, and resumed from a checkpoint."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, _foreach_lerp_, nn  # pyright: ignore[reportPrivateImportUsage]
from torch.nn.parallel import DistributedDataParallel

from detcon.models.depthwise import compute_depthwise_in_32_bits
from detcon.models.memory_format import set_memory_format
from detcon.models.sync_norm import synchronise_norms
from detcon.results.recipe import recorded_fingerprint
from detcon.timing import timed
from detcon.train.checkpoint import (
    Checkpoint,
    CheckpointError,
    keep_last,
    load_checkpoint,
    save_checkpoint,
)
from detcon.train.finite import SHOWN, NonFiniteLoss, all_finite, first_nonfinite
from detcon.train.optim import build_optimizer
from detcon.train.plan import Plan
from detcon.train.random_state import rng_state, set_rng_state
from detcon.train.replica import (
    Replica,
    agree,
    gather_objects,
    mean_over_ranks,
    open_replica,
    wait_for_ranks,
)
from detcon.train.run import LAST


@dataclass
class Training:
    """Everything that a step changes.

    Attributes:
        replica: The device, the ranks and the precision.
        module: The module that is trained and saved.
        forward: The module, wrapped for several ranks.
        folder: The run folder.
        keep: How many of the last checkpoints stay.
        losses: The sum of the losses since the last log, on the device.
        first_bad: The first step with a non-finite loss, or -1, on the device.
        start: The encoder's first weights, where they pull.
        num_narrow: How many convolutions are too narrow for channels-last memory on this CPU.
        step: Steps made.
        seconds: Training time of earlier processes.
        saved: When the last checkpoint was saved, by the monotonic clock.
    """

    replica: Replica
    module: nn.Module
    forward: nn.Module
    optimizer: torch.optim.Optimizer
    folder: Path
    keep: int
    losses: Tensor
    first_bad: Tensor
    num_narrow: int
    start: Mapping[nn.Parameter, Tensor]
    step: int = 0
    seconds: float = 0.0
    num_losses: int = 0
    _rng: dict[str, Any] | None = None
    _begin: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the run was first started, without the times it did not run."""
        return self.seconds + time.monotonic() - self._begin

    def learn(self, parts: Sequence[Any]) -> tuple[Tensor, Any]:
        """Runs forward and backward on each part of a batch; the gradients are those of the mean.

        Returns:
            The mean loss without gradient, and the module's second output for the last part.
        """
        losses, extra, forward = [], None, self.forward
        for number, part in enumerate(parts, 1):
            is_wrapped = isinstance(forward, DistributedDataParallel)
            # gradients are averaged over the ranks with the last part
            with forward.no_sync() if is_wrapped and number < len(parts) else nullcontext():
                with self.replica.autocast(), timed("forward"):
                    loss, extra = forward(part)
                with timed("backward"):
                    (loss / len(parts)).backward()
            losses.append(loss.detach())
        return torch.stack(losses).mean(), extra

    def keep_encoder(self) -> None:
        """Drops the encoder's gradients: the optimiser passes over parameters without one."""
        for parameter in _encoder(self.module).parameters():
            parameter.grad = None

    @torch.no_grad()
    def pull_to_start(self, strength: float) -> None:
        """Moves the encoder towards its first weights w0: w <- w - lr * strength * (w - w0).

        Weight decay of AdamW's kind towards w0 in place of 0 (L2-SP, arXiv:1802.01483), each layer
        at its own rate.
        """
        for group in self.optimizer.param_groups if self.start else ():
            moved = [p for p in group["params"] if p in self.start and p.grad is not None]
            if moved:
                starts = [self.start[parameter] for parameter in moved]
                _foreach_lerp_(moved, starts, group["lr"] * strength)

    def add_loss(self, loss: Tensor) -> None:
        """Adds the loss of this step; does not wait for the device."""
        self.first_bad = first_nonfinite(self.first_bad, loss, self.step)
        self.losses += loss.detach()
        self.num_losses += 1

    def mean_loss(self) -> float:
        """The mean loss over all ranks and the steps since the last call; waits for the device."""
        mean = mean_over_ranks(self.replica, self.losses / self.num_losses)
        self.losses.zero_()
        self.num_losses = 0
        return mean

    def check(self, names: Mapping[int, list[str]]) -> None:
        """Checks that all losses since the last log were finite; waits for the device.

        `names` are the photos of each step since then.

        Raises:
            NonFiniteLoss: On all ranks, if any loss on any rank wasn't; all must ask together.
        """
        bad = int(self.first_bad)
        if any(agree(self.replica, bad >= 0)):
            raise self.nonfinite(bad, names, LAST)

    def nonfinite(self, bad: int, names: Mapping[int, list[str]], kept: Path) -> NonFiniteLoss:
        """The error for the first bad step of all ranks; `bad` is -1 if this rank had none."""
        reports = gather_objects(self.replica, (bad, names.get(bad, [])))
        first = min(step for step, _ in reports if step >= 0)
        photos = [name for step, some in reports if step == first for name in some]
        more = f" and {len(photos) - SHOWN} more" if len(photos) > SHOWN else ""
        seen = f", on {', '.join(photos[:SHOWN])}{more}" if photos else ""
        return NonFiniteLoss(
            f"the loss of step {first + 1} is not finite{seen}; the state before it is in "
            f"{self.folder / kept}: lower optimizer.lr, lengthen the warm-up, try "
            f"loop.precision=32, or look at these photos"
        )

    def replay_rng(self) -> None:
        """Puts the generators where the checkpoint found them.

        Called after the first batch has come, since opening a data loader draws a number.
        """
        if self._rng is not None:
            set_rng_state(self._rng, self.replica.device)
            self._rng = None

    def save(self, name: Path = LAST) -> None:
        """Writes a checkpoint; all ranks must call this, the first one writes.

        Raises:
            NonFiniteLoss: If weights are not finite: they never replace a good checkpoint.
            CheckpointError: If the disk refuses.
        """
        self.replay_rng()
        own = {"rng": rng_state(self.replica.device), "losses": float(self.losses)}
        ranks = gather_objects(self.replica, own)
        if not all_finite(self.module.parameters()):
            raise NonFiniteLoss(
                f"after step {self.step} the weights are not finite, though all losses were "
                f"finite; {self.folder / name} was left as it was; lower optimizer.lr, or lengthen "
                f"the warm-up"
            )
        if self.replica.rank == 0:
            checkpoint = Checkpoint(
                step=self.step,
                module=self.module.state_dict(),
                optimizer=self.optimizer.state_dict(),
                ranks=ranks,
                num_losses=self.num_losses,
                seconds=self.elapsed,
                fingerprint=recorded_fingerprint(self.folder),
            )
            save_checkpoint(self.folder / name, checkpoint)
            if name == LAST:
                keep_last(self.folder / name, self.step, self.keep)
        wait_for_ranks()
        self.saved = time.monotonic()

    def resume(self) -> None:
        """Goes back to `last.ckpt`, where there is one.

        Raises:
            CheckpointError: If it is damaged, of another recipe, or of another network.
        """
        wait_for_ranks()  # until the first rank has opened the folder
        path = self.folder / LAST
        if not path.is_file():
            return
        found = load_checkpoint(path, fingerprint=recorded_fingerprint(self.folder))
        try:
            self.module.load_state_dict(found.module)
            self.optimizer.load_state_dict(found.optimizer)
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"checkpoint {path} does not fit this network or optimiser "
                f"({str(error).splitlines()[0]}); give another out="
            ) from error
        self.step, self.seconds = found.step, found.seconds
        self.num_losses = found.num_losses
        rank = self.replica.rank
        if rank < len(found.ranks):  # else there are more ranks than before: own random states
            self._rng = found.ranks[rank]["rng"]
        losses = [one["losses"] for one in found.ranks]
        same = len(losses) == self.replica.world  # else each has the mean of those before
        self.losses.fill_(losses[rank] if same else sum(losses) / len(losses))


def start(module: nn.Module, folder: Path, plan: Plan) -> Training:
    """Puts the module on its device, in its memory format, and makes its optimiser."""
    loop = plan.loop
    replica = open_replica(loop.precision, loop.accelerator)
    device = replica.device.type
    num_narrow = set_memory_format(module, channels_last=loop.channels_last, device=device)
    if device == "cpu" and replica.precision == "bf16":
        compute_depthwise_in_32_bits(module)
    module.to(replica.device)
    if plan.sync_norms and replica.world > 1:
        synchronise_norms(module, device)
    start = {}
    if plan.anchor:  # before a checkpoint is loaded
        start = {p: p.detach().clone() for p in _encoder(module).parameters() if p.requires_grad}
    if loop.recompute:
        _recompute(module)
    if loop.compile:
        for part in module.children():  # the glue between them decides on the CPU, and stays
            part.compile()
    return Training(
        replica,
        module,
        replica.joined(module),
        build_optimizer(plan.optimizer, module, plan.batch_size),
        folder,
        loop.keep,
        losses=torch.zeros((), device=replica.device),
        first_bad=torch.full((), -1.0, device=replica.device),
        num_narrow=num_narrow,
        start=start,
    )


def _encoder(module: nn.Module) -> nn.Module:
    encoder = module.encoder
    assert isinstance(encoder, nn.Module)
    return encoder


def _recompute(module: nn.Module) -> None:
    found = (getattr(part, "recompute_activations", None) for part in module.modules())
    able = [switch for switch in found if callable(switch)]
    if not able:
        raise ValueError(f"loop.recompute doesn't work with {type(module).__name__}")
    for switch in able:
        switch()
