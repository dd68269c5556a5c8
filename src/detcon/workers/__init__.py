"""Working on many small jobs, in order: in processes of this machine, or on a cluster of Ray."""

from detcon.workers.on_ray import in_order_on_ray
from detcon.workers.processes import WorkerDied, in_order

__all__ = ["WorkerDied", "in_order", "in_order_on_ray"]
