"""Random edits over the whole language, and random acts of others: no two reports about a machine ever disagree.

The same as `tests/integration/apply/test_model.py`, with a stand-in for PID 1, over many more draws. The stand-in
places no files and makes no accounts, so those of the documents are read back as the test writes them: right, or not.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.apply.jobs import verdicts
from ordain.agent.cli.main import main
from ordain.agent.daemon.dbus_service import AgentInterface
from ordain.agent.daemon.minders.outcome_log import OutcomeLog
from ordain.agent.daemon.status.status_publisher import StatusPublisher
from ordain.agent.daemon.status.status_reader import AgentPhase, AgentView, StatusReader
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.errors import AlreadyRejected, Failure
from ordain.agent.model import to_json
from ordain.agent.state.decisions import Pin
from ordain.agent.status import SourceState, Status
from ordain.transforms.errors import Refused
from support.machines.stand_in_pid1 import StandIn, make_machine, parts
from support.outputs.reports import PROPERTIES, disagreements
from support.samples.random_documents import NAMES, edited

pytestmark = pytest.mark.thorough

Random = random.Random
STEPS = 10
BROKEN = '{"ordain": "v1", "kind": "Layer", "name": "model", "services": {"a": {"comand": "x"}}}'


class Model:
    """A machine with a stand-in for PID 1, and the agent's memory of the last apply."""

    def __init__(self, systemd: StandIn) -> None:
        self.systemd = systemd
        self.root = systemd.root
        self.log = OutcomeLog(lambda: None)
        self.text = BROKEN
        self.document: Mapping[str, Any] = {}
        self.parts: ApplyParts = parts(systemd)
        self.applied: int | None = None
        self.paused = False

    def instruct(self, *, paused: bool) -> None:
        """Pause or follow, as an administrator does."""
        self.paused = paused
        self.parts.decisions.pause() if paused else self.parts.decisions.follow()

    def fail(self, *, paused: bool) -> None:
        """Change a document so that its apply fails, and pause or follow during that apply."""
        self.systemd.meanwhile = lambda: self.instruct(paused=paused)
        self.systemd.broken.add("fails.service")
        document = {"ordain": "v1", "kind": "Layer", "name": "model"}
        services = {"fails": {"command": f"sleep {1000 + len(self.text)}"}}
        self.text = json.dumps(
            {**document, **self.document, "services": {**self.document.get("services", {}), **services}}
        )

    def follow(self) -> None:
        """Apply the documents, as the follower does; ``applied`` is the exit status of this apply, None if refused."""
        self.applied = None
        decisions = self.parts.decisions
        if decisions.paused or (decisions.pin and decisions.pin.revision == self.text):
            return
        request = ApplyRequest(texts=[("/model.json", self.text.encode())], by_administrator=False)
        try:
            outcome = asyncio.run(self.parts.engine.apply(request))
            self.log.record(outcome)
            self.applied = outcome.exit_status
        except Refused as refused:
            self.log.refuse(refused.problems)
        except AlreadyRejected:
            self.log.refused = ()

    def reports(self, capsys: pytest.CaptureFixture[str]) -> Mapping[str, Any]:
        """Return all reports about the machine."""
        status = self._status()
        publisher = StatusPublisher(cast(Any, None), Status())
        interface = AgentInterface(cast(Any, None), publisher, cast(Any, None))
        publisher.current = status
        capsys.readouterr()
        main(["history", "--json"], root=self.root)
        try:
            planned = asyncio.run(self.parts.engine.plan([("/model.json", self.text.encode())]))
            plan, text = (7 if planned else 0), str(planned)
        except Refused as refused:
            plan, text = 1, str(refused.problems)
        return {
            "status": to_json(status),
            "exit": 3 if status.faulty else 0,
            "properties": {name: getattr(interface, name) for name in (*PROPERTIES, "Conditions", "Drift")},
            "applied": self.applied,
            "paused": self.paused,
            "plan": plan,
            "planned": text,
            "history": json.loads(capsys.readouterr().out),
        }

    def _status(self) -> Status:
        source = SimpleNamespace(state=SourceState(connected=True, revision=self.text), release=ReleaseReference())
        view = AgentView(phase=AgentPhase.FOLLOWING, wanted=self.log.last, conditions=self.log.conditions)
        reader = StatusReader(parts=self.parts, source=cast(Any, source), view=lambda: view)
        return asyncio.run(reader.read())

    def rollback(self) -> None:
        self.log.record(asyncio.run(self.parts.rollback.to(0, self.text)))

    def switch(self, unit: str, *, on: bool) -> None:
        """Start or stop a unit, as an administrator does."""
        state = self.systemd.states.get(unit)
        if state is not None and state.running is not on:
            active, sub = ("active", "running") if on else ("inactive", "dead")
            self.systemd.states[unit] = replace(state, active_state=active, sub_state=sub)


