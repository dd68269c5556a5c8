"""Annotations spoilt by a stated amount."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from detcon.formats.errors import NotAnnotated
from detcon.masks.masks import Masks
from detcon.masks.quality.overlap import Bounds, Truth, measure, quality
from detcon.masks.sources import Displaced, FromAnnotations
from detcon.masks.sources.displaced import _cut, _mirrored, _without_empty
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks

SIZE = (48, 64)
PHOTO = np.zeros((*SIZE, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Four blocks of ids on a background, for two photos."""
    ids = np.zeros(SIZE, np.uint8)
    ids[4:20, 4:28], ids[4:20, 36:60], ids[28:44, 4:28], ids[28:44, 36:60] = 1, 2, 3, 4
    (tmp_path / "ids").mkdir()
    for name in ("a", "b"):
        Image.fromarray(ids).save(tmp_path / "ids" / f"{name}.png")
    return str(tmp_path / "ids")


def overlap(masks, truth):
    found = quality(measure(masks, Truth((truth,)), Bounds())).average_best_overlap
    assert found is not None
    return found


def test_no_displacement_changes_nothing(folder):
    exact = FromAnnotations(folder)(PHOTO, "a.jpg")
    assert np.array_equal(Displaced(folder, 0.0)(PHOTO, "a.jpg").labels, exact.labels)


