"""Links in the documents lead somewhere, the functions they name are there, README is up to date.

`python tests/test_docs.py` writes README's table of claims anew, from docs/claims.md.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
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


def test_readme_has_no_long_sentence():
    """Two lines of a page are about 240 characters."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$|^<!-- .*? -->$|^[|!][^\n]*$", "", text, flags=re.M | re.S)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    long = [one for one in re.split(r"[.:]\s|\n", text) if len(one) > 240 and " · " not in one]
    assert not long


MARKED = re.compile(
    r"(?<=`python tests/test_docs.py` writes it -->\n).*?(?=<!-- end -->)", re.DOTALL
)


def claims_in_short():
    """The table at the head of docs/claims.md, without intervals."""
    head = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8").partition("<!-- study")[0]
    rows = [row.strip().strip("|").split("|") for row in head.splitlines() if row[:1] == "|"]
    kept = [rows[0].index(name) for name in (" claim ", " judged by ", " here ", " verdict ")]
    short = "".join("|" + "|".join(row[i] for i in kept) + "|\n" for row in rows)
    return re.sub(r"\]\((?!https?:)", "](docs/", short.replace("](#", "](claims.md#"))


def test_readme_has_the_table_of_claims():
    (shown,) = MARKED.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown == claims_in_short(), "docs/claims.md has changed: run python tests/test_docs.py"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    readme.write_text(MARKED.sub(lambda _: claims_in_short(), before), encoding="utf-8")