def acts(model: Model, draw: Random) -> Mapping[str, Callable[[], object]]:
    """Return what an administrator may do, by a name."""
    unit = f"{draw.choice(NAMES)}.service"
    decisions = model.parts.decisions
    forwarding = model.root / "proc/sys/net/ipv4/ip_forward"
    return {
        "stop": lambda: model.switch(unit, on=False),
        "start": lambda: model.switch(unit, on=True),
        "hold": lambda: asyncio.run(model.parts.holds.hold(unit)),
        "unhold": lambda: asyncio.run(model.parts.holds.unhold(unit)),
        "follow unit": lambda: asyncio.run(model.parts.holds.follow(unit)),
        "rollback": model.rollback,
        "pause": lambda: model.instruct(paused=True),
        "follow": lambda: model.instruct(paused=False),
        "pause during an apply that fails": lambda: model.fail(paused=True),
        "follow during an apply that fails": lambda: model.fail(paused=False),
        "pin": lambda: decisions.set_pin(
            Pin(number=model.parts.store.applied().number, hash=model.parts.store.applied().hash, revision=model.text)
        ),
        "sysctl": lambda: forwarding.write_text(draw.choice("01")),
        "break": lambda: setattr(model, "text", BROKEN),
        "a unit breaks": lambda: model.systemd.broken.add(unit),
        "a unit is well again": lambda: model.systemd.broken.discard(unit),
        "a new agent": lambda: setattr(model, "parts", parts(model.systemd)),
    }


@pytest.mark.parametrize("seed", [19, 21, 25, 28, 29, 30, 35, 40, 43, 47, 48, 53])
def test_no_two_reports_disagree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    systemd = make_machine(tmp_path)

    async def unread(*_: object) -> bool:
        return False

    async def unit_property(unit: str, name: str) -> Any:
        known = {"Type": "simple", "RemainAfterExit": False, "Options": "size=1M,rw", "Listen": []}
        return known.get(name, "")

    async def no_time(*_: object) -> float:
        return 3600.0

    monkeypatch.setattr(verdicts, "SETTLE_SEC", 0.0)
    monkeypatch.setattr(verdicts, "_age_sec", no_time)
    monkeypatch.setattr(systemd, "unread", unread)
    monkeypatch.setattr(systemd, "property", unit_property)
    (tmp_path / "proc/sys/net/ipv4").mkdir(parents=True)
    (tmp_path / "proc/sys/net/ipv4/ip_forward").write_text("1")
    (tmp_path / "usr/bin").mkdir(parents=True, exist_ok=True)
    for program in ("sleep", "true", "false"):
        (tmp_path / "usr/bin" / program).touch(0o755)
    draw = Random(seed)
    model = Model(systemd)
    document: dict[str, Any] = {"services": {"a": {"command": "sleep 1000000"}}}
    done, states = [], set()
    for _ in range(STEPS):
        if draw.random() < 0.6:
            document = model.document = edited(document, draw)
            model.text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "model", **document})
            done.append(model.text)
        else:
            name, act = draw.choice(sorted(acts(model, draw).items(), key=lambda pair: pair[0]))
            done.append(name)
            try:
                act()
            except Failure as failure:
                done.append(f"refused: {failure}")
        model.follow()
        found = model.reports(capsys)
        states.add(found["status"]["state"])
        assert list(disagreements(found)) == [], done
    assert states
