"""The time that each part of Ordain took in this boot.

    timestamps of PID 1 and of its units, the generator's record ─▶ BootChart

A step that has not happened in this boot has no start. All times are in microseconds since PID 1 began.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.daemon.status.takeover import TARGET, read_takeover
from ordain.agent.state.boot_record import read_boot_record
from ordain.agent.system.dbus.bus import Bus, get
from ordain.agent.system.systemd.systemd1 import MANAGER, NAME, PATH, UNIT, unit_path
from ordain.transforms.decimal_numbers import is_decimal

AGENT = "ordain-agent.service"
BOOT_GOOD_UNIT = "ordain-boot-good.service"
ONESHOTS = {
    "ordain-boot-attempt.service": "this boot is counted",
    "ordain-files-early.service": "files below /run, before anything reads them",
    "ordain-secrets.service": "sealed secrets",
    "ordain-users.service": "users and groups",
    "ordain-files.service": "all other files, before their readers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BootStep:
    """A part of the boot. ``took_usec`` is None while it lasts, and for an event without a length."""

    name: str
    what: str
    start_usec: int | None = None
    took_usec: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BootChart:
    """The steps in order, and the time when PID 1 had finished the boot, None before that."""

    steps: tuple[BootStep, ...]
    finished_usec: int | None


async def read_boot_chart(bus: Bus, root: Path) -> BootChart:
    """Return the chart of this boot. Raises `Unavailable` if PID 1 does not answer."""
    began, generators, loaded, finished = [
        int(await get(bus, NAME, PATH, MANAGER, f"{name}TimestampMonotonic"))
        for name in ("Userspace", "GeneratorsStart", "GeneratorsFinish", "Finish")
    ]
    units = [*ONESHOTS, AGENT, TARGET, BOOT_GOOD_UNIT]
    times = {unit: await _times(bus, unit) for unit in units}
    record = {key: values[0] for key, values in read_boot_record(root).items()}
    own = record.get("boot_usec", "")
    steps = [
        BootStep(name="generators", what="all generators, before any unit is loaded", **_span(generators, loaded)),
        BootStep(
            name="ordain-generator",
            what=f"{_placed(record)}; without the start of Python",
            **_span(generators, generators + int(own) if is_decimal(own) else 0),
        ),
    ]
    steps += [BootStep(name=unit, what=what, **_span(*times[unit])) for unit, what in ONESHOTS.items()]
    who = read_takeover(root)[0] or "nobody yet"
    steps += [
        BootStep(name=AGENT, what="until it has taken over and is ready", **_span(*times[AGENT])),
        BootStep(name=TARGET, what=f"all services, started by {who}", **_span(*times[TARGET])),
        BootStep(
            name="first converge",
            what="from the time when the agent was ready until everything was as the documents want it",
            **_span(times[AGENT][1], times[BOOT_GOOD_UNIT][0]),
        ),
    ]
    return BootChart(
        steps=tuple(_from(began, steps)),
        finished_usec=finished - began if finished else None,
    )


async def _times(bus: Bus, unit: str) -> tuple[int, int]:
    """Return when a unit began to start and when it was active, 0 for never in this boot."""
    begun, active = [
        int(await get(bus, NAME, unit_path(unit), UNIT, f"{name}TimestampMonotonic"))
        for name in ("InactiveExit", "ActiveEnter")
    ]
    return begun, active


def _span(start: int, end: int) -> dict[str, int | None]:
    if not start:
        return {}
    return {"start_usec": start, "took_usec": end - start if end >= start else None}


def _from(began: int, steps: list[BootStep]) -> Iterator[BootStep]:
    for step in steps:
        start = None if step.start_usec is None else step.start_usec - began
        yield BootStep(name=step.name, what=step.what, start_usec=start, took_usec=step.took_usec)


def _placed(record: dict[str, str]) -> str:
    origin = record.get("from", "nothing")
    return f"generation {record['number']} from {origin}" if record.get("number", "0") != "0" else "nothing to place"
