"""The report of a machine about itself: a file that every process on the machine may read.

/run/ordain/status.json    written by the agent when something has changed, at most once per `PACE_SEC`
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.instruction import StandingInstruction
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.state.boot_record import boot_id, read_boot_record
from ordain.agent.status import AgentState, Status
from ordain.agent.system import atomic_files
from ordain.transforms.model import Facts

log = logging.getLogger(__name__)
PATH = "run/ordain/status.json"
PACE_SEC = 1.0
MAX_TEXT = 200
"""The characters of a condition's text that a report contains; the whole text is known on the machine."""
MAX_CONDITIONS = 50
MAX_SHORT = 200
"""The units in a report that was shortened."""
MAX_FACTS = 200
MAX_FACT_VALUES = 100
"""The further facts of a report, and the values of one."""
MAX_BYTES = 4 << 20
"""The limit for a report that is read; a machine with 5,000 services writes 1 MB."""
_MAX_SEEN = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedCondition:
    """A condition of the machine; see `status.StatusCondition`."""

    code: str
    item: str = ""
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedUnit:
    """A unit as systemd shows it: ActiveState, Result, NRestarts."""

    state: str
    result: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedSource:
    """The source of documents; ``lag`` is the number of seconds since it was lost, 0 if it is connected."""

    type: str = ""
    connected: bool = False
    revision: str = ""
    lag: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedBoot:
    """The current boot, and the generation that the generator chose: current, fallback, baseline, …"""

    id: str = ""
    generated_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineReport:
    """The whole report (docs/design/contract.md, rule 27).

    ``labels`` are the labels that the documents were matched with, also those of the Node; ``facts`` are for previews.
    ``written`` and ``seen`` (in seconds since 1970, when the report was sent) are times of the machine's own clock.
    ``release`` is the one that was read last; after a rollback, ``in_force`` is the title of the one that is in force,
    "" if that is not known. ``dropped`` counts the reports before this one that the store did not accept.
    ``instructions`` are the holds, the pause and the pin of administrators of the machine. ``sequence`` grows with each
    report of a machine that has an identity, also when its clock is set back. ``behind`` is the name of the relay that
    took the report, "" if it went to the store itself.
    """

    machine: str
    hostname: str = ""
    phase: AgentState = AgentState.STARTING
    generation: int = 0
    hash: str = ""
    wanted_generation: int = 0
    release: ReleaseReference = field(default_factory=ReleaseReference)
    in_force: str = ""
    conditions: tuple[ReportedCondition, ...] = ()
    units: Mapping[str, ReportedUnit] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    instructions: tuple[StandingInstruction, ...] = ()
    source: ReportedSource = field(default_factory=ReportedSource)
    boot: ReportedBoot = field(default_factory=ReportedBoot)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Facts | None = None
    written: str = ""
    seen: int = 0
    sequence: int = 0
    dropped: int = 0
    behind: str = ""


def shortened_report(report: MachineReport) -> MachineReport:
    """Return a report that the store takes, of one that it refused as too large: units that work are left out."""
    drift = report.drift[:MAX_SHORT]
    bad = [unit for unit, shown in report.units.items() if shown.state == "failed" or unit in drift]
    what = f"the store takes no report with {len(report.units):,} units; those that work are left out"
    return replace(
        report,
        units={unit: report.units[unit] for unit in bad[:MAX_SHORT]},
        drift=drift,
        conditions=(
            *report.conditions[: MAX_CONDITIONS - 1],
            ReportedCondition(code="ReportShortened", what=what),
        ),
    )


