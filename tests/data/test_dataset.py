"""Tests for detcon.data.dataset."""

import pickle
import re
from types import MappingProxyType

import numpy as np
import pytest
from PIL import Image

from detcon.data.colour import draw_colour
from detcon.data.cut import draw_cut
from detcon.data.dataset import MasksDoNotFit, PhotoViews
from detcon.data.recipe import DETCON_S_COLOUR, ViewsRecipe
from detcon.masks.sources.grid import Grid
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.photos import TooManyUnreadable, UnreadablePhoto, open_photos

VIEWS = ViewsRecipe(size=32, colour=DETCON_S_COLOUR)


def views(photos, store, **options):
    options = {"grid": (2, 2), "seed": 3, **options}
    return PhotoViews(photos, store, VIEWS, **options)


def assert_same(one, two):
    for name in ("images", "ids", "weights", "colour", "index", "label"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_a_sample_is_the_views_of_one_photo(photos, store):
    sample = views(photos, store)[0, 2]
    assert sample.images.shape == (2, 3, 32, 32)
    assert sample.ids.shape == (2, 16)
    assert sample.weights.shape == (2, 16, 2, 2)
    assert set(sample.ids.ravel()) <= {0, 1, 2, 3}
    assert sample.index == 2


def test_draws_depend_on_seed_epoch_photo_and_view_alone(photos, store):
    dataset = views(photos, store)
    first = dataset[5, 1]
    dataset[0, 0]
    assert_same(first, dataset[5, 1])
    assert_same(first, views(photos, store)[5, 1])
    for other in (dataset[4, 1], dataset[5, 2], views(photos, store, seed=4)[5, 1]):
        assert not np.array_equal(first.colour, other.colour)
    assert not np.array_equal(first.images[0], first.images[1])


def test_a_view_is_the_cut_of_its_photo(photos, store):
    """The plain way, each step by itself."""
    dataset = views(photos, store)
    sample = dataset[2, 1]
    photo = photos.read("1.png")
    for view in (0, 1):
        rng = dataset.draws(2, 1, view)
        cut = draw_cut(rng, (40, 50), VIEWS)
        colour = draw_colour(rng, VIEWS.colour[view])
        ids, weights = cut.weights(store["1.png"], (40, 50), 32, (2, 2), rng=rng)
        assert np.array_equal(sample.images[view], cut.image(photo, 32).transpose(2, 0, 1))
        assert np.array_equal(sample.colour[view], colour)
        assert np.array_equal(sample.ids[view], ids)
        assert np.array_equal(sample.weights[view], weights)


@pytest.fixture
def jpegs(tmp_path):
    """Smooth photos of 300 x 400, each with another EXIF orientation."""
    rng = np.random.default_rng(0)
    for number in range(1, 9):
        noise = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x0112] = number
        picture = Image.fromarray(noise).resize((400, 300), Image.Resampling.BICUBIC)
        picture.save(tmp_path / f"{number}.jpg", quality=95, exif=exif)
    return open_photos(tmp_path)


def test_decoding_at_reduced_size_changes_little(jpegs, quarters):
    """Where it is decoded smaller, and whichever way up; and nothing but the pixels."""
    store = {key: quarters(jpegs.read(key).shape[:2]) for key in jpegs.keys}
    reduced = VIEWS.model_copy(update={"reduced_decode": True, "area": (0.3, 1.0)})
    plain = VIEWS.model_copy(update={"area": (0.3, 1.0)})
    one, two = (
        PhotoViews(jpegs, store, recipe, grid=(2, 2), seed=0) for recipe in (plain, reduced)
    )
    factors = set()
    for index, epoch in np.ndindex(8, 4):
        exact, near = one[epoch, index], two[epoch, index]
        for name in ("ids", "weights", "colour"):
            assert np.array_equal(getattr(exact, name), getattr(near, name))
        assert abs(exact.images.astype(int) - near.images).mean() < 4
        factors.add(two._load(index, (epoch, index)).factor)
    assert len(factors) > 1
    assert not two.keep_in_memory(), "how far each photo is reduced, each epoch decides"


def test_reduced_decoding_is_the_same_for_one_view_and_for_two(jpegs):
    reduced = VIEWS.model_copy(update={"reduced_decode": True})
    one, two = (
        PhotoViews(jpegs, None, reduced, grid=(1, 1), seed=0, num_views=views) for views in (1, 2)
    )
    for index in range(8):
        assert np.array_equal(one[0, index].images[0], two[0, index].images[0])


def test_what_is_no_jpeg_is_decoded_whole(photos, store):
    reduced = VIEWS.model_copy(update={"size": 8, "reduced_decode": True})
    plain = VIEWS.model_copy(update={"size": 8})
    one, two = (PhotoViews(photos, store, x, grid=(2, 2), seed=3) for x in (plain, reduced))
    assert_same(one[0, 0], two[0, 0])


def test_says_that_photos_are_shrunk_or_decoded_smaller_but_not_both(photos):
    reduced = VIEWS.model_copy(update={"reduced_decode": True})
    with pytest.raises(ValueError, match="but max_side=40 shrinks them first; leave one of the"):
        PhotoViews(photos, None, reduced, grid=(1, 1), seed=0, max_side=40)


