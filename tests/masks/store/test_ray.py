"""Tests for engine=ray: the same store as without, from a cluster that the test starts."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from detcon.masks.sources import Grid
from detcon.masks.store.fill import make_masks
from detcon.masks.store.shard import StoreError
from detcon.workers import WorkerDied


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Twenty photos, one of them unreadable, named by a relative path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(20):
        picture = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"photos/{number:02d}.png"), picture)
    (tmp_path / "photos/07.png").write_bytes(b"")
    return "photos"


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.filterwarnings("ignore")
def test_ray_changes_no_byte(cluster, images, tmp_path):
    settings = {"images": images, "generator": Grid(3), "shard_size": 3}
    one = make_masks(**settings, out=tmp_path / "one", workers=1)
    other = make_masks(**settings, out=tmp_path / "other", engine="ray", shard="2/2")
    assert len(list((other / "shards").iterdir())) == 3
    make_masks(**settings, out=tmp_path / "other", engine="ray", shard="1/2")
    assert contents(other) == contents(one)


@pytest.mark.filterwarnings("ignore")
def test_what_a_worker_says_is_said_here(cluster, images, tmp_path):
    with pytest.raises(StoreError, match=r"^cannot make the masks of 00\.png: cannot cut a photo"):
        make_masks(images=images, generator=Grid(50), out=tmp_path / "o", engine="ray")


class RayError(Exception):
    """As Ray's, which may not be installed here."""


class FakeRay:
    """A cluster of one process that can't be reached, or loses its jobs."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=type("E", (RayError,), {}))

    def __init__(self, reachable):
        self.reachable = reachable

    def is_initialized(self):
        return False

    def init(self, **_):
        if not self.reachable:
            raise ConnectionError("Could not find any running Ray instance.\nPlease specify one.")

    def cluster_resources(self):
        return {"CPU": 1.0}

    def remote(self, **_):
        return lambda work: SimpleNamespace(remote=lambda *job: job)

    def get(self, pending):
        raise RayError("lost")

    cancel = get


@pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
def test_a_cluster_that_cannot_be_reached_is_named(images, tmp_path, monkeypatch, address):
    monkeypatch.setattr("detcon.workers.import_module", lambda _: FakeRay(reachable=False))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    where = f"the cluster of RAY_ADDRESS={address}" if address else "a cluster on this machine"
    sentence = rf"^engine=ray can't use {where} .Could not find .* one\..; .* or leave engine= out$"
    with pytest.raises(ValueError, match=sentence):
        make_masks(images=images, generator=Grid(3), out=tmp_path / "o", engine="ray")


def test_a_cluster_that_loses_its_jobs_is_told_of(images, tmp_path, monkeypatch):
    """Jobs that are cancelled then are lost, too."""
    monkeypatch.setattr("detcon.workers.import_module", lambda _: FakeRay(reachable=True))
    with pytest.raises(WorkerDied, match="the cluster of Ray lost a job .RayError.; give the com"):
        make_masks(images=images, generator=Grid(3), out=tmp_path / "o", engine="ray")


def test_says_that_ray_is_not_installed(images, tmp_path, monkeypatch):
    def without(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("detcon.workers.import_module", without)
    with pytest.raises(ValueError, match=r"engine=ray needs Ray, .*: pip install 'detcon\[ray\]'"):
        make_masks(images=images, generator=Grid(3), out=tmp_path / "o", engine="ray")
