"""Truth of every kind of annotation, and scoring photo by photo."""

from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.io import savemat

from detcon.formats.bsds import read_segmentations
from detcon.formats.errors import AnnotationError
from detcon.masks.quality.overlap import Bounds
from detcon.masks.quality.scoring import score_stores
from detcon.masks.quality.truth import open_truth
from detcon.masks.sources import Felzenszwalb, FromAnnotations, Grid
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks

NUM = 10


def save_bsds(path, maps):
    """In the layout of BSDS500: a 1 x n cell array of 1 x 1 structures."""
    cells = np.empty((1, len(maps)), object)
    for i, one in enumerate(maps):
        cells[0, i] = {"Segmentation": one.astype(np.uint16), "Boundaries": one > 1}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"groundTruth": cells})


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Ten photos of a square, their label PNGs and BSDS files, and three stores."""
    root = tmp_path_factory.mktemp("score")
    (root / "labels" / "a").mkdir(parents=True)
    (root / "photos" / "a").mkdir(parents=True)
    for number in range(NUM):
        labels = np.zeros((60, 80), np.uint8)
        labels[10:40, 5 + 4 * number : 35 + 4 * number] = 7
        labels[:3] = 255
        photo = np.where(labels[..., None] == 7, (30, 60, 200), (200, 190, 180)).astype(np.uint8)
        cv2.imwrite(str(root / f"photos/a/{number}.png"), photo)
        cv2.imwrite(str(root / f"labels/a/{number}.png"), labels)
        save_bsds(root / f"people/a/{number}.mat", [(labels == 7) + 1, np.ones((60, 80))])
    generators = {
        "grid": Grid(2),
        "fh": Felzenszwalb(100.0, 100),
        "exact": FromAnnotations(str(root / "labels")),
    }
    for name, generator in generators.items():
        make_masks(images=root / "photos", out=root / name, generator=generator, workers=1)
    return root


def scores(places, *names, truth="labels", **settings):
    stores = [MaskStore(places / name) for name in names]
    return [s.quality() for s in score_stores(stores, open_truth(places / truth), **settings)]


@pytest.mark.parametrize("truth, best", [("labels", 1), ("exact", 1), ("people", 0.5)])
def test_sources_are_told_apart_whatever_the_truth_is(places, truth, best):
    """The annotated square is a region of its own for all; people marked what is around it, too."""
    grid, fh, exact = scores(places, "grid", "fh", "exact", truth=truth)
    assert exact.average_best_overlap == best
    assert fh.average_best_overlap > grid.average_best_overlap
    assert fh.boundary_f > grid.boundary_f and grid.masks == 4 and grid.area == 0.25


def test_workers_change_nothing(places):
    assert scores(places, "grid", "fh", num_workers=2) == scores(places, "grid", "fh")


def test_so_many_photos_are_drawn_and_always_the_same(places):
    stores, truth = [MaskStore(places / "grid")], open_truth(places / "labels")
    one, other = (score_stores(stores, truth, num=4)[0].tallies for _ in range(2))
    assert len(one) == 4 and list(one) == list(other) == sorted(one)


def test_background_may_be_a_region(places):
    stores = [MaskStore(places / "exact")]
    for background, regions in ((False, NUM), (True, 2 * NUM)):
        truth = open_truth(places / "labels", background=background)
        [found] = score_stores(stores, truth, bounds=Bounds(0.0, 1.0))
        assert sum(tally.regions for tally in found.tallies.values()) == regions


def message(call, kind=AnnotationError):
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def test_says_what_is_missing(places, tmp_path):
    said = message(lambda: open_truth(tmp_path / "none"))
    assert said == f"there are no annotations {tmp_path}/none; check truth="
    assert message(lambda: open_truth(tmp_path)).startswith(
        f"cannot tell the format of {tmp_path}: nothing in it is a sign of a known one"
    )
    (tmp_path / "x.png").write_bytes(b"")
    store = MaskStore(places / "grid")
    assert message(lambda: score_stores([store], open_truth(tmp_path))).startswith(
        f"none of the 10 photos of {places}/grid has an annotation there (looked for a/0.png, for"
    )
    make_masks(images=places / "photos/a", out=tmp_path / "o", generator=Grid(2), workers=1)
    stores = [store, MaskStore(tmp_path / "o")]
    assert message(lambda: score_stores(stores, open_truth(places / "labels"))) == (
        f"the mask stores {places}/grid, {tmp_path}/o have no photo in common; make them of the "
        f"same photos"
    )


def test_names_the_photo_whose_annotation_has_another_size(places, tmp_path):
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a/3.png"), np.ones((5, 5), np.uint8))
    store = MaskStore(places / "grid")
    assert message(lambda: score_stores([store], open_truth(tmp_path))) == (
        f"cannot score a/3.png: the masks are of a photo of 60 x 80 pixels, but the truth "
        f"{tmp_path}/a/3.png is of one of 5 x 5; give the truth of these photos, or make "
        f"masks of the photos that were annotated"
    )


def test_reads_every_persons_regions(places):
    one, other = read_segmentations(places / "people/a/0.mat")
    assert one.max() == 2 and (one == 2).sum() == 900 and (other == 1).all()


def test_says_that_a_file_is_not_of_bsds(tmp_path):
    said = message(lambda: read_segmentations(tmp_path / "x.mat", photo="x.jpg"))
    assert said.startswith(f"there is no annotation {tmp_path}/x.mat for the photo x.jpg;")
    savemat(tmp_path / "x.mat", {"labels": np.ones((3, 3))})
    assert message(lambda: read_segmentations(tmp_path / "x.mat")).startswith(
        f"the annotation {tmp_path}/x.mat holds no human segmentations of BSDS (a cell array "
    )
    save_bsds(tmp_path / "y.mat", [np.ones((3, 3)), np.ones((3, 4))])
    assert "of one size); copy it again" in message(lambda: read_segmentations(tmp_path / "y.mat"))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_read_or_refused(places, tmp_path_factory, data):
    whole = bytearray((places / "people/a/0.mat").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.mat"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with suppress(AnnotationError):  # nothing else
        assert all(one.ndim == 2 for one in read_segmentations(path))