def test_masks_are_cut_along_a_grid_and_no_border_moves(folder):
    exact = FromAnnotations(folder)(PHOTO, "a.jpg")
    cut = Displaced(folder, 0.0, rows=3)(PHOTO, "a.jpg")
    y, x = np.mgrid[:48, :64]
    cells = (y * 3 // 48) * 3 + x * 3 // 64
    found = {part.tobytes() for part in cut.stack()}
    expected = [mask & (cells == cell) for mask in exact.stack() for cell in range(9)]
    assert found == {part.tobytes() for part in expected if part.any()}
    assert cut.num_masks == len(found) > exact.num_masks
    assert np.array_equal(cut.labels < 0, exact.labels < 0)
    assert cut.ids.tolist() == list(range(cut.num_masks))


def test_overlapping_masks_are_cut_each_by_itself():
    stack = np.zeros((2, 4, 4), bool)
    stack[0, :, :3], stack[1, 1:3, 1:] = True, True
    cut = _cut(Masks.from_stack(stack, np.array([0.5, 0.25])), 2)
    assert cut.scores.tolist() == [0.5] * 4 + [0.25] * 4
    assert np.array_equal(cut.stack()[:4].any(0), stack[0])
    assert np.array_equal(cut.stack()[4:].any(0), stack[1])
    assert cut.stack().sum(axis=(1, 2)).tolist() == [4, 2, 4, 2, 1, 2, 1, 2]


@pytest.mark.parametrize("amount", [0.03, 0.3])
def test_a_pixels_mask_is_the_one_that_the_field_points_to(folder, amount):
    exact = FromAnnotations(folder)(PHOTO, "a.jpg").labels
    displaced = Displaced(folder, amount, seed=3)
    down, across = amount * math.sqrt(48 * 64) * displaced._field("a.jpg", SIZE)
    expected = np.empty_like(exact)
    for y in range(48):
        for x in range(64):
            row, column = round(y + down[y, x]), round(x + across[y, x])
            while not 0 <= row < 48:
                row = -1 - row if row < 0 else 2 * 48 - 1 - row
            while not 0 <= column < 64:
                column = -1 - column if column < 0 else 2 * 64 - 1 - column
            expected[y, x] = exact[row, column]
    found = displaced(PHOTO, "a.jpg").labels
    assert np.array_equal(found, expected) and not np.array_equal(found, exact)


def test_the_amount_is_the_root_mean_square_of_the_distance():
    for key in ("a", "b"):
        down, across = Displaced("ids", 0.1)._field(key, SIZE)
        assert np.mean(down**2 + across**2) == pytest.approx(1)


def test_neighbours_are_displaced_alike():
    field = Displaced("ids", 0.1)._field("a", (160, 160))
    for axis in (1, 2):
        assert np.abs(np.diff(field, axis=axis)).max() < 0.2 < np.ptp(field)


def test_maps_of_any_resolution_are_displaced_alike():
    displaced = Displaced("ids", 0.1)
    small, large = displaced._field("a", (40, 60)), displaced._field("a", (120, 180))
    assert np.abs(large[:, 1::3, 1::3] - small).max() < 0.01  # the middles of the same cells


def test_the_more_displacement_the_less_overlap(folder):
    told = {"background": True, "ignore": None}
    exact = FromAnnotations(folder, **told)(PHOTO, "a.jpg")

    def found(amount):
        spoilt = [Displaced(folder, amount, seed, **told)(PHOTO, "a.jpg") for seed in range(8)]
        return np.mean([overlap(masks, exact) for masks in spoilt])

    overlaps = [found(amount) for amount in (0.0, 0.03, 0.08, 0.2)]
    assert overlaps[0] == 1 and all(before > after for before, after in pairwise(overlaps))


def test_seed_and_key_alone_decide(folder):
    def labels(key, seed):
        return Displaced(folder, 0.1, seed)(PHOTO, key).labels

    assert np.array_equal(labels("a.jpg", 0), labels("a.jpg", 0))
    assert not np.array_equal(labels("a.jpg", 0), labels("a.jpg", 1))
    assert not np.array_equal(labels("a.jpg", 0), labels("b.jpg", 0)), "of one annotation"


@pytest.mark.parametrize("length", [1, 2, 7])
def test_places_outside_are_mirrored(length):
    padded = np.pad(np.arange(length), 3 * length, mode="symmetric")
    places = np.arange(-3 * length, 4 * length)[None]
    assert np.array_equal(_mirrored(places, length)[0], padded)


def test_masks_of_which_nothing_is_left_are_dropped():
    stack = np.zeros((3, 2, 2), bool)
    stack[0, 0], stack[1, 0, 0], stack[2, 1] = True, True, True
    masks = Masks.from_stack(stack, np.array([0.1, 0.2, 0.3]))
    masks = Masks(masks.size, masks.patterns[[1, 1]], masks.membership, masks.scores)
    left = _without_empty(masks)
    assert left.num_masks == 1 and left.stack().all()
    assert left.scores is not None and left.scores.tolist() == [0.3]


def test_its_annotations_are_those_of_all_its_settings():
    told = {"folder": "d", "format": "coco", "ignore": 255, "split": "val", "regions": "classes"}
    told |= {"crowd": True, "missing": "none", "background": True}
    assert Displaced(**told, amount=0.1).annotations == FromAnnotations(**told)
    names = {one.name for one in dataclasses.fields(FromAnnotations)}
    assert names < {one.name for one in dataclasses.fields(Displaced)}


def test_says_what_is_wrong(folder):
    with pytest.raises(ValueError, match="amount of displaced must be at least 0, got -0.1"):
        Displaced(folder, -0.1)
    with pytest.raises(ValueError, match="amount of displaced must be at least 0, got nan"):
        Displaced(folder, float("nan"))
    with pytest.raises(ValueError, match="crowd=True means nothing in annotations of format=png"):
        Displaced(folder, 0.1, crowd=True)
    with pytest.raises(NotAnnotated, match=r"missing=none or generator.missing=whole"):
        Displaced(folder, 0.1)(PHOTO, "c.jpg")


def test_a_store_records_the_amount_and_is_of_no_other(folder, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        Image.fromarray(PHOTO).save(tmp_path / "photos" / f"{name}.png")
    told = {"images": str(tmp_path / "photos"), "out": str(tmp_path / "masks"), "workers": 1}
    generator = {"kind": "displaced", "folder": folder, "amount": 0.1}
    store = MaskStore(make_masks(generator=generator, **told))
    expected = Displaced(folder, 0.1)(PHOTO, "a.png").labels
    assert np.array_equal(store["a.png"].labels, expected)
    with pytest.raises(ValueError, match="it has amount=0.1, not amount=0.2"):
        make_masks(generator=generator | {"amount": 0.2}, **told)
