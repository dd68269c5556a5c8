"""Runs a notebook (jupytext, percent format), and writes it as a page with its outputs."""

import base64
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode

SECONDS = 900
"""Longest time of one cell, on a busy machine."""


def write_page(source: Path, page: Path, moved: Callable[[str], str]) -> None:
    """Runs the notebook in an empty folder, and writes the page and its pictures.

    Args:
        source: The notebook, `NAME.py`.
        page: Where it goes, `NAME.md`; pictures are `NAME-1.png` and so on, beside it.
        moved: Changes the links of the texts.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed; the message has its traceback.
    """
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # of tqdm; there are no widgets
    notebook = jupytext.read(source)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=place).execute()
    page.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(moved(cell.source))
        else:
            parts.append(f"```python\n{cell.source}\n```")
            parts += _printed_and_drawn(cell.outputs, page, len(parts))
    page.write_text("\n\n".join(parts) + "\n", "utf-8")


_UNSEEN = re.compile(r"\x1b\[[0-9;]*m|[^\n]*\r(?!\n)")
"""Colours of a terminal, and what a progress bar has written over."""


def _printed_and_drawn(outputs: Sequence[NotebookNode], page: Path, number: int) -> list[str]:
    """The outputs of a cell as Markdown: texts, and pictures that are written beside the page."""
    parts = []
    for suffix, some in groupby(outputs, key=_suffix):
        if suffix is None:
            text = _UNSEEN.sub("", "".join(map(_text, some))).strip("\n").rstrip()
            parts += [f"```text\n{text}\n```"] if text else []
            continue
        for output in some:
            picture = page.with_name(f"{page.stem}-{number + len(parts)}.{suffix}")
            picture.write_bytes(base64.b64decode(output.data[f"image/{suffix}"]))
            parts.append(f"![Drawn by the cell above]({picture.name})")
    return parts


def _suffix(output: NotebookNode) -> str | None:
    """The kind of picture that an output is; None: it is text."""
    return next((s for s in ("png", "jpeg") if f"image/{s}" in output.get("data", {})), None)


def _text(output: NotebookNode) -> str:
    return output.text if output.output_type == "stream" else output.data["text/plain"]
