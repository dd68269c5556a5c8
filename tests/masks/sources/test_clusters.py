"""Tests for detcon.masks.sources.clusters: k-means, clusters of features, and stores of them."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from tiny_backbones import save_tiny

from detcon.config import RecipeError
from detcon.masks import MaskGenerator
from detcon.masks.sources import Clusters, Grid
from detcon.masks.sources.clusters import cluster_cells, find_centres
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.masks.store.shard import StoreError
from detcon.models.backbone_file import BackboneError
from detcon.photos import open_photos

TINY = "test_resnet"  # of timm: 0.3 million weights

points_of_few = st.tuples(st.integers(1, 12), st.integers(2, 12)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(-3, 3).map(float))
)


@given(points_of_few, st.integers(1, 6), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_kmeans_has_come_to_rest(points, num, seed):
    """Each point is nearest to its own centre, and each centre amid its points, in plain loops."""
    centres = find_centres(points, num, np.random.default_rng(seed))
    nearest = nearest_of(points, centres)
    assert sorted(set(nearest)) == list(range(len(centres))), "no cluster is empty"
    assert 1 <= len(centres) <= min(num, len(np.unique(points, axis=0)))
    for place, point in enumerate(points.astype(np.float64)):
        away = [((point - centre) ** 2).sum() for centre in centres]
        assert away[nearest[place]] <= min(away) + 1e-4
    for number, centre in enumerate(centres):
        assert np.allclose(centre, points[nearest == number].mean(0), atol=1e-5)


def nearest_of(points, centres):
    return ((points[:, None].astype(np.float64) - centres) ** 2).sum(-1).argmin(1)


def test_kmeans_finds_what_is_far_apart():
    rng = np.random.default_rng(0)
    blobs = rng.normal(size=(5, 8)) * 100
    points = np.repeat(blobs, 20, 0) + rng.normal(size=(100, 8))
    nearest = nearest_of(points, find_centres(points.astype(np.float32), 5, rng))
    assert all(len(set(part)) == 1 for part in nearest.reshape(5, 20)) and len(set(nearest)) == 5


def test_clusters_of_cells_are_finer_than_cells():
    features = np.zeros((3, 4, 6))
    features[0, :, :2], features[1, :, 2:] = 5.0, 0.1  # lengths don't count
    labels = cluster_cells(features, 4, np.random.default_rng(0))
    assert labels.shape == (32, 48) and sorted(set(labels.ravel())) == [0, 1]
    left = labels == labels[0, 0]
    assert left[:, :16].all() and not left[:, 17:].any(), "the edge is between the cells"


def test_finds_the_square(images, backbone):
    photos = open_photos(images)
    generate = Clusters(backbone, num=2, side=128)
    assert isinstance(generate, MaskGenerator) and pickle.loads(pickle.dumps(generate)) == generate
    masks = generate(photos.read("10.png"), "10.png")
    assert masks.size == (48, 64) and masks.labels.shape == (24, 32) and masks.num_masks == 2


def test_the_key_seeds_the_draw(images, backbone):
    photo = open_photos(images).read("00.png")
    generate = Clusters(backbone, num=5, side=128)
    ones = [generate(photo, f"{i}.png").labels for i in range(6)]
    assert any(not np.array_equal(ones[0], other) for other in ones[1:])
    assert np.array_equal(generate(photo, "0.png").labels, ones[0])


def test_pieces_may_be_masks_of_their_own(images, backbone):
    photo = open_photos(images).read("10.png")
    plain = Clusters(backbone, num=3, side=256)(photo)
    split = Clusters(backbone, num=3, side=256, connected=True)(photo)
    assert split.num_masks > plain.num_masks and (split.labels >= 0).all()
    for mask in split.stack():
        assert len(set(plain.labels[mask])) == 1, "a piece lies in one cluster"
    shares = np.sort(split.stack().mean((1, 2)))
    least = float(shares[0] + shares[-1]) / 2  # drops the smallest piece and keeps the largest
    large = Clusters(backbone, num=3, side=256, connected=True, min_area=least)(photo)
    assert 0 < large.num_masks < split.num_masks and (large.labels < 0).any()
    assert large.stack().mean((1, 2)).min() >= least
    assert large.ids.tolist() == list(range(large.num_masks))


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_store_is_the_same_however_it_came_about(images, backbone, tmp_path):
    asked = {"images": images, "generator": Clusters(backbone, num=4, side=64), "shard_size": 10}
    threads = torch.get_num_threads()
    one = make_masks(**asked, out=tmp_path / "one", workers=1)
    many = make_masks(**asked, out=tmp_path / "many", workers=6)
    for share in ("2/2", "1/2"):
        make_masks(**asked, out=tmp_path / "shares", workers=2, shard=share)
    assert contents(one) == contents(many) == contents(tmp_path / "shares")
    (one / "shards" / "00001.masks").unlink()
    make_masks(**asked, out=one, workers=3)
    assert contents(one) == contents(many) and torch.get_num_threads() == threads


def test_a_store_knows_its_weights_and_not_their_file(images, tmp_path):
    path = save_tiny(tmp_path / "b.safetensors")
    asked = {"images": images, "out": tmp_path / "out", "workers": 1}
    generator = {"kind": "clusters", "backbone": path, "num": 4, "side": 64}
    header = MaskStore(make_masks(**asked, generator=generator)).header["generator"]
    assert len(header["digest"]) == 12
    shutil.copy(path, tmp_path / "copy.safetensors")
    copied = Clusters(str(tmp_path / "copy.safetensors"), num=4, side=64).identified()
    assert copied.digest == header["digest"]
    save_tiny(path, seed=1)
    with pytest.raises(StoreError, match=f"it has digest={header['digest']}, not digest="):
        make_masks(**asked, generator=generator)
    with pytest.raises(ValueError, match=f"has the digest .*, not {header['digest']}; give anot"):
        make_masks(**asked, generator={**generator, "digest": header["digest"]})


def test_random_weights_are_seeded():
    one, same, other = (Clusters(encoder=TINY, seed=seed).identified() for seed in (0, 0, 1))
    assert one == same and one.digest != other.digest


def test_the_shipped_recipe_from_the_command_line(images, tmp_path):
    words = {"generator.encoder": TINY, "generator.side": 64, "workers": 1}
    out = make_masks("recipes/masks/clusters.yaml", images=images, out=tmp_path, **words)
    store = MaskStore(out)
    assert len(store) == 20 and store["00.png"].num_masks > 1
    with pytest.raises(StoreError, match="it has num=16, not num=4; give another out="):
        make_masks(
            "recipes/masks/clusters.yaml",
            images=images, out=out, **{**words, "generator.num": 4},
        )  # fmt: skip


def test_knows_all_other_sources(images, tmp_path):
    store = MaskStore(make_masks(images=images, out=tmp_path, generator=Grid(3), workers=1))
    assert store["00.png"].num_masks == 9


@pytest.mark.parametrize(
    "asked, kind, sentence",
    [
        ({"num": 1}, RecipeError, "num of clusters must be at least 2, got 1"),
        ({"stride": 4}, RecipeError, "stride of clusters can be 8, 16 or 32, not 4"),
        ({"min_area": 1.0}, RecipeError, "min_area of clusters must be from 0 to 1, got 1.0"),
        ({"backbone": "nowhere.pth"}, BackboneError, "there is no backbone nowhere.pth; give a"),
        ({"encoder": "resnet19"}, ValueError, "there is no encoder 'resnet19'; near: "),
    ],
)  # fmt: skip
def test_says_what_is_wrong(images, tmp_path, asked, kind, sentence):
    generator = {"kind": "clusters", "encoder": TINY, "side": 64, **asked}
    with pytest.raises(kind, match=sentence):
        make_masks(images=images, out=tmp_path / "out", workers=1, generator=generator)


def test_says_what_a_backbone_cannot_take(images, backbone, tmp_path):
    with pytest.raises(
        StoreError, match=r"takes photos of 3 channels, but this one has 1; give ch"
    ):
        make_masks(images=images, out=tmp_path / "o", generator=Clusters(backbone), channels=1)
    with pytest.raises(ValueError, match="a source that runs a network works on this machine alo"):
        make_masks(images=images, out=tmp_path / "o", generator=Clusters(backbone), engine="ray")
