"""Checks where a page or a sheet goes: older ones of ours are replaced, other files are kept."""

from pathlib import Path

MARK = "detcon-report"
"""Marks every page and sheet as ours, in its first bytes."""


class OutputExists(ValueError):
    """A file of another origin is where the page should go."""


def check_output(path: Path, *, suffixes: tuple[str, ...]) -> None:
    """Refuses to write over a file that we didn't make, and names of another kind of file.

    Raises:
        OutputExists: A folder or another file is there.
        ValueError: The name ends in something else than what is written.
    """
    if path.suffix.lower() not in suffixes:
        kinds = " or ".join(suffixes)
        raise ValueError(f"cannot write to {path}: give a name that ends in {kinds}")
    if path.is_dir():
        raise OutputExists(f"cannot write to {path}: it is a folder; give the name of a file")
    if path.is_file():
        with path.open("rb") as file:
            if MARK.encode() not in file.read(1000):
                raise OutputExists(
                    f"{path} exists and wasn't made by detcon; give another out=, or remove it"
                )
