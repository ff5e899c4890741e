"""The table of how far Ordain works on each system has a row for each, and its page and help follow it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.transforms.catalog.known_systems import known_systems
from ordain.transforms.catalog.system_support import LEVELS, TABLE, page, system_support

PAGE = Path(__file__).parents[3] / "docs/reference/systems.md"
OLDEST = 252


def test_each_known_system_has_a_level_and_a_reason() -> None:
    support = system_support()

    assert set(support) == set(known_systems())
    assert {row.level for row in support.values()} <= LEVELS.keys()
    assert all(row.known for row in support.values())


def test_no_system_with_an_older_systemd_runs_it() -> None:
    old = {name for name, row in known_systems().items() if row["systemd"] < OLDEST}

    assert old
    assert {system_support()[name].level for name in old} == {"in part"}
    assert all("older than 252" in system_support()[name].known for name in old)


@pytest.mark.skipif(not PAGE.exists(), reason="needs the source tree")
def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text() == page(), f"run `make pages` after a change of {TABLE.name}"


def test_ordainctl_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "systems"]) == 0

    shown = capsys.readouterr().out
    assert "debian-13" in shown
    assert "  rhel-9" in shown
    assert "in part: package built; its Python 3.12" in shown
