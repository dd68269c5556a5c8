"""Tests for detcon.methods: what each composition learns from, and what it must leave alone."""

import copy
import itertools
import os

import pytest
import torch
import torch.multiprocessing as mp
from gloo import SERVER
from torch.nn.functional import cross_entropy, normalize

from detcon.data.batch import Batch
from detcon.data.colour import NUM_PARAMETERS
from detcon.methods.compositions import byol, detcon_b, detcon_s, simclr, supervised
from detcon.methods.objectives import Contrast
from detcon.methods.towers import Tower
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe

SMALL = EncoderRecipe(name="resnet18", width=0.125, stride=16)
HEAD = {"hidden": 16, "outputs": 8}


def unchanged_colours(v, b):
    colour = torch.zeros(v, b, NUM_PARAMETERS)
    colour[..., 1:3] = 1
    colour[..., 4:8] = -1
    return colour


def make_batch(seed=0, *, b=4, r=3, v=2, classes=None):
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (v, b, 3, 32, 32), generator=rng, dtype=torch.uint8)
    ids = torch.randint(0, 3, (v, b, r), generator=rng)
    weights = torch.rand(v, b, r, 2, 2, generator=rng)
    return Batch(images, ids, weights, unchanged_colours(v, b), torch.arange(b), classes)


def whole_images(batch):
    v, b = batch.images.shape[:2]
    ids, weights = torch.zeros(v, b, 1, dtype=torch.long), torch.ones(v, b, 1, 2, 2)
    return Batch(batch.images, ids, weights, batch.colour, batch.index)


METHODS = {
    "detcon_s": lambda: detcon_s(build_encoder(SMALL), **HEAD),
    "detcon_b": lambda: detcon_b(build_encoder(SMALL), **HEAD),
    "simclr": lambda: simclr(build_encoder(SMALL), **HEAD),
    "byol": lambda: byol(build_encoder(SMALL), **HEAD),
}


@pytest.mark.parametrize("zero_init", [True, False])
def test_the_target_starts_elsewhere_but_as_the_online_network_does(zero_init):
    method = detcon_b(build_encoder(SMALL.model_copy(update={"zero_init": zero_init})), **HEAD)
    online, target = method.online.encoder, method.target.encoder
    assert not torch.equal(online.conv1.weight, target.conv1.weight)
    assert target.layer1[0].bn2.weight.max() == (0 if zero_init else 1)


def test_the_target_drops_no_paths():
    torch.manual_seed(0)
    method = detcon_b(build_encoder(EncoderRecipe(name="test_vit", drop_path=0.5)), **HEAD)
    photo = torch.randn(4, 3, 32, 32)
    target, online = method.target.encoder, method.online.encoder
    assert target.training and torch.equal(target(photo), target(photo))
    assert not torch.equal(online(photo), online(photo))


@pytest.mark.parametrize("name", METHODS)
def test_every_trained_parameter_gets_a_gradient_and_no_target_does(name):
    torch.manual_seed(0)
    method = METHODS[name]()
    batch = make_batch() if "detcon" in name else whole_images(make_batch())
    loss, seen = method(batch)
    loss.backward()
    assert loss.ndim == 0 and torch.isfinite(loss)
    for parameter_name, parameter in method.named_parameters():
        if parameter_name.startswith("target."):
            assert parameter.grad is None and not parameter.requires_grad, parameter_name
        else:
            assert parameter.grad is not None, parameter_name
    assert seen.query.shape == seen.target.shape == (2, 4, batch.ids.shape[2], 8)
    assert not seen.query.requires_grad


def test_simclr_is_twice_ntxent():
    torch.manual_seed(0)
    method = METHODS["simclr"]()
    loss, seen = method(whole_images(make_batch()))
    z = normalize(seen.query[:, :, 0].flatten(0, 1), dim=-1)
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    torch.testing.assert_close(loss, 2 * cross_entropy(logits, torch.arange(8).roll(4)))


def test_byol_is_twice_its_mean_distance():
    torch.manual_seed(0)
    loss, seen = METHODS["byol"]()(whole_images(make_batch()))
    cosine = torch.nn.functional.cosine_similarity(seen.query, seen.target.flip(0), dim=-1)
    torch.testing.assert_close(loss, (2 - 2 * cosine).mean() * 2)


