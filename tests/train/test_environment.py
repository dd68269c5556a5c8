"""What a run changes of its process: memory that is freed."""

import json
import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import json
from resource import RUSAGE_SELF, getrusage
import torch
from detcon.train.environment import freed_memory_kept

def new_pages():
    before = getrusage(RUSAGE_SELF).ru_minflt
    for _ in range(8):
        kept = [torch.empty(num * 2**18).fill_(1.0) for num in (60, 40, 50, 70)]
        del kept
    return getrusage(RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

found, start = [new_pages()], resident()
for device in ("cuda", "cpu"):
    with freed_memory_kept(torch.device(device)):
        found.append(new_pages())
print(json.dumps([*found, resident() - start]))
"""
"""The pages that the system gives for 220 MiB that are taken, written and freed eight times:
without a block, in one on a GPU, and in one on a CPU; then what is still held. In a process of its
own, since what a process has freed before counts."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
@pytest.mark.parametrize(
    ("own", "is_kept"),
    [({"MALLOC_ARENA_MAX": "2"}, True), ({"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}, False)],
)
def test_freed_memory_serves_again_on_cpus_unless_the_user_has_thresholds(own, is_kept):
    ours = ("MALLOC_", "GLIBC_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    printed = subprocess.check_output([sys.executable, "-c", COUNT], env={**env, **own}, text=True)
    without, on_gpu, on_cpu, held = json.loads(printed)
    assert on_gpu > 0.9 * without
    assert on_cpu < 0.5 * without if is_kept else on_cpu > 0.9 * without
    assert held * os.sysconf("SC_PAGE_SIZE") < 22 * 2**20, "given back at the end"
