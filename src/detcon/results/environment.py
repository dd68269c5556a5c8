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
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


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
