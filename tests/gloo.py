"""Processes that find each other through gloo, as torchrun would start them."""

import multiprocessing
import multiprocessing.process
import os
import socket
import sys

import torch

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload([
    "detcon.downstream.transfer", "detcon.pretraining.training",
    "torch._dynamo", "torch.utils.tensorboard",  # a training imports them: two seconds a process
])  # fmt: skip


def environments(world):
    """What torchrun would tell each of so many processes; nothing to one alone."""
    if world == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    common |= {"LOCAL_WORLD_SIZE": str(world), "TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0"}
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]


def start_ranks(script, folder, world):
    """Starts a script in each of several processes; what each prints is in `folder/.said-RANK`.

    They are forked from a server that has imported torch and detcon, once for all tests.

    Args:
        script: Python, with the folder as `sys.argv[1]`; it imports what the test could.
        folder: To leave things in.
        world: The number of processes; one is no rank.
    """
    processes = [
        SERVER.Process(target=_be_rank, args=(script, str(folder), environment, rank))
        for rank, environment in enumerate(environments(world))
    ]
    for process in processes:
        process.start()
    return processes


def run_ranks(script, folder, exits=(0, 0)):
    """Runs a script in as many ranks as there are exit codes, and gives what each printed."""
    processes = start_ranks(script, folder, len(exits))
    for process in processes:
        process.join(timeout=300)
        process.kill()
    texts = [(folder / f".said-{rank}").read_text() for rank in range(len(exits))]
    assert [process.exitcode for process in processes] == list(exits), texts
    return texts


def _be_rank(script, folder, environment, rank):
    os.environ.update(environment, OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(sys.path))
    multiprocessing.process._parent_process = None  # a rank is no worker, which prints no notes
    with open(f"{folder}/.said-{rank}", "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["-c", folder]
    torch.set_num_threads(1)
    exec(script, {"__name__": "__main__"})
    sys.stdout.flush()