def make_report(
    status: Status,
    facts: Facts,
    *,
    labels: Mapping[str, tuple[str, ...]],
    release: ReleaseReference,
    boot: ReportedBoot,
    lag: int,
    in_force: str = "",
) -> MachineReport:
    """Return the report of a machine. It contains no value of a document."""
    return MachineReport(
        machine=facts.machine_id,
        hostname=facts.hostname,
        phase=status.state,
        generation=status.generation,
        hash=status.hash,
        wanted_generation=status.wanted_generation,
        release=release,
        in_force=in_force[:MAX_TEXT],
        conditions=tuple(
            ReportedCondition(
                code=condition.code, item=condition.item, what=(condition.public or condition.what)[:MAX_TEXT]
            )
            for condition in status.conditions[:MAX_CONDITIONS]
        ),
        units={
            unit.unit: ReportedUnit(state=unit.active_state, result=unit.result, restarts=unit.n_restarts)
            for unit in status.units
        },
        drift=status.drift,
        instructions=status.instructions[:MAX_CONDITIONS],
        source=ReportedSource(
            type=status.source.type,
            connected=status.source.connected,
            revision=status.source.revision,
            lag=lag,
        ),
        boot=boot,
        labels=labels,
        facts=facts,
    )


def reported_details(details: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """Return the further facts that a report holds: those with a value, within bounds."""
    kept = {name: values[:MAX_FACT_VALUES] for name, values in sorted(details.items()) if any(values)}
    return dict(list(kept.items())[:MAX_FACTS])


def this_boot(root: Path) -> ReportedBoot:
    """Return the current boot of the machine below ``root``."""
    return ReportedBoot(id=boot_id(root), generated_from=read_boot_record(root).get("from", ("",))[0])


def source_lag_sec(since: str) -> int:
    """Return the seconds since a time in the form of `SourceState.since`, 0 for "".

    >>> source_lag_sec("")
    0
    """
    return round((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()) if since else 0


def encode_report(report: MachineReport) -> bytes:
    """Return the report as JSON."""
    return json.dumps(to_json(report), sort_keys=True, separators=(",", ":")).encode()


def decode_report(data: bytes) -> MachineReport:
    """Read a report. Raises ValueError if ``data`` is not a report: the store may hold anything there."""
    return report_from_json(parse_report(data))


def parse_report(data: bytes) -> Any:
    """Return the JSON data in the text of a report. Raises ValueError."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"not a report of a machine: it is larger than {MAX_BYTES:,} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a report of a machine: {error}") from None


def report_from_json(value: Any) -> MachineReport:
    """Return the report that JSON data describe. Raises ValueError."""
    try:
        report = from_json(MachineReport, value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a report of a machine: {error}") from None
    if min(report.seen, report.source.lag, report.release.number, report.generation) < 0 or report.seen > _MAX_SEEN:
        raise ValueError("not a report of a machine: a number or a time is out of range")
    return report


class ReportWriter:
    """The writer of the report's file below ``root``; ``make`` returns the current report, or None before the first.

    `changed` must be called after every change. The first call writes at once, later ones when `PACE_SEC` have passed.
    """

    def __init__(self, root: Path, make: Callable[[], MachineReport | None], *, pace_sec: float = PACE_SEC) -> None:
        self._path = root / PATH
        self._make = make
        self._pace_sec = pace_sec
        self._timer: asyncio.TimerHandle | None = None
        self._written = float("-inf")
        self._last: MachineReport | None = None

    def changed(self) -> None:
        """Write the report soon, because something may have changed."""
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        wait_sec = self._written + self._pace_sec - loop.time()
        if wait_sec > 0:
            self._timer = loop.call_later(wait_sec, self._write)
        else:
            self._write()

    def _write(self) -> None:
        self._timer = None
        try:
            report = self._make()
            if report is None or report == self._last:
                return
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            dated = replace(report, written=datetime.now(UTC).isoformat(timespec="seconds"))
            atomic_files.replace(self._path, encode_report(dated), atomic_files.PUBLIC)
        except OSError as error:
            log.warning("%s; others still see the previous status", atomic_files.describe_error(error, self._path))
            return
        self._last = report
        self._written = asyncio.get_running_loop().time()
