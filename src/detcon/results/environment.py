"""The machine and versions of a run: `environment.json`, with command, commit and times."""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from detcon.files import write_whole
from detcon.results.lines import parse_object

ENVIRONMENT = "environment.json"
VECTORS = ("avx512_bf16", "avx512f", "avx2")
PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless")


def machine_facts(
    command: str = "", *, device: str, cores: int, threads: int, ranks: int
) -> dict[str, Any]:
    """Describes the machine, the package versions and the command of this process.

    Args:
        command: As it was typed; taken from the process if empty.
        threads: Threads of one operation.
        ranks: Processes that train together.
    """
    return {
        "command": command or shlex.join([_program(sys.argv[0]), *sys.argv[1:]]),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("detcon", *PACKAGES)},
        "device": device,
        "cpu": _cpu_name(),
        "cores": cores,
        "threads": threads,
        "ranks": ranks,
        "system": platform.platform(),
        "git": _commit(Path(__file__).parents[3]),
    }


def _program(path: str) -> str:
    """The command's name, also where it was begun as `python -m detcon`."""
    return "detcon" if Path(path).parts[-2:] == ("detcon", "__main__.py") else path


def read_environment(folder: Path) -> dict[str, Any]:
    """Reads `environment.json`; empty where there is none.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / ENVIRONMENT
    return parse_object(path, "restore it, or remove it") if path.exists() else {}


def write_environment(folder: Path, values: Mapping[str, Any]) -> None:
    """Writes `environment.json`."""
    write_whole(folder / ENVIRONMENT, json.dumps(values, indent=1))


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _cpu_name() -> str:
    try:
        found = name_cpu(Path("/proc/cpuinfo").read_text())
    except OSError:
        found = ""
    return found or platform.processor()


def name_cpu(cpuinfo: str) -> str:
    """The processor and its widest vectors, which decide how sums round; "" for no name.

    >>> name_cpu("model name : A CPU\\nflags : fpu avx2 avx512f")
    'A CPU (avx512f)'
    """
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    facts = {key.strip(): value.strip() for key, _, value in lines}
    name, flags = facts.get("model name", ""), facts.get("flags", "").split()
    vectors = next((one for one in VECTORS if one in flags), None)
    return f"{name} ({vectors})" if name and vectors else name


@cache  # a later commit isn't the code that runs
def _commit(checkout: Path) -> str | None:
    """The commit of the package's own checkout, with `-dirty` where files were changed."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
