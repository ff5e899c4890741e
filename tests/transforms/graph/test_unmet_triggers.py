"""A timer, socket, path or automount of the documents without the unit that it starts is warned of."""

from __future__ import annotations

import re

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Installed, InstalledUnit

BACKUP = "/usr/lib/systemd/system/backup.service"
MACHINE = Installed(
    units={
        "backup.service": InstalledUnit(name="backup.service", path=BACKUP, sections={}),
        "copy@.service": InstalledUnit(name="copy@.service", path="/usr/lib/systemd/system/copy@.service", sections={}),
    }
)


def missing(sections: str, installed: Installed | None = MACHINE) -> list[str]:
    """Return the units that something starts and that nobody has."""
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{sections}\n".encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), installed, shipped=shipped())
    said = (re.search(r"because (\S+), which it starts, does not exist", p.what) for p in compiled.problems)
    return [match[1] for match in said if match]


@pytest.mark.parametrize(
    ("sections", "units"),
    [
        ("units: {b.timer: {Timer: {OnCalendar: daily}}}", ["b.service"]),
        ("units: {c.path: {Path: {PathExists: /x}}}", ["c.service"]),
        ("units: {d.socket: {Socket: {ListenStream: /run/d, Accept: 'yes'}}}", ["d@.service"]),
        ("units: {srv-z.automount: {Automount: {Where: /srv/z}}}", ["srv-z.mount"]),
        ("units: {b.timer: {Timer: {OnCalendar: daily, Unit: backup.service}}}", []),
        ("units: {b.timer: {Timer: {OnCalendar: daily, Unit: copy@db.service}}}", []),
        ("units: {backup.timer: {Timer: {OnCalendar: daily}}}", []),
        ("units: {b@.timer: {Timer: {OnCalendar: daily}}}", []),
        ("units: {backup.timer.d: {Timer: {Unit: nope.service}}}", []),
        ("units: {b.timer: {Timer: {OnCalendar: daily}}, b.service: {Service: {ExecStart: /bin/b}}}", []),
        ("services: {b: {command: /bin/b, schedule: daily}}", []),
        ("services: {b: {command: /bin/b, listen: {stream: '7777', accept: true}}}", []),
        ("mounts: {/srv/z: {what: 'nas:/z', type: nfs, automount: true}}", []),
    ],
)
def test_a_unit_that_nobody_has_is_named(sections: str, units: list[str]) -> None:
    assert missing(sections) == units


def test_a_package_may_bring_it_where_the_machine_is_not_known() -> None:
    assert missing("units: {b.timer: {Timer: {OnCalendar: daily}}}", installed=None) == []
