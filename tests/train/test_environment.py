"""What a run changes of its process: memory that is freed."""

import platform
from resource import RUSAGE_SELF, getrusage

import pytest
import torch

from detcon.train.environment import freed_memory_kept

CPU = torch.device("cpu")
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left")


def new_pages() -> int:
    """How many pages the system gives for 64 MiB that are taken, written and freed."""

    def use() -> None:
        torch.empty(2**24).fill_(1.0)

    use()
    before = getrusage(RUSAGE_SELF).ru_minflt
    use()
    return getrusage(RUSAGE_SELF).ru_minflt - before


@glibc
def test_large_memory_is_taken_again_without_new_pages_and_given_back_at_the_end(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")  # is no threshold
    outside = new_pages()
    with freed_memory_kept(CPU):
        assert new_pages() < outside / 4
    assert new_pages() == pytest.approx(outside, rel=0.5)


@glibc
@pytest.mark.parametrize(
    "own", [{"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}, {"MALLOC_MMAP_MAX_": "9"}, {}]
)
def test_settings_of_the_user_and_gpus_leave_it_as_it_is(monkeypatch, own):
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    outside = new_pages()
    with freed_memory_kept(CPU if own else torch.device("cuda")):
        assert new_pages() == pytest.approx(outside, rel=0.5)