@pytest.mark.parametrize("name", ["detcon_b", "byol"])
def test_the_target_moves_by_exactly_its_rate_and_keeps_its_own_statistics(name):
    torch.manual_seed(0)
    method = METHODS[name]()
    assert method.target is not None
    before = copy.deepcopy(method.target)
    method(whole_images(make_batch()))
    buffers = {n: b.clone() for n, b in method.target.named_buffers()}
    assert any(not torch.equal(b, dict(before.named_buffers())[n]) for n, b in buffers.items()), (
        "the target's batch norm must run in training mode"
    )
    method.update_target(0.75)
    online = dict(method.online.named_parameters())
    for n, parameter in method.target.named_parameters():
        expected = 0.75 * dict(before.named_parameters())[n] + 0.25 * online[n]
        torch.testing.assert_close(parameter, expected.detach())
    for n, buffer in method.target.named_buffers():
        assert torch.equal(buffer, buffers[n]), "buffers aren't averaged"


def test_the_target_starts_from_other_weights_than_the_online_network():
    method = METHODS["detcon_b"]()
    assert method.target is not None
    assert not torch.equal(method.target.encoder.conv1.weight, method.encoder.conv1.weight)


def test_each_view_passes_alone():
    """Batch norm must not mix the views: another second view leaves the first one's embeddings."""
    torch.manual_seed(0)
    method = METHODS["detcon_s"]()
    batch, other = make_batch(0), make_batch(1)
    images = torch.stack([batch.images[0], other.images[1]])
    mixed = Batch(images, batch.ids, batch.weights, batch.colour, batch.index)
    (_, one), (_, two) = method(batch), method(mixed)
    assert torch.equal(one.query[0], two.query[0])
    assert not torch.equal(one.query[1], two.query[1])


def test_supervised_learns_from_classes():
    torch.manual_seed(0)
    method = supervised(build_encoder(SMALL), num_classes=5)
    batch = make_batch(v=1, r=1, classes=torch.tensor([0, 1, 4, 2]))
    loss, seen = method(batch)
    torch.testing.assert_close(loss, cross_entropy(seen.query[0, :, 0], batch.classes))
    with pytest.raises(ValueError, match="needs the photos' classes; the batch has none"):
        method(make_batch(v=1, r=1))


def test_says_when_masks_came_on_another_grid():
    batch = make_batch()
    wrong = Batch(batch.images, batch.ids, torch.ones(2, 4, 3, 7, 7), batch.colour, batch.index)
    with pytest.raises(
        ValueError, match="gives a grid of 2 x 2 cells, but the masks came on 7 x 7"
    ):
        METHODS["detcon_s"]()(wrong)


def test_says_when_an_encoder_has_no_channels():
    with pytest.raises(TypeError, match="Identity has no num_channels; use build_encoder"):
        detcon_s(torch.nn.Identity())


VARIANTS = [
    ("S", 1),
    ("B", 1),
    ("S", 3),
    ("S one view", 1),
    ("B one view", 3),
]  # of three groups the second has a photo on either rank