def test_photos_in_memory_give_the_same_samples(photos, store):
    kept, read = views(photos, store, max_side=36), views(photos, store, max_side=36, cache=False)
    assert kept.keep_in_memory()
    assert not read.keep_in_memory()
    for index in range(4):
        assert_same(kept[1, index], read[1, index])


def test_too_many_photos_are_not_kept(photos, store, quarters):
    each = 40 * 50 * 3 + quarters().patterns.nbytes
    assert not views(photos, store).keep_in_memory(limit=4 * each - 1)
    assert views(photos, store).keep_in_memory(limit=4 * each)


def test_the_same_pixels_whatever_the_regions(photos, store):
    """Methods are compared on equal views, so what they pool must not change what they see."""
    one, two = views(photos, store)[0, 0], views(photos, None, num_regions=1)[0, 0]
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.colour, two.colour)


def test_without_masks_the_whole_image_is_one_region(photos):
    sample = views(photos, None, num_regions=1)[0, 0]
    assert sample.ids.tolist() == [[0], [0]]
    assert (sample.weights == 1).all()


def test_one_view_is_the_first_of_two(photos, store):
    one, two = views(photos, store, num_views=1)[0, 0], views(photos, store)[0, 0]
    assert one.images.shape[0] == 1
    assert np.array_equal(one.images[0], two.images[0])


def test_classes_come_along(photos, store):
    classes = {key: number * 10 for number, key in enumerate(photos.keys)}
    assert views(photos, store, classes=classes)[0, 3].label == 30
    assert views(photos, store)[0, 3].label is None


class IncompleteStore(dict):
    """As a `MaskStore` that couldn't decode a photo."""

    unreadable = MappingProxyType({"1.png": "cannot read 1.png: the file is empty"})


def test_photos_the_store_could_not_read_are_left_out(photos, store):
    del store["1.png"]
    dataset = views(photos, IncompleteStore(store))
    assert dataset.left_out == ["1.png"]
    assert list(dataset.keys) == ["0.png", "2.png", "3.png"]


def test_a_store_on_disk_gives_the_masks_it_was_filled_with(photos, tmp_path):
    (tmp_path / "4.png").write_bytes(b"")
    folder = tmp_path / "masks"
    make_masks(images=str(tmp_path), out=str(folder), generator={"kind": "grid"}, workers=1)
    everything = open_photos(tmp_path)
    stored = views(everything, MaskStore(folder))
    made = {key: Grid()(photos.read(key)) for key in photos.keys}
    assert stored.left_out == ["4.png"]
    assert_same(stored[0, 3], views(photos, made)[0, 3])
    assert_same(stored[0, 3], pickle.loads(pickle.dumps(stored))[0, 3])


def test_says_when_masks_are_missing(photos, store):
    del store["1.png"], store["3.png"]
    text = r"2 of the 4 photos in .* have no masks, the first is 1\.png; give 'detcon m"
    with pytest.raises(MasksDoNotFit, match=text):
        views(photos, store)


def test_says_when_masks_are_of_another_size(photos, store, quarters):
    store["2.png"] = quarters((50, 40))
    text = r"the masks of 2\.png were made on a photo of 50 x 40 pixels, but in .* it has 40 x 50;"
    with pytest.raises(MasksDoNotFit, match=text):
        views(photos, store, max_side=20)[0, 2]


def test_says_when_views_do_not_divide_into_cells(photos, store):
    with pytest.raises(ValueError, match="cannot divide 32 x 32 pixels evenly into 5 x 5 cells"):
        views(photos, store, grid=(5, 5))


def test_an_unreadable_photo_keeps_its_sentence(photos, store, tmp_path):
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(UnreadablePhoto, match=re.escape(str(tmp_path / "2.png"))):
        views(photos, store)[0, 2]
    with pytest.raises(UnreadablePhoto, match="the file is empty"):
        views(photos, store).keep_in_memory()


def test_an_unreadable_photo_gives_its_place_to_another(photos, store, tmp_path):
    """Whether photos are kept in memory or not, and drawn as the place would have been."""
    colour = views(photos, store)[3, 2].colour
    (tmp_path / "2.png").write_bytes(b"")
    dataset = views(photos, store, pass_over=True)
    sample = dataset[3, 2]
    [(key, reason)] = sample.passed_over
    assert key == "2.png" and reason.startswith(f"cannot read {tmp_path / '2.png'}: the file is em")
    assert sample.index != 2 and np.array_equal(sample.colour, colour)
    assert len({dataset[epoch, 2].index for epoch in range(20)}) == 3, "not always the same one"
    assert dataset[0, 1].passed_over == ()
    in_memory = views(photos, store, pass_over=True)
    assert in_memory.keep_in_memory()
    assert_same(in_memory[3, 2], sample)


def test_a_disk_that_is_gone_is_said_at_once(photos, store, tmp_path):
    for path in tmp_path.glob("*.png"):
        path.unlink()
    dataset = views(photos, store, pass_over=True)
    assert not dataset.keep_in_memory()
    with pytest.raises(TooManyUnreadable, match=r"4 photos of .*can't be read; there is no photo"):
        dataset[0, 2]
