"""The wheel holds what an installed detcon needs, the source distribution the whole repository."""

import subprocess
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import detcon

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    builders = pytest.importorskip("hatchling.builders.wheel")
    folder = tmp_path_factory.mktemp("wheel")
    (path,) = builders.WheelBuilder(str(REPOSITORY)).build(directory=str(folder))
    with ZipFile(path) as file:
        yield file


def test_sources_recipes_templates_and_marks_are_in_the_wheel(wheel):
    names = set(wheel.namelist())
    source = REPOSITORY / "src"
    wanted = {path.relative_to(source).as_posix() for path in source.rglob("*.*") if path.is_file()}
    wanted = {name for name in wanted if not name.endswith(".pyc") and "__pycache__" not in name}
    assert {"detcon/py.typed", "detcon/report/page.html.j2", "detcon/report/style.css"} < wanted
    recipes = {f"detcon/{path.relative_to(REPOSITORY).as_posix()}"
               for path in (REPOSITORY / "recipes").rglob("*.yaml")}  # fmt: skip
    assert recipes and (wanted | recipes) <= names
    others = {name for name in names - wanted - recipes if ".dist-info/" not in name}
    assert not others, "nothing else is installed"


def test_the_source_distribution_is_what_git_knows(tmp_path):
    builders = pytest.importorskip("hatchling.builders.sdist")
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a checkout")
    list_files = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(list_files, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    known = {name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()}
    (path,) = builders.SdistBuilder(str(REPOSITORY)).build(directory=str(tmp_path))
    with tarfile.open(path) as file:
        names = {name.split("/", 1)[1] for name in file.getnames()}
    assert names == known | {"PKG-INFO"}
    assert Path(path).stat().st_size < 10_000_000


def test_the_versions_agree(wheel):
    version = detcon.__version__
    about = f"detcon-{version}.dist-info/METADATA"
    assert f"\nVersion: {version}\n" in wheel.read(about).decode()
    assert f"\nversion: {version}\n" in (REPOSITORY / "CITATION.cff").read_text("utf-8")
    assert f"\n## {version}" in (REPOSITORY / "CHANGELOG.md").read_text("utf-8")