def _on_rank(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    for kind, groups in VARIANTS:
        loss, tower = _contrast_of_rows(kind, groups, rank)
        loss.backward()
        gradient = tower.weight.grad
        torch.distributed.all_reduce(gradient)
        torch.save((loss.detach(), gradient / 2), f"{folder}/{kind}{groups}-{rank}.pt")
    torch.distributed.destroy_process_group()


def _contrast_of_rows(kind, groups=1, rank=None):
    """A linear network without batch norm, so that only the gathering can differ."""
    torch.manual_seed(0)
    tower, target = (torch.nn.Linear(6, 5, dtype=torch.float64) for _ in range(2))
    views = torch.randn(2, 6, 3, 6, dtype=torch.float64)
    ids = torch.randint(0, 3, (2, 6, 3))
    mine = slice(None) if rank is None else slice(3 * rank, 3 * rank + 3)
    queries = [tower(view[mine]) for view in views]
    targets = queries if kind[0] == "S" else [target(view[mine]).detach() for view in views]
    batch = Batch(
        torch.zeros(2, 6, 3, 1, 1, dtype=torch.uint8)[:, mine],
        ids[:, mine],
        torch.zeros(2, 6, 3, 1, 1)[:, mine],
        unchanged_colours(2, 6)[:, mine],
        torch.arange(6)[mine],
    )
    contrast = Contrast(num_groups=groups, own_view="one view" not in kind)
    return contrast(queries, targets, batch), tower


def test_two_ranks_equal_one_in_loss_and_gradient(tmp_path):
    port = 29000 + os.getpid() % 1000
    mp.start_processes(
        _on_rank, args=(port, str(tmp_path)), nprocs=2, start_method=SERVER.get_start_method()
    )
    for kind, groups in VARIANTS:
        ranks = [torch.load(tmp_path / f"{kind}{groups}-{r}.pt") for r in (0, 1)]
        loss, tower = _contrast_of_rows(kind, groups)
        loss.backward()
        torch.testing.assert_close((ranks[0][0] + ranks[1][0]) / 2, loss.detach())
        torch.testing.assert_close(ranks[0][1], tower.weight.grad)


def test_tower_pools_before_it_projects():
    torch.manual_seed(0)
    tower = Tower(build_encoder(SMALL), torch.nn.Identity())
    photos = torch.randn(2, 3, 32, 32)
    weights = torch.ones(2, 1, 2, 2)
    torch.testing.assert_close(
        tower.eval()(photos, weights)[:, 0], tower.encoder(photos).mean((2, 3))
    )


@pytest.mark.parametrize("kind", ["S", "B"])
def test_groups_are_batches_of_their_own(kind):
    queries = list(torch.randn(2, 6, 3, 5, dtype=torch.float64))
    targets = queries if kind == "S" else list(torch.randn(2, 6, 3, 5, dtype=torch.float64))
    batch = make_batch(b=6)
    cuts = [slice(start, start + 2) for start in (0, 2, 4)]
    alone = []
    for cut, part in zip(cuts, batch.split(3), strict=True):
        some = [query[cut] for query in queries]
        alone.append(Contrast()(some, some if kind == "S" else [t[cut] for t in targets], part))
    grouped = Contrast(num_groups=3)(queries, targets, batch)
    torch.testing.assert_close(grouped, torch.stack(alone).mean())
    assert not torch.isclose(grouped, Contrast()(queries, targets, batch))


def test_says_when_a_batch_cannot_be_cut():
    queries = list(torch.randn(2, 6, 3, 5))
    with pytest.raises(ValueError, match="a batch of 6 photos can't be cut into 4 equal groups"):
        Contrast(num_groups=4)(queries, queries, make_batch(b=6))
    with pytest.raises(ValueError, match="6 photos a rank can't be cut into 4 equal parts"):
        make_batch(b=6).split(4)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("kind", ["S", "B"])
def test_without_the_own_view_candidates_are_the_other_view_s(kind, local):
    """Groups and all, against the cross-entropy in plain loops."""
    queries = list(torch.randn(2, 4, 3, 5, dtype=torch.float64))
    targets = queries if kind == "S" else list(torch.randn(2, 4, 3, 5, dtype=torch.float64))
    batch, total = make_batch(b=4), 0.0
    for v, (b, r) in itertools.product((0, 1), itertools.product(range(4), range(3))):
        mine, theirs = batch.ids[v, b], batch.ids[1 - v, b]
        positive = (theirs == mine[r]).double()
        if not positive.sum():
            continue
        photos = [2 * (b // 2), 2 * (b // 2) + 1]
        query = normalize(queries[v][b, r], dim=0)
        logits = normalize(targets[1 - v][photos], dim=-1) @ query / 0.1
        if not local:
            logits[b % 2, positive == 0] = -torch.inf
        own = logits[b % 2, positive > 0].mean()
        total += (logits.flatten().logsumexp(0) - own) / (mine == mine[r]).sum() / 12
    found = Contrast(local_negatives=local, num_groups=2, own_view=False)(queries, targets, batch)
    torch.testing.assert_close(found, total)
