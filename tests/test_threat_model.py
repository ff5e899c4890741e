"""The threat model names a test for each promise, and each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TREE = Path(__file__).parents[1]
PAGE = TREE / "docs/design/threat-model.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="needs the source tree")


def test_every_row_of_the_threat_model_names_a_test_that_exists() -> None:
    table = PAGE.read_text().partition("## Attackers")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| who ")]
    assert len(rows) > 20

    for row in rows:
        named = NAMED.findall(row.rstrip("| ").rpartition("|")[2])
        assert named, f"no test is named: {row}"
        for path, name in named:
            assert (TREE / path).is_file(), f"{path} does not exist: {row}"
            assert not name or re.search(rf"^(async )?def {name}\(", (TREE / path).read_text(), re.M), (
                f"{path} has no {name}"
            )
