"""The takeover: one program starts the services of a boot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from ordain.agent.daemon.status.takeover import CLAIMED, RECORD, TARGET, read_takeover, take_over
from ordain.agent.model import UnitState
from ordain.agent.system.systemd.systemd1 import Systemd


class Target(Systemd):
    """A PID 1 that only records which units are started."""

    def __init__(self, active: str = "inactive", job: bool = False) -> None:
        self.started: list[str] = []
        self.active, self.job = active, job

    async def start(self, unit: str) -> None:
        self.started.append(unit)

    async def list_units(self, names: Iterable[str]) -> dict[str, UnitState]:
        return {name: UnitState(name=name, active_state=self.active) for name in names}

    async def has_job(self, unit: str) -> bool:
        return self.job


def test_the_first_agent_of_a_boot_takes_over_and_later_ones_do_not(tmp_path: Path) -> None:
    systemd = Target()

    assert [asyncio.run(take_over(systemd, tmp_path, "agent")) for _ in range(3)] == [True, False, False]
    assert systemd.started == [TARGET]
    assert read_takeover(tmp_path)[0] == "agent"


def test_the_agent_starts_nothing_after_the_fallback_took_over(tmp_path: Path) -> None:
    (tmp_path / RECORD).parent.mkdir(parents=True)
    (tmp_path / RECORD).write_text("fallback\n")  # as ordain-fallback.service writes it
    systemd = Target()

    assert not asyncio.run(take_over(systemd, tmp_path, "agent"))
    assert systemd.started == []
    assert read_takeover(tmp_path)[0] == "fallback"


@pytest.mark.parametrize(
    ("systemd", "starts"),
    [(Target(), [TARGET]), (Target("active"), []), (Target("inactive", job=True), [])],
    ids=["not started", "active", "queued"],
)
def test_a_takeover_that_was_cut_short_is_finished_once(tmp_path: Path, systemd: Target, starts: list[str]) -> None:
    (tmp_path / RECORD).parent.mkdir(parents=True)
    (tmp_path / RECORD).write_text(f"agent {CLAIMED}\n")

    asyncio.run(take_over(systemd, tmp_path, "agent"))

    assert systemd.started == starts
