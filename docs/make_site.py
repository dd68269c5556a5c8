"""Writes the sources of the documentation site into build/site: `make docs` does, and builds it.

They are the pages of docs/, README, CONTRIBUTING and CHANGELOG, the notebooks with what they print
and draw, and a reference made from the code. A link to any other file of the repository, as a
module or a recipe, leads to a page that shows it.
"""

import io
import os
import re
import shutil
from functools import partial
from importlib import import_module
from pathlib import Path

from rich.console import Console
from run_notebook import write_page

import detcon
from detcon.cli.help import list_verbs, teach
from detcon.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "site"
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json"}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)((?:#[^)\s]*)?\))")


def make_site() -> None:
    """Writes all pages, in place of earlier ones; runs the notebooks."""
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree(ROOT / "docs", OUT, ignore=shutil.ignore_patterns("*.py"))
    (OUT / "reference").mkdir()
    for name in (*(f"docs/{path.relative_to(OUT)}" for path in OUT.rglob("*.md")), *MOVED):
        text = _links_moved((ROOT / name).read_text("utf-8"), name)
        (OUT / _page(name)).write_text(text, "utf-8")
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.py")):
        name = f"docs/notebooks/{notebook.name}"
        write_page(notebook, OUT / _page(name), partial(_links_moved, name=name))
    (OUT / "reference" / "commands.md").write_text(_commands(), "utf-8")
    (OUT / "reference" / "python.md").write_text(_names(), "utf-8")


def _page(name: str) -> str:
    """Where a file of the repository is shown, as a path in the site."""
    if name.startswith("docs/notebooks/"):
        return name[5:].replace(".py", ".md")
    return MOVED.get(name) or (name[5:] if name.startswith("docs/") else f"code/{name}.md")


def _links_moved(text: str, name: str) -> str:
    """The text of a file, with its links as they are from its place in the site."""
    return _LINK.sub(partial(_linked, name=name, page=OUT / _page(name)), text)


def _linked(found: re.Match[str], name: str, page: Path) -> str:
    """The address of a link in another place; makes the page of a file that has none."""
    target = os.path.normpath(Path(name).parent / found[1])
    file, shown = ROOT / target, OUT / _page(target)
    if not file.exists():
        raise SystemExit(f"{name} links to {found[1]}, which doesn't exist")
    if target.startswith("docs/") and file.suffix not in (".md", ".py"):
        shown = OUT / target[5:]
    elif target not in MOVED and not target.startswith("docs/"):
        _show(file, target, shown)
    return os.path.relpath(shown, page.parent) + found[2]


def _show(file: Path, target: str, page: Path) -> None:
    if file.is_dir():
        text = "\n".join(sorted(f"- `{inner.name}`" for inner in file.iterdir()))
    else:
        text = f"````{LANGUAGES.get(file.suffix, 'text')}\n{file.read_text('utf-8')}\n````"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"# {target}\n\n{text}\n", "utf-8")


def _commands() -> str:
    out = Console(width=88, record=True, file=io.StringIO(), highlight=False)
    list_verbs(VERBS, out)
    parts = ["# Commands and settings", f"```text\n{out.export_text()}```"]
    for name, verb in VERBS.items():
        module, _, recipe = verb.recipe.partition(":")
        teach(name, verb, getattr(import_module(f"detcon.{module}"), recipe), out)
        parts += [f"## {name}", f"```text\n{out.export_text()}```"]
    return "\n\n".join(parts)


def _names() -> str:
    parts = ["# Python", "All of it is imported from `detcon`: `from detcon import pretrain`."]
    parts += [f"::: detcon.{home}.{name}" for name, home in detcon._HOMES.items()]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    make_site()
