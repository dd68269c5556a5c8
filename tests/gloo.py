"""Processes that find each other through gloo, as torchrun would start them."""

import multiprocessing
import multiprocessing.process
import os
import socket
import sys

import torch

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["detcon.downstream.transfer", "detcon.pretraining.training"])


def environments(world):
    """What torchrun would tell each of so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    common |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    common |= {"TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0"}
    return [
        {**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        for rank in range(world)
    ]


def run_ranks(script, folder, exits=(0, 0)):
    """Runs a script in each of several processes, and gives what each printed.

    They are forked from a server that has imported torch and detcon, once for all tests.

    Args:
        script: Python, with the folder as `sys.argv[1]`; it imports what the test could.
        folder: To leave things in.
        exits: The exit code of each process; there are as many as codes.
    """
    world = len(exits)
    said = [folder / f".said-{rank}" for rank in range(world)]
    processes = [
        SERVER.Process(target=_be_rank, args=(script, str(folder), environment, str(path)))
        for environment, path in zip(environments(world), said, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
        process.kill()
    texts = [path.read_text() for path in said]
    assert [process.exitcode for process in processes] == list(exits), texts
    return texts


def _be_rank(script, folder, environment, said):
    os.environ.update(environment)
    multiprocessing.process._parent_process = None  # a rank is no worker, which prints no notes
    with open(said, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["-c", folder]
    torch.set_num_threads(1)
    exec(script, {"__name__": "__main__"})
    sys.stdout.flush()
