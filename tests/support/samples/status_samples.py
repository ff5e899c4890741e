"""The status of units, for tests."""

from __future__ import annotations

from ordain.agent.status import UnitStatus


def unit_status(
    unit: str = "a.service",
    *,
    ok: bool = True,
    active_state: str = "active",
    load_state: str = "loaded",
    enforced: bool = False,
) -> UnitStatus:
    """Return the status of a service that should run."""
    return UnitStatus(
        unit=unit,
        item=f"services/{unit.partition('.')[0]}",
        wanted="running",
        load_state=load_state,
        active_state=active_state,
        sub_state="running" if active_state == "active" else active_state,
        ok=ok,
        what="" if ok else active_state,
        enforced=enforced,
    )
