"""A transient unit whose name another process has at the moment is started once that has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.systemd import transient_units
from ordain.agent.system.systemd.systemd1 import Systemd


class Taken:
    """A PID 1 that has a unit of the name for the first ``calls``, and then refuses with ``error``, if any."""

    def __init__(self, calls: int, error: str = "") -> None:
        self.calls, self.error = calls, error

    async def queue_transient(self, unit: str, properties: Any) -> str:
        self.calls -= 1
        if self.calls >= 0:
            raise BusError("org.freedesktop.systemd1.UnitExists", f"Unit {unit} was already loaded")
        if self.error:
            raise BusError(self.error, "no")
        return "/job/1"

    async def wait(self, job: str, timeout_sec: float) -> str:
        return "done"


def run(systemd: Taken, folder: Path, seconds: float = 60.0) -> str:
    return asyncio.run(
        transient_units.run(
            cast(Systemd, systemd), "a.service", "A", [("/bin/a",)], output=folder / "out", seconds=seconds
        )
    )


def test_the_unit_of_another_process_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transient_units, "TAKEN_SEC", 0.001)

    assert run(Taken(3), tmp_path) == ""


def test_a_unit_that_never_ends_is_an_error_after_the_time_of_the_command(tmp_path: Path) -> None:
    assert run(Taken(1000), tmp_path, seconds=0.0) == "a.service of another process still runs after 0 seconds"


def test_another_error_is_returned_at_once(tmp_path: Path) -> None:
    assert run(Taken(0, "org.freedesktop.DBus.Error.AccessDenied"), tmp_path).startswith("no")
