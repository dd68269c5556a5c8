"""Tests for detcon.data.loader."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from detcon.data.dataset import PhotoViews
from detcon.data.loader import BatchTooLarge, batches, steps_per_epoch
from detcon.data.recipe import DETCON_B_COLOUR, ViewsRecipe
from detcon.photos import UnreadablePhoto

VIEWS = ViewsRecipe(size=32, colour=DETCON_B_COLOUR)


@pytest.fixture
def dataset(write_photos, make_store):
    photos = write_photos(10)
    store = make_store(photos)
    classes = {key: number for number, key in enumerate(photos.keys)}
    return PhotoViews(photos, store, VIEWS, grid=(2, 2), seed=0, classes=classes)


def run(dataset, **options):
    return list(batches(dataset, **{"batch_size": 4, "seed": 0, "num_steps": 7, **options}))


def assert_same(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        for field in fields(one):
            if not field.compare:  # how long it took
                continue
            torch.testing.assert_close(
                getattr(one, field.name), getattr(other, field.name), rtol=0, atol=0
            )


def test_shapes(dataset):
    batch = run(dataset, num_steps=1)[0]
    assert batch.images.shape == (2, 4, 3, 32, 32)
    assert batch.ids.shape == (2, 4, 16)
    assert batch.weights.shape == (2, 4, 16, 2, 2)
    assert batch.colour.shape == (2, 4, 11)
    assert torch.equal(batch.classes, batch.index)


def test_zero_or_two_workers_the_same_batches(dataset):
    assert_same(run(dataset), run(dataset, workers=2))


def test_a_resumed_run_goes_on_where_it_stopped(dataset):
    assert_same(run(dataset)[3:], run(dataset, first_step=3))
    assert_same(run(dataset)[3:], run(dataset, first_step=3, workers=1))


def test_two_ranks_make_the_batch_of_one(dataset):
    halves = [run(dataset, rank=rank, world=2) for rank in (0, 1)]
    for whole, left, right in zip(run(dataset), *halves, strict=True):
        for name in ("images", "ids", "weights", "colour"):
            joined = torch.cat([getattr(left, name), getattr(right, name)], dim=1)
            assert torch.equal(getattr(whole, name), joined)
        assert torch.equal(whole.index, torch.cat([left.index, right.index]))


def test_an_epoch_shows_each_photo_at_most_once_in_a_new_order(dataset):
    numbers = [batch.index.tolist() for batch in run(dataset, num_steps=4)]
    first, second = numbers[0] + numbers[1], numbers[2] + numbers[3]
    assert len(set(first)) == len(set(second)) == 8
    assert first != second
    assert [batch.index.tolist() for batch in run(dataset, num_steps=4, seed=1)] != numbers


def test_the_order_is_not_drawn_from_the_first_photos_numbers(dataset):
    """numpy pads short seeds with zeros: [seed, epoch] would repeat [seed, epoch, 0, 0]."""
    order = [i for batch in run(dataset, batch_size=10, num_steps=1) for i in batch.index.tolist()]
    assert order != dataset.draws(0, 0, 0).permutation(10).tolist()


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_random_state_alone(dataset, workers):
    """A resumed run restores it; a loader that drew from it would make the two runs differ."""
    torch.manual_seed(0)
    run(dataset, workers=workers)
    after = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_photo_raises_its_own_sentence(photos, tmp_path, workers):
    (tmp_path / "2.png").write_bytes(b"no photo")
    dataset = PhotoViews(photos, None, VIEWS, grid=(1, 1), seed=0, cache=False)
    with pytest.raises(UnreadablePhoto, match=r"2\.png.*holds no picture") as caught:
        run(dataset, workers=workers)
    assert "Traceback" not in str(caught.value)


def test_says_when_the_photos_do_not_fill_a_batch(dataset):
    text = "cannot make a batch of 11 from 10 photos; choose batch_size=10 or less"
    with pytest.raises(BatchTooLarge, match=text):
        run(dataset, batch_size=11)


def test_says_when_ranks_cannot_share_a_batch(dataset):
    with pytest.raises(BatchTooLarge, match="cannot share a batch of 4 evenly among 3 ranks"):
        run(dataset, world=3)


def test_steps_per_epoch_drops_the_incomplete_batch():
    assert steps_per_epoch(10, 4) == 2


def test_every_photo_is_seen_in_the_long_run(dataset):
    seen = np.unique([batch.index for batch in run(dataset, num_steps=40)])
    assert len(seen) == 10
