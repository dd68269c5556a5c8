"""Links in the documents lead somewhere, and the functions they name are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")],
)
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def links(page):
    for text, target in LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"https?:|mailto:", target):
            yield text, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for _, target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target} isn't there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name}: {target} has no such heading"


def anchors(page):
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


def test_named_functions_are_there():
    page = ROOT / "docs" / "architecture.md"
    named = [(text, target) for text, target in links(page) if target.endswith(".py")]
    assert len(named) > 30
    for text, target in named:
        name = text.strip("`")
        tree = ast.parse((page.parent / target).read_text(encoding="utf-8"))
        defined = {getattr(node, "name", None) for node in tree.body}
        assert name in defined, f"{target} defines no {name}"
