"""A unit that runs on with the unit file of before, which somebody else has changed, is told from an up-to-date one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply.deviations.outdated_processes import outdated_processes
from ordain.agent.model import Generation, UnitState
from ordain.agent.system.systemd.systemd1 import FIELDS, Systemd
from ordain.transforms.model import Member, Wanted

SECOND = 1_000_000
GENERATED = "run/systemd/generator/web.service"
INSTALLED = "usr/lib/systemd/system/web.service"
COPY = "etc/systemd/system/web.service"
SOURCE = "etc/containers/systemd/web.container"
GENERATION = Generation(
    number=1,
    hash="1",
    members=(
        Member(unit="web.service", item="services/web", wanted=Wanted.RUNNING, ours=False),
        Member(unit="ours.service", item="services/ours", wanted=Wanted.RUNNING, ours=True),
    ),
)


class Pid1(Systemd):
    """PID 1 that has started web at ``started`` and read its units at ``read``, in seconds since 1970."""

    def __init__(self, file: str) -> None:
        self.file, self.started, self.read, self.unread_files = file, 10.0, 5.0, False
        self.invocation, self.active = "a", "active"
        self.asked = 0

    async def inspect(self, names: Iterable[str], fields: frozenset[str] = FIELDS) -> dict[str, UnitState]:
        self.asked += 1
        path = f"/{self.file}"
        return {
            name: UnitState(name=name, active_state=self.active, invocation_id=self.invocation, fragment_path=path)
            for name in names
        }

    async def property(self, unit: str, name: str) -> Any:
        return int(self.started * SECOND)

    async def units_read_usec(self) -> tuple[int, int]:
        return int(self.read * SECOND), 0

    async def unread(self, unit: str, paths: Iterable[str]) -> bool:
        return self.unread_files


class Machine:
    """A root with one unit file of somebody else, at which `look` looks."""

    def __init__(self, root: Path, file: str) -> None:
        self.root, self.pid1 = root, Pid1(file)

    def write(self, command: str, file: str = "", more: str = "") -> None:
        path = self.root / (file or self.pid1.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[Unit]\nSourcePath=/{SOURCE}\n[Service]\nExecStart={command}\n{more}")

    def look(self) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
        changes = asyncio.run(outdated_processes(self.pid1, self.root, GENERATION))
        return [(unit, c.artifact, c.old, c.new) for unit, own in changes.items() for c in own]


@pytest.fixture(params=[GENERATED, INSTALLED, COPY])
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    """Return a machine whose unit file has been looked at, and has changed since, before the last reload."""
    machine = Machine(tmp_path, request.param)
    machine.write("/bin/web 1")
    assert machine.look() == []
    machine.write("/bin/web 2")
    machine.pid1.read = 20
    return machine


def _change(machine: Machine) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    return [("web.service", f"/{machine.pid1.file}", ("/bin/web 1",), ("/bin/web 2",))]


def test_a_unit_whose_file_has_changed_since_it_was_started_is_outdated_until_it_is_restarted(machine: Machine) -> None:
    assert machine.look() == _change(machine)
    assert machine.look() == _change(machine)
    machine.pid1.started, machine.pid1.invocation = 30, "b"
    assert machine.look() == []


def test_a_unit_whose_file_is_as_before_again_is_up_to_date(machine: Machine) -> None:
    assert machine.look() == _change(machine)
    machine.write("/bin/web 1")
    assert machine.look() == []


def test_a_file_that_pid_1_has_not_read_changes_nothing_yet(machine: Machine) -> None:
    machine.pid1.unread_files = True
    assert machine.look() == []
    machine.pid1.unread_files = False
    assert machine.look() == _change(machine)


def test_a_unit_that_was_restarted_between_two_looks_is_up_to_date(machine: Machine) -> None:
    """Another package has reloaded PID 1 after the restart."""
    (machine.root / SOURCE).parent.mkdir(parents=True)
    (machine.root / SOURCE).write_text("")
    file = machine.root / SOURCE
    changed = int(file.stat().st_ctime)
    machine.pid1.started, machine.pid1.read, machine.pid1.invocation = changed + 10, changed + 20, "b"
    assert machine.look() == []
    machine.pid1.active = "inactive"
    assert machine.look() == []


def test_a_change_that_needs_no_restart_is_not_told(machine: Machine) -> None:
    machine.write("/bin/web 1", more="MemoryMax=1G\nX-Note=hello\n")
    assert machine.look() == []


def test_a_file_that_hides_the_one_of_before_counts_once_pid_1_has_read_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, INSTALLED)
    machine.write("/bin/web 1")
    assert machine.look() == []
    machine.write("/bin/web 2", COPY)
    machine.pid1.read = 20
    assert machine.look() == []
    machine.pid1.file = COPY
    assert machine.look() == _change(machine)


def test_files_that_stay_the_same_cost_no_call_of_pid_1(machine: Machine) -> None:
    machine.write("/bin/web 1")
    assert machine.look() == []
    assert machine.pid1.asked == 0


def test_a_mask_and_a_file_of_ours_are_not_files_of_others(tmp_path: Path) -> None:
    machine = Machine(tmp_path, GENERATED)
    machine.write("/bin/web 1")
    (tmp_path / GENERATED).write_text("# Made by Ordain from documents\n")
    assert machine.look() == []
    (tmp_path / COPY).parent.mkdir(parents=True)
    (tmp_path / COPY).symlink_to("/dev/null")
    assert machine.look() == []
    assert machine.pid1.asked == 0


def test_a_unit_that_was_looked_at_while_it_was_down_is_outdated_after_its_file_has_gone(tmp_path: Path) -> None:
    machine = Machine(tmp_path, COPY)
    for file, command in ((INSTALLED, "2"), (COPY, "0"), (COPY, "1")):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(f"[Service]\nExecStart=/bin/web {command}\n")
        machine.pid1.active = "active" if command == "0" else "inactive"  # in the middle of a restart
        assert machine.look() == []
    machine.pid1.active, machine.pid1.invocation = "active", "b"
    assert machine.look() == []
    installed = (tmp_path / INSTALLED).stat().st_ctime_ns
    (tmp_path / COPY).unlink()
    while (gone := (tmp_path / COPY).parent.stat().st_ctime_ns) <= installed:  # the clock of a file system has ticks
        (tmp_path / COPY).touch()
        (tmp_path / COPY).unlink()
    machine.pid1.file = INSTALLED
    machine.pid1.started, machine.pid1.read = (installed + gone) / 2e9, gone / 1e9 + 10

    assert machine.look() == _change(machine)
