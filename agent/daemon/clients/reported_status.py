"""The status out of the report in /run/ordain/status.json, for users whom the agent does not answer.

One user can use up what the agent does for all users together at its public name. Nobody can take away a file.
"""

from __future__ import annotations

from pathlib import Path

from ordain.agent.condition import StatusCondition
from ordain.agent.delivery.fleet.report import MAX_BYTES, PATH, MachineReport, decode_report
from ordain.agent.errors import Unavailable
from ordain.agent.status import SourceState, Status, UnitStatus
from ordain.agent.system import atomic_files

CODE = "AgentBusy"


def read_reported_status(root: Path, why: str) -> Status:
    """Return the status that the agent reported last, with a condition that says ``why`` it is not asked.

    Raises `Unavailable` if there is no report.
    """
    try:
        report = decode_report(atomic_files.read(root / PATH, MAX_BYTES))
    except (OSError, ValueError) as error:
        raise Unavailable(f"{why}, and /{PATH} cannot be read: {error}") from None
    return status_of(report, why)


def status_of(report: MachineReport, why: str) -> Status:
    """Return the part of the status that a report has: of units, the state, and not what is wanted."""
    conditions = [
        StatusCondition(code=condition.code, what=condition.what, item=condition.item)
        for condition in report.conditions
    ]
    what = f"{why}; this is its report of {report.written or 'an unknown time'}"
    hint = "ask again later; root is always answered"
    return Status(
        state=report.phase,
        agent=True,
        generation=report.generation,
        hash=report.hash,
        wanted_generation=report.wanted_generation,
        source=SourceState(type=report.source.type, connected=report.source.connected, revision=report.source.revision),
        conditions=(*conditions, StatusCondition(code=CODE, what=what, hint=hint)),
        units=tuple(
            UnitStatus(
                unit=name,
                item="",
                wanted="",
                load_state="",
                active_state=unit.state,
                sub_state="",
                ok=name not in report.drift,
                result=unit.result,
                n_restarts=unit.restarts,
            )
            for name, unit in sorted(report.units.items())
        ),
        drift=report.drift,
    )
