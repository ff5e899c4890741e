"""Links between the Markdown pages: each leads to a file, and to a heading of it where it names one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TREE = Path(__file__).parents[1]
PAGES = sorted(path for path in (*TREE.glob("*.md"), *(TREE / "docs").rglob("*.md")) if path.is_file())
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.skipif(not (TREE / "docs").exists(), reason="needs the source tree")


def links(page: Path) -> Iterator[str]:
    """Yield the target of each link that leads to another place in the tree."""
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if not target.startswith(("https://", "http://", "mailto:")):
            yield target


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors that renderers of Markdown give the headings of ``page``."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return frozenset(
        "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_") for heading in headings
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TREE)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    dead = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
        if target.suffix == ".md" and page.is_relative_to(TREE / "docs") and not target.is_relative_to(TREE / "docs"):
            dead.append(f"{link}: it leaves docs/, and the site (`make docs`) has no other pages")

    assert dead == []


def test_every_page_is_reached_from_the_index() -> None:
    index = TREE / "docs/index.md"
    if not index.exists():
        pytest.skip("there is no index yet")
    seen, waiting = set(), [index]
    while waiting:
        page = waiting.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            targets = ((page.parent / link.partition("#")[0]).resolve() for link in links(page))
            waiting += [target for target in targets if target.is_file() and target.is_relative_to(TREE / "docs")]

    assert {page for page in PAGES if page.is_relative_to(TREE / "docs")} - seen == set()


def test_every_page_is_in_the_menu_of_the_site() -> None:
    """Sphinx warns of a page that is in no menu, and `make docs` takes warnings for errors."""
    tree = ast.parse((TREE / "docs/conf.py").read_text())
    (menu,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CONTENTS"
    )
    patterns = [pattern for patterns in menu.values() for pattern in patterns]
    pages = (path.relative_to(TREE / "docs").with_suffix("") for path in PAGES if path.is_relative_to(TREE / "docs"))

    missing = [str(page) for page in pages if not any(page.match(pattern) for pattern in patterns)]

    assert missing == ["index"]
