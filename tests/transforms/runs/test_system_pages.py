"""The pages about systems agree with the database, and name every variable of a pattern."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.formats.pattern_syntax import names, parse
from ordain.transforms.document.reader import read
from ordain.transforms.model import Document
from ordain.transforms.runs.run_render import render_runs
from ordain.transforms.runs.scheduler_rows import VARIABLES, run_systems
from ordain.transforms.runs.system_pages import pages

TREE = Path(__file__).parents[3]
DOCS = TREE / "docs/reference"
EXAMPLES = TREE / "examples/runs"


@pytest.mark.skipif(not DOCS.exists(), reason="no source tree here")
@pytest.mark.parametrize("system", pages())
def test_the_committed_page_of_a_system_is_current(system: str) -> None:
    made_by = "python3 -m ordain.transforms.runs.system_pages docs/reference/runs"

    assert (DOCS / f"runs/{system}.md").read_text() == pages()[system], made_by


def test_every_shipped_system_has_a_page() -> None:
    assert set(pages()) == set(run_systems(shipped())[0].names())


@pytest.mark.skipif(not DOCS.exists(), reason="no source tree here")
def test_every_variable_of_a_shipped_pattern_is_described() -> None:
    described = set(re.findall(r"`([a-z-]+)`", (DOCS / "runs.md").read_text()))
    systems, _ = run_systems(shipped())
    used: set[str] = set()
    for name in systems.names():
        system = systems.system(name)
        texts = [
            text for key in ("directives", "dependencies") for _, found, _ in system.patterns(key) for text in found
        ]
        texts += [
            word for key in ("container", "submit", "status", "cancel", "log") for v in system.words(key) for word in v
        ]
        texts += [word for launcher in system.row.branch("launchers") for word in system.launcher(launcher)]
        used |= {variable for text in texts for variable in names(parse(text))}

    assert len(used) > 30
    assert used | VARIABLES <= described


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not beside the tests")
@pytest.mark.parametrize("system", ["hpc1", "hpc2"])
def test_the_examples_render_for_both_systems_of_the_site(system: str) -> None:
    documents: list[Document] = []
    for path in sorted(EXAMPLES.glob("*.yaml")):
        found, problems = read(path.name, path.read_bytes())
        assert problems == ()
        documents += found

    rendered = render_runs(documents, run_systems((*shipped(), *documents))[0], system)

    assert [(script.run, script.elements) for script in rendered.scripts] == [
        ("lattice-sweep", 6),
        ("nightly-statistics", 1),
        ("ocean-build", 1),
        ("ocean-model", 1),
    ]
    assert rendered.problems == ()
    account = {"hpc1": "p1234", "hpc2": "CLIM-01"}[system]
    assert any(line.text.endswith(account) for line in rendered.scripts[-1].lines)


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not beside the tests")
def test_the_nightly_example_runs_on_a_single_machine() -> None:
    documents, _ = read("nightly.yaml", (EXAMPLES / "nightly-statistics.yaml").read_bytes())

    (script,) = render_runs(documents, run_systems(shipped())[0], "local").scripts

    assert "--property=MemoryMax=1073741824" in [line.text for line in script.arguments]
