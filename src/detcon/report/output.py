"""Renders pages, and checks where a page or a sheet is written.

Older pages of ours are replaced, other files are kept.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

import detcon
from detcon.files import check_writable

MARK = "detcon-report"
"""Marks every page and sheet as ours, in its first bytes."""


class OutputExists(ValueError):
    """A file of another origin is where the page should go."""


def check_output(path: Path, *, suffixes: tuple[str, ...]) -> None:
    """Refuses to write over a file that we didn't make, and names of another kind of file.

    Raises:
        ValueError: The name doesn't end as it should.
        OutputExists: A file of another origin, or a folder, is there.
        PermissionError: The folder can't be written.
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
    check_writable(path.parent)


def render(template: str, **values: Any) -> str:
    """A page as text: a template of this package with its values, the version and the date."""
    now = datetime.now().astimezone()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("detcon.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(
        mark=f"{MARK} {detcon.__version__}",
        version=detcon.__version__,
        date=f"{now.day} {now:%B %Y, %H:%M}",
        **values,
    )
