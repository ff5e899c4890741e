"""Random edits over the sections, and random acts of others: the status and the plan never disagree.

after an apply that ended well: the generation is in force, proven and last in the history
converged  =>  the plan is empty
the plan is empty and no condition is a fault  =>  converged
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.apply import verdicts
from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.apply.parts import ApplyParts
from ordain.agent.daemon.status_reader import AgentPhase, AgentView, StatusReader
from ordain.agent.status import AgentState, SourceState, Status
from support.stand_in_pid1 import StandIn, make_machine, parts

WORDS = ("one", "two")
Random = random.Random


def _service(draw: Random) -> dict[str, Any]:
    service: dict[str, Any] = {"command": ["/bin/serve", draw.choice(WORDS)]}
    for key, values in {
        "drift": ("report", "enforce"),
        "on-remove": ("stop", "keep"),
        "on-change": ("restart", "none"),
        "environment": ({"A": "1"}, {}),
        "state": ("running", "stopped"),
    }.items():
        if draw.random() < 0.3:
            service[key] = draw.choice(values)
    return service


SECTIONS: dict[str, Callable[[Random], Any]] = {
    "services": lambda draw: {name: _service(draw) for name in ("a", "b", "c") if draw.random() < 0.7},
    "files": lambda draw: {"/etc/motd": {"content": draw.choice(WORDS), "on-remove": draw.choice(("keep", "restore"))}},
    "mounts": lambda draw: {"/srv": {"what": "tmpfs", "type": "tmpfs", "options": [draw.choice(("ro", "rw"))]}},
    "sysctl": lambda draw: {"vm.swappiness": draw.choice(("10", "20"))},
    "modules": lambda draw: {"loop": draw.choice(({}, {"blacklist": True}))},
    "host": lambda draw: draw.choice(({}, {"hostname": draw.choice(WORDS)})),
    "groups": lambda draw: {draw.choice(WORDS): {}},
    "values": lambda draw: {"a": draw.choice(WORDS)},
    "network": lambda draw: draw.choice(({}, {"bridges": {"br0": {"dhcp4": draw.choice((True, False))}}})),
}


def _status(systemd: StandIn, built: ApplyParts) -> Status:
    source = SimpleNamespace(state=SourceState(connected=True))
    view = AgentView(phase=AgentPhase.FOLLOWING)
    reader = StatusReader(parts=built, source=cast(Any, source), view=lambda: view)
    return asyncio.run(reader.read())


@pytest.mark.parametrize("seed", range(4))
def test_the_status_and_the_plan_never_disagree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    systemd = make_machine(tmp_path)

    document: dict[str, Any] = {}

    async def unread(*_: object) -> bool:
        return False

    async def unit_property(unit: str, name: str) -> Any:
        options = document.get("mounts", {}).get("/srv", {}).get("options", ())
        return {"Type": "simple", "RemainAfterExit": False, "Options": ",".join(options), "Listen": []}[name]

    async def no_time(*_: object) -> float:
        return 3600.0

    monkeypatch.setattr(verdicts, "SETTLE_SEC", 0.0)
    monkeypatch.setattr(verdicts, "_age_sec", no_time)
    monkeypatch.setattr(systemd, "unread", unread)
    monkeypatch.setattr(systemd, "property", unit_property)
    swappiness = systemd.root / "proc/sys/vm/swappiness"
    swappiness.parent.mkdir(parents=True)
    draw = Random(seed)
    states = []
    for _ in range(8):
        section = draw.choice([*SECTIONS])
        document = {**document, section: SECTIONS[section](draw)}
        if draw.random() < 0.2:
            document.pop(section)
        swappiness.write_text(document.get("sysctl", {}).get("vm.swappiness", "60"))
        groups = "".join(f"{name}:x:{number}:\n" for number, name in enumerate(document.get("groups", {}), 900))
        (tmp_path / "etc/group").write_text(groups)
        text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", **document}).encode()
        built = parts(systemd)
        outcome = asyncio.run(built.engine.apply(ApplyRequest(texts=[("/a.yaml", text)])))
        store = built.store

        assert outcome.exit_status == 0, (document, outcome.verdicts)
        proven = store.proven()
        assert proven is not None
        assert store.applied().hash == outcome.hash == proven.hash
        assert store.history()[-1].hash == outcome.hash
        states.append(_agree(systemd, built, text))

        running = [name for name, state in systemd.states.items() if state.running and name.endswith(".service")]
        if running and draw.random() < 0.5:
            stopped = draw.choice(running)
            systemd.states[stopped] = replace(systemd.states[stopped], active_state="inactive", sub_state="dead")
        if draw.random() < 0.3:
            swappiness.write_text("77")
        states.append(_agree(systemd, built, text))
    assert {AgentState.CONVERGED, AgentState.DEGRADED} <= set(states)


def _agree(systemd: StandIn, built: ApplyParts, text: bytes) -> AgentState:
    status = _status(systemd, built)
    planned = asyncio.run(built.engine.plan([("/a.yaml", text)]))
    faults = [condition for condition in status.conditions if condition.fault]
    assert status.hash == status.wanted_hash == planned.to_hash
    assert (status.state is AgentState.CONVERGED) == (not faults), faults
    assert status.faulty == bool(faults)
    if status.state is AgentState.CONVERGED:
        assert not planned, planned
    members = [unit.unit for unit in status.units if not unit.ok]
    assert not members or faults
    return status.state
