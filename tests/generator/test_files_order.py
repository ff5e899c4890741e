"""The units that place files: their order in a boot, and their view of credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "units"
READERS = {"systemd-networkd.service", "NetworkManager.service", "networking.service", "systemd-resolved.service"}
"""Programs that read files of documents, for example keys of WireGuard, and are not ordered after sysinit.target."""


def before(unit: str) -> set[str]:
    """Return the units that ``unit`` is ordered before."""
    lines = (UNITS / unit).read_text().splitlines()
    return {name for line in lines if line.startswith("Before=") for name in line.removeprefix("Before=").split()}


def test_files_are_placed_before_the_programs_of_the_network_read_them() -> None:
    assert before("ordain-files.service") >= READERS


def test_files_below_run_are_placed_before_the_early_programs_of_the_network_read_them() -> None:
    assert {"systemd-networkd.service", "systemd-resolved.service"} <= before("ordain-files-early.service")


@pytest.mark.parametrize("unit", ["ordain-files-early", "ordain-files", "ordain-files-remote", "ordain-agent"])
@pytest.mark.parametrize("kind", ["@system", "@encrypted"])
def test_a_unit_that_reads_credentials_of_the_boot_sees_them_in_its_sandbox(unit: str, kind: str) -> None:
    lines = (UNITS / f"{unit}.service").read_text().splitlines()

    assert f"BindReadOnlyPaths=-/run/credentials/{kind}:/run/ordain/credentials/{kind}" in lines
