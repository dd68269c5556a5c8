"""Drawn examples are the same in every run: a test that fails is one that was changed.

With HYPOTHESIS_PROFILE=search each run draws others, to look for what nobody thought of.
"""

import gc
import os

os.environ["OMP_NUM_THREADS"] = "1"  # sums of one order in all processes of a test; before torch

from hypothesis import settings

gc.set_threshold(100_000, 50, 100)  # looking for cycles took a fifth of the time of some files
os.fsync = lambda descriptor: None  # no test cuts the power, and a sync takes 2 ms

settings.register_profile("same", derandomize=True)
settings.register_profile("search", max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
