"""Runs many small jobs in order: on this machine, or on a cluster of Ray."""

from detcon.workers.local import WorkerDied, in_order, num_cores
from detcon.workers.on_ray import in_order_on_ray

__all__ = ["WorkerDied", "in_order", "in_order_on_ray", "num_cores"]
