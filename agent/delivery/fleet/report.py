"""What a machine tells others of itself: one file that everybody may read; effect.

/run/ordain/status.json    written by the agent when something changed, at most every `PACE_SEC`
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.state.boot_record import boot_id, read_boot_record
from ordain.agent.status import AgentState, Status
from ordain.agent.system import atomic_files
from ordain.transforms.model import Facts

log = logging.getLogger(__name__)
PATH = "run/ordain/status.json"
PACE_SEC = 1.0
WHAT_CHARACTERS = 200
"""Of a condition's text; the machine itself has the rest."""
MAX_CONDITIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedCondition:
    """A condition, see `status.StatusCondition`."""

    code: str
    item: str = ""
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedUnit:
    """A unit as systemd has it: ActiveState, Result, NRestarts."""

    state: str
    result: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedSource:
    """The source: its own word for where it is, and since how many seconds it has been lost (0: it is not)."""

    type: str = ""
    connected: bool = False
    revision: str = ""
    lag: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedBoot:
    """This boot, and which generation the generator took: current, fallback, baseline, …"""

    id: str = ""
    generated_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineReport:
    """All of it (docs/design/contract.md, rule 27).

    ``labels`` are those its documents matched on, the Node's among them; ``facts`` what a preview resolves for.
    ``written`` and ``seen`` (seconds since 1970: when it was sent) are of its own clock; ``dropped`` counts the reports
    that the store did not take before this one.
    """

    machine: str
    hostname: str = ""
    phase: AgentState = AgentState.STARTING
    generation: int = 0
    hash: str = ""
    wanted_generation: int = 0
    release: ReleaseReference = field(default_factory=ReleaseReference)
    conditions: tuple[ReportedCondition, ...] = ()
    units: Mapping[str, ReportedUnit] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    source: ReportedSource = field(default_factory=ReportedSource)
    boot: ReportedBoot = field(default_factory=ReportedBoot)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Facts | None = None
    written: str = ""
    seen: int = 0
    dropped: int = 0


def make_report(
    status: Status,
    facts: Facts,
    *,
    labels: Mapping[str, tuple[str, ...]],
    release: ReleaseReference,
    boot: ReportedBoot,
    lag: int,
) -> MachineReport:
    """The report of a machine; pure. It names no value of a document."""
    return MachineReport(
        machine=facts.machine_id,
        hostname=facts.hostname,
        phase=status.state,
        generation=status.generation,
        hash=status.hash,
        wanted_generation=status.wanted_generation,
        release=release,
        conditions=tuple(
            ReportedCondition(code=c.code, item=c.item, what=c.what[:WHAT_CHARACTERS])
            for c in status.conditions[:MAX_CONDITIONS]
        ),
        units={
            u.unit: ReportedUnit(state=u.active_state, result=u.result, restarts=u.n_restarts) for u in status.units
        },
        drift=status.drift,
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


def this_boot(root: Path) -> ReportedBoot:
    """This boot of the machine below ``root``."""
    return ReportedBoot(id=boot_id(root), generated_from=read_boot_record(root).get("from", ("",))[0])


def source_lag_sec(since: str) -> int:
    """The seconds since a time of `SourceState.since`; 0 for "".

    >>> lag("")
    0
    """
    return round((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()) if since else 0


def encode_report(found: MachineReport) -> bytes:
    """The report as JSON."""
    return json.dumps(to_json(found), sort_keys=True, separators=(",", ":")).encode()


def decode_report(data: bytes) -> MachineReport:
    """Read a report. Raises ValueError for anything else."""
    try:
        found = json.loads(data)
        return from_json(MachineReport, found)
    except (TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(f"no report of a machine: {error}") from None


class ReportWriter:
    """Writes the file below ``root``. ``make`` gives the report as it is now, None while there is none yet.

    Has to be told of changes (`changed`); writes the first at once, and others when `PACE_SEC` have passed.
    """

    def __init__(self, root: Path, make: Callable[[], MachineReport | None], *, pace_sec: float = PACE_SEC) -> None:
        self._path = root / PATH
        self._make = make
        self._pace_sec = pace_sec
        self._timer: asyncio.TimerHandle | None = None
        self._written = float("-inf")
        self._last: MachineReport | None = None

    def changed(self) -> None:
        """Something may be other than it was."""
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        left = self._written + self._pace_sec - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._write)
        else:
            self._write()

    def _write(self) -> None:
        self._timer = None
        try:
            found = self._make()
            if found is None or found == self._last:
                return
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            stamped = {**to_json(found), "written": datetime.now(UTC).isoformat(timespec="seconds")}
            atomic_files.replace(self._path, json.dumps(stamped, sort_keys=True, separators=(",", ":")).encode())
        except OSError as error:
            log.warning("%s; others will see the last status", atomic_files.describe_error(error, self._path))
            return
        self._last = found
        self._written = asyncio.get_running_loop().time()
