"""The shape of the repository: what may import what, what the wheel holds, what lies at the top."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.transforms.documents import read

TREE = Path(__file__).parents[1]
PARTS = {"transforms": set(), "generator": {"transforms"}, "agent": {"generator", "transforms"}}
TOP = set(PARTS) | {
    *("units", "packaging", "tests", "bench", "docs", "examples", "pyproject.toml", "tox.ini", "Makefile"),
    *("README.md", "HACKING.md", "NEWS.md", "LICENSE", ".gitignore", ".ci"),
}
LINES_MAX = 400
"""A module past this usually holds two ideas."""

pytestmark = pytest.mark.skipif(
    not (TREE / "pyproject.toml").exists(), reason="needs the source tree: this is a copy of tests/"
)


def modules() -> dict[str, Path]:
    """Every module of the three parts by its dotted name."""
    found = {}
    for part in PARTS:
        for path in sorted((TREE / part).rglob("*.py")):
            words = ["ordain", *path.relative_to(TREE).with_suffix("").parts]
            found[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return found


MODULES = modules() if (TREE / "pyproject.toml").exists() else {}


def imports(module: str) -> Iterator[str]:
    """The modules of ours that ``module`` imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(MODULES[module].read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("ordain."):
                yield name if name in MODULES else name.rpartition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_parts_import_one_way(module: str) -> None:
    part = module.split(".")[1]

    foreign = {name for name in imports(module) if name.split(".")[1] not in PARTS[part] | {part}}

    assert foreign == set()


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {module: set(imports(module)) - {module} for module in MODULES}
    while leaves := {module for module, below in graph.items() if not below & graph.keys()}:
        for module in leaves:
            del graph[module]

    assert graph == {}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_holds_one_idea(module: str) -> None:
    lines = MODULES[module].read_bytes().count(b"\n")

    assert lines <= LINES_MAX


def test_the_wheel_holds_every_package() -> None:
    settings = tomllib.loads((TREE / "pyproject.toml").read_text())["tool"]["setuptools"]

    folders = {module for module, path in MODULES.items() if path.name == "__init__.py"}

    assert set(settings["packages"]) == folders


def test_package_and_project_have_one_version() -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    changelog = (TREE / "packaging/debian/changelog").read_text()

    assert changelog.startswith(f"ordain ({project['version']}) ")


def test_the_top_holds_what_was_agreed() -> None:
    if not (TREE / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git checkout")
    listing = subprocess.run(
        ["git", "-C", TREE, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert {path.split("/")[0] for path in listing.stdout.split("\0") if path} <= TOP


def test_the_document_in_the_readme_is_one() -> None:
    text = (TREE / "README.md").read_text()
    document = text[text.index("    ordain: v1") :].partition("\n\n")[0]

    documents, problems = read("README.md", document.encode())

    assert problems == ()
    assert [found.name for found in documents] == ["hello"]


@pytest.mark.parametrize("guide", ["README.md", "HACKING.md"])
def test_what_a_guide_points_at_is_there(guide: str) -> None:
    text = (TREE / guide).read_text()
    pointed = re.findall(
        r"`((?:agent|generator|transforms|tests|units|packaging|docs)/[a-z0-9_./-]*)`|\]\(([^)]+)\)", text
    )

    assert pointed
    assert [name for names in pointed for name in names if name and not (TREE / name).exists()] == []


def test_modules_of_the_tests_have_names_of_their_own() -> None:
    """pytest imports them by their last name; one called ``agent`` would stand in for the package."""
    names = [
        *PARTS,
        *(path.stem for path in (TREE / "tests").rglob("*.py") if path.stem not in {"conftest", "__init__"}),
    ]

    assert sorted({name for name in names if names.count(name) > 1}) == []
