"""What a run ran on: `environment.json`, with versions, machine, commit, command and times."""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from detcon.files import write_whole
from detcon.results import RunError

ENVIRONMENT = "environment.json"
PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy", "opencv-python-headless")


def machine_facts(
    command: str = "", *, device: str, cores: int, threads: int, ranks: int
) -> dict[str, Any]:
    """What this process runs on.

    Args:
        command: What was typed; taken from the process if empty.
        device: The name of the GPU, or `cpu`.
        cores: Processor cores that the process may use.
        threads: Threads of one operation.
        ranks: Processes that train together.
    """
    return {
        "command": command or shlex.join(sys.argv),
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


def read_environment(folder: Path) -> dict[str, Any]:
    """Reads `environment.json`; empty where there is none.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / ENVIRONMENT
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise RunError(f"{path} is not JSON: {error}; restore it, or remove it") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} holds no names and values; restore it, or remove it")
    return values


def write_environment(folder: Path, values: Mapping[str, Any]) -> None:
    """Writes `environment.json` in one move."""
    write_whole(folder / ENVIRONMENT, json.dumps(values, indent=1))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


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
