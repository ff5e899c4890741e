"""No unit of ours that runs on may take the memory of the machine, or is spared when memory is short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "units"


@pytest.mark.parametrize("name", ["ordain-agent.service", "ordain-source.service", "ordain-relay.service"])
def test_the_memory_of_a_unit_that_runs_on_is_bounded(name: str) -> None:
    assert re.search(r"^MemoryMax=[0-9]+[%MG]$", (UNITS / name).read_text(), re.MULTILINE)


def test_the_kernel_spares_no_unit_of_ours_when_memory_is_short() -> None:
    units = sorted(UNITS.glob("*.service"))

    assert units
    assert [unit.name for unit in units if re.search(r"^OOMScoreAdjust=-", unit.read_text(), re.MULTILINE)] == []
