"""Requests that are carried out in this process."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.compile.executor import run_inline
from ordain.agent.daemon.clients import in_process
from ordain.agent.daemon.clients.in_process import InProcessClient
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.errors import Failure
from ordain.agent.instruction import ClockReading, Terms
from ordain.agent.json_codec import from_json
from ordain.agent.model import (
    ChangeCause,
    Generation,
    Job,
    Observed,
    Outcome,
    Plan,
    UnitState,
    UnitVerdict,
    Verb,
    to_json,
)
from ordain.agent.settings import Settings
from ordain.agent.state.decisions import Decisions
from ordain.agent.state.history_events import read_events
from ordain.agent.state.last_outcome import PATH as OUTCOME
from ordain.agent.status import Status, UnitExplanation
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.errors import Problem, Refused, Severity, Where
from ordain.transforms.model import Member, Wanted
from support.samples.status_samples import unit_status

WEB = Member(unit="web.service", item="services/web", wanted=Wanted.RUNNING, ours=True)
SOCKET = Member(unit="db.socket", item="services/db", wanted=Wanted.RUNNING, ours=True, starter=True)
DB = Member(unit="db.service", item="services/db", wanted=Wanted.RUNNING, ours=True, starter=False)
GENERATION = Generation(
    number=4,
    hash="4",
    members=(WEB, DB, SOCKET),
    artifacts=(UnitFile(path="normal/web.service", content="[Service]\n", item="services/web"),),
    provenance={
        "services/web": {"layer": "base", "path": "a.yaml", "line": 4},
        "services/web/command": {"layer": "base", "path": "a.yaml", "line": 5},
        "services/webmail": {"layer": "base"},
        "transforms/paths/python": {"layer": "shipped", "items": ["services/web"]},
    },
)
STATUS = unit_status("web.service")
START = Job(unit="web.service", verb=Verb.START, reason="it is new")
OUTCOME_OF_LAST = Outcome(
    generation=4,
    hash="4",
    plan=Plan(jobs=(START, Job(unit="db.service", verb=Verb.START, reason="it is new"))),
    verdicts=(UnitVerdict(unit="web.service", ok=True, what="runs"),),
)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcessClient:
    async def look(_systemd: object, names: list[str], closely: tuple[str, ...] = ()) -> Observed:
        return Observed(units={name: UnitState(name=name, active_state="active") for name in names})

    async def status() -> Status:
        return Status(units=(STATUS,))

    monkeypatch.setattr(in_process, "look", look)

    async def differences(*_: object) -> tuple[()]:
        return ()

    parts = SimpleNamespace(
        root=tmp_path,
        systemd=None,
        store=SimpleNamespace(applied=lambda: GENERATION),
        observer=SimpleNamespace(read_back=SimpleNamespace(differences=differences)),
    )
    path = tmp_path / OUTCOME
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(to_json(OUTCOME_OF_LAST)))
    return InProcessClient(parts=cast(Any, parts), source=cast(Any, None), read_status=status)


def test_an_explanation_holds_all_that_is_known_of_a_unit(client: InProcessClient) -> None:
    explanation = asyncio.run(client.explain("web"))

    assert (explanation.unit, explanation.item, explanation.generation) == ("web.service", "services/web", 4)
    assert (explanation.member, explanation.status) == (WEB, STATUS)
    assert explanation.state == UnitState(name="web.service", active_state="active")
    assert explanation.artifacts == ("normal/web.service",)
    assert set(explanation.provenance) == {"services/web", "services/web/command", "transforms/paths/python"}
    assert explanation.last.jobs == (START,)
    assert explanation.last.verdicts == OUTCOME_OF_LAST.verdicts


def test_the_json_of_an_explanation_is_the_one_of_the_bus(client: InProcessClient) -> None:
    explanation = asyncio.run(client.explain("web"))
    data = json.loads(json.dumps(to_json(explanation)))

    keys = "about unit item generation member state status artifacts provenance last actual differs"
    assert list(data) == keys.split()
    assert list(data["last"]) == ["stops", "jobs", "notes", "verdicts", "generation", "started", "origin"]
    assert from_json(UnitExplanation, data) == explanation


@pytest.mark.parametrize(
    ("about", "unit"),
    [
        ("web", "web.service"),
        ("web.timer", "web.timer"),
        ("services/web/command", "web.service"),
        ("services/db", "db.socket"),
        ("services/gone", ""),
        ("/run/systemd/generator/web.service", "web.service"),
        ("/etc/motd", ""),
    ],
)
def test_the_unit_that_a_name_a_path_or_a_pointer_is_about(client: InProcessClient, about: str, unit: str) -> None:
    explanation = asyncio.run(client.explain(about))

    assert explanation.unit == unit
    assert (explanation.state is None) == (not unit)


def test_an_outcome_that_cannot_be_read_is_left_out(client: InProcessClient, tmp_path: Path) -> None:
    (tmp_path / OUTCOME).write_text("{")

    assert asyncio.run(client.explain("web")).last.jobs == ()


def test_to_apply_no_documents_at_all_is_refused(client: InProcessClient) -> None:
    with pytest.raises(Failure, match="no documents were given"):
        asyncio.run(client.apply([]))


RUN = b"ordain: v1\nkind: Run\nname: a\ncommand: /bin/true\n"
TRANSFORM = b"ordain: v1\nkind: Transform\nname: a\ntier: site\n"


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"---\n...\n", RUN, TRANSFORM])
def test_a_set_without_a_document_is_applied_only_on_request(client: InProcessClient, text: bytes) -> None:
    applied: list[ApplyRequest] = []

    async def apply(request: ApplyRequest) -> Outcome:
        applied.append(request)
        return OUTCOME_OF_LAST

    async def revision() -> str:
        return "1"

    parts = cast(Any, client)._parts
    parts.executor, parts.engine = run_inline, SimpleNamespace(apply=apply)
    cast(Any, client)._source = SimpleNamespace(read_revision=revision)

    with pytest.raises(Failure, match=r"--nothing a\.yaml b\.yaml"):
        asyncio.run(client.apply([("a.yaml", text), ("b.yaml", b"")]))
    with pytest.raises(Refused):
        asyncio.run(client.apply([("a.yaml", b"ordain: [")]))
    assert applied == []
    asyncio.run(client.apply([("a.yaml", text)], nothing=True))
    assert len(applied) == 1


def test_a_machine_whose_settings_require_a_reason_is_held_and_paused_with_one_only(
    client: InProcessClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def clock(_bus: object, boot: str, _terms: Terms) -> ClockReading:
        return ClockReading(wall_sec=0.0, boot_sec=1.0, up_sec=1.0, boot=boot, synchronized=False)

    monkeypatch.setattr(in_process, "read_clock", clock)
    parts = cast(Any, client)._parts
    parts.decisions, parts.systemd = Decisions(tmp_path), SimpleNamespace(bus=None)
    cast(Any, client)._source = SimpleNamespace(settings=Settings(requires_why=True))

    for asked in (lambda: client.pause(Terms(why=" ")), lambda: client.hold("a.service"), lambda: client.rollback(3)):
        with pytest.raises(Failure, match="give a reason with --why"):
            asyncio.run(cast(Any, asked()))
    asyncio.run(client.pause(Terms(why=" new kernel ", lasts_sec=60), caller=os.getpid()))

    pause = Decisions(tmp_path).now.pause
    assert (pause.why, pause.until) == ("new kernel", "1970-01-01T00:01:00+00:00")
    asyncio.run(client.follow())
    assert [(event.origin.cause, event.origin.why, event.until) for event in read_events(tmp_path)] == [
        (ChangeCause.PAUSE, "new kernel", "1970-01-01T00:01:00+00:00"),
        (ChangeCause.FOLLOW, "", ""),
    ]


def client_of(
    *,
    problems: tuple[Problem, ...] = (),
    release: ReleaseReference | None = None,
    settings_problems: tuple[Problem, ...] = (),
) -> InProcessClient:
    """Return a client of an engine that does nothing, and of a source with these problems and this release."""

    async def read() -> tuple[()]:
        return ()

    async def read_revision() -> str:
        return "7"

    async def plan(texts: object, caller: int) -> Plan:
        return Plan()

    async def apply(request: object) -> Outcome:
        return OUTCOME_OF_LAST

    source = SimpleNamespace(
        problems=problems,
        release=release or ReleaseReference(),
        public_revision="7",
        read=read,
        read_revision=read_revision,
    )
    parts = SimpleNamespace(engine=SimpleNamespace(plan=plan, apply=apply), executor=lambda *_: None)
    return InProcessClient(
        parts=cast(Any, parts),
        source=cast(Any, source),
        read_status=cast(Any, None),
        settings_problems=lambda: settings_problems,
    )


def test_a_plan_and_an_apply_of_the_source_say_that_its_documents_may_be_old() -> None:
    lost = Problem(where=Where(path="source"), what="no route to host", severity=Severity.WARNING)
    client = client_of(problems=(lost,))
    file = (("a.yaml", b"x"),)

    assert asyncio.run(client.plan()).problems == (lost,)
    assert asyncio.run(client.apply()).plan.problems == (lost,)
    assert asyncio.run(client.plan(file)).problems == ()
    assert asyncio.run(client.apply(file)).plan.problems == ()


def test_a_broken_agent_yaml_is_told_by_plan_and_apply() -> None:
    broken = Problem(where=Where(path="/etc/ordain/agent.yaml", line=3), what="expected a key", code="Settings")
    client = client_of(settings_problems=(broken,))

    for documents in (None, (("a.yaml", b"x"),)):
        (problem,) = asyncio.run(client.plan(documents)).problems
        assert (problem.what, problem.severity) == (broken.what, Severity.WARNING)
        outcome = asyncio.run(client.apply(documents))
        assert [(c.code, c.fault) for c in outcome.left] == [("Settings", True)]
        assert outcome.exit_status == 3


@pytest.mark.parametrize("expires", ["2020-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00", ""])
def test_a_release_that_has_expired_is_told_by_plan_and_apply_as_by_status(expires: str) -> None:
    client = client_of(release=ReleaseReference(channel="stable", number=4, expires=expires))
    codes = ["ReleaseExpired"] if expires.startswith("2020") else []

    assert [problem.code for problem in asyncio.run(client.plan()).problems] == codes
    outcome = asyncio.run(client.apply())
    assert [condition.code for condition in outcome.left] == codes
    assert outcome.exit_status == (3 if codes else OUTCOME_OF_LAST.exit_status)
    file = (("a.yaml", b"x"),)
    assert asyncio.run(client.apply(file)).left == ()
