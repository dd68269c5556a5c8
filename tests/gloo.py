"""Processes that find each other through gloo, as torchrun would start them."""

import os
import socket
import subprocess
import sys


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


def run_ranks(script, folder, world=2):
    """Runs a script in each of several processes, and gives what each printed.

    Args:
        script: Python, with the folder as `sys.argv[1]`; it imports what the test could.
        folder: To leave things in.
        world: How many processes.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            env=one,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for one in environments(world)
    ]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * world, results
    return [out for out, _ in results]
