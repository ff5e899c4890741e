"""Roles come from bus names, from the session of the caller, from triggers, and from names of units."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply.deviations.protected_units import PATH, remember_session, roles
from ordain.agent.model import UnitState
from ordain.agent.plan.unit_view import SESSION_ROLE
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.systemd.systemd1 import FIELDS, Systemd

OWNERS = {"org.freedesktop.DBus": 11, "org.freedesktop.login1": 12}
UNITS = {11: "dbus-broker.service", 12: "logins.service"}
TRIGGERS = {"ssh.service": ("ssh.socket",), "dbus-broker.service": ("bus.socket",)}


class Names:
    """A bus that knows the owners of names, as `Systemd.bus`."""

    async def call(self, *args: Any, **_: Any) -> int:
        if args[-1] not in OWNERS:
            raise BusError("org.freedesktop.DBus.Error.NameHasNoOwner", "nobody")
        return OWNERS[args[-1]]


class Machine(Systemd):
    """PID 1 with a few processes."""

    def __init__(self) -> None:
        super().__init__(Names())  # type: ignore[arg-type]

    async def unit_of(self, pid: int) -> str:
        own = {os.getpid(): "session-3.scope", os.getppid(): "ssh.service"}
        return {**UNITS, **own}.get(pid, "")

    async def inspect(self, names: Iterable[str], fields: frozenset[str] = FIELDS) -> dict[str, UnitState]:
        return {name: UnitState(name=name, triggered_by=TRIGGERS.get(name, ())) for name in names}


def found(*units: str, root: Path = Path("/nowhere"), caller: int = 0) -> Mapping[str, str]:
    return asyncio.run(roles(Machine(), units, root, caller=caller))


def test_the_owner_of_a_bus_name_has_its_role_whatever_its_unit_is_called() -> None:
    assert found("dbus-broker.service", "logins.service", "web.service") == {
        "dbus-broker.service": "the message bus",
        "logins.service": "the login manager",
    }


def test_a_trigger_of_a_protected_unit_is_protected() -> None:
    assert found("bus.socket") == {"bus.socket": "the message bus"}


@pytest.mark.parametrize(
    "unit", ["systemd-journald.service", "systemd-udevd-control.socket", "-.mount", "user@0.service", "session-1.scope"]
)
def test_a_unit_with_the_same_name_everywhere_has_its_role(unit: str) -> None:
    assert set(found(unit)) == {unit}


def test_the_session_of_the_caller_is_protected_up_to_its_socket() -> None:
    assert found("ssh.service", "ssh.socket") == {}

    assert found("ssh.service", "ssh.socket", "web.service", caller=os.getpid()) == {
        "ssh.service": SESSION_ROLE,
        "ssh.socket": SESSION_ROLE,
    }


def test_a_session_that_asked_for_an_apply_stays_protected_as_long_as_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as shell:
        monkeypatch.setitem(UNITS, shell.pid, "asks.service")
        remember_session(tmp_path, shell.pid)
        remember_session(tmp_path, shell.pid)
        assert found("asks.service", root=tmp_path) == {"asks.service": SESSION_ROLE}
        assert len(json.loads((tmp_path / PATH).read_text())) == 1
        shell.kill()
    assert found("asks.service", root=tmp_path) == {}


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'[["a", 1]]', b"\xff", b"null"])
def test_an_unreadable_list_of_sessions_counts_as_empty(tmp_path: Path, data: bytes) -> None:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_bytes(data)

    assert found("asks.service", root=tmp_path) == {}


def test_a_later_process_with_the_same_number_is_not_protected(tmp_path: Path) -> None:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_text(json.dumps([[os.getpid(), 1]]))

    assert found("session-3.scope", "ssh.service", root=tmp_path) == {"session-3.scope": "a session"}
