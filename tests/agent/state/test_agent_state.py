"""What the agent keeps in /run and reads from /etc: journal, takeover, lock, settings; and its values as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from ordain.agent.compile.compiler import keep_blocked_items
from ordain.agent.daemon.takeover import CLAIMED, RECORD, TARGET, read_record, take_over
from ordain.agent.errors import Busy
from ordain.agent.json_codec import from_json
from ordain.agent.model import (
    Change,
    Effect,
    Generation,
    Job,
    Note,
    Outcome,
    Plan,
    UnitState,
    UnitVerdict,
    Verb,
    to_json,
)
from ordain.agent.state.apply_journal import PATH as JOURNAL
from ordain.agent.state.apply_journal import ApplyJournal, ApplyPhase, JournalEntry
from ordain.agent.system.apply_lock import locked
from ordain.agent.system.systemd1 import Systemd
from ordain.transforms.artifacts import UnitFile, content_of
from ordain.transforms.errors import Problem, Severity, Where
from ordain.transforms.model import Member, Wanted

CHANGE = Change(unit="web.service", section="Service", key="User", old=("a",), new=("b",), effect=Effect.RESTART)
PLAN = Plan(
    from_hash="1",
    to_hash="2",
    reload=True,
    stops=(Job(unit="old.service", verb=Verb.STOP, reason="gone"),),
    jobs=(Job(unit="web.service", verb=Verb.RESTART, reason="changed", changes=(CHANGE,)),),
    changes=(CHANGE,),
    notes=(Note(unit="x.service", what="held"),),
    problems=(Problem(where=Where(path="a.yaml", line=1), what="w", severity=Severity.BLOCKED, item="services/x"),),
)


def test_an_outcome_survives_json() -> None:
    verdict = UnitVerdict(unit="web.service", ok=True, what="running", result="done")
    outcome = Outcome(generation=1, hash="2", plan=PLAN, verdicts=(verdict,), exit_status=3)

    assert from_json(Outcome, json.loads(json.dumps(to_json(outcome)))) == outcome


def test_a_newer_agent_may_say_more_and_an_older_one_less() -> None:
    assert from_json(Note, {"unit": "a", "what": "b", "colour": "red"}) == Note(unit="a", what="b")


def test_a_journal_is_found_by_the_next_agent(tmp_path: Path) -> None:
    journal = ApplyJournal(tmp_path)
    journal.begin(JournalEntry(phase=ApplyPhase.STOP, number=2, plan=PLAN, started="now"))
    journal.advance(ApplyPhase.ACT, {"web.service": "abc"})

    found = ApplyJournal(tmp_path).unfinished()

    assert found == JournalEntry(
        phase=ApplyPhase.ACT, number=2, plan=PLAN, started="now", invocations={"web.service": "abc"}
    )
    journal.end()
    assert ApplyJournal(tmp_path).unfinished() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"phase": "dance"}', b"\xff", b'{"phase": "stop"}'])
def test_a_journal_that_is_none_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / JOURNAL
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    assert ApplyJournal(tmp_path).unfinished() is None


class Target(Systemd):
    """A stand-in that only counts: who starts what, and how the target stands."""

    def __init__(self, active: str = "inactive", job: bool = False) -> None:
        self.started: list[str] = []
        self.active, self.job = active, job

    async def start(self, unit: str) -> None:
        self.started.append(unit)

    async def list_units(self, names: Iterable[str]) -> dict[str, UnitState]:
        return {name: UnitState(name=name, active_state=self.active) for name in names}

    async def has_job(self, unit: str) -> bool:
        return self.job


def test_whoever_comes_first_takes_over_and_no_one_else(tmp_path: Path) -> None:
    systemd = Target()

    assert [asyncio.run(take_over(systemd, tmp_path, "agent")) for _ in range(3)] == [True, False, False]
    assert systemd.started == [TARGET]
    assert read_record(tmp_path)[0] == "agent"


def test_after_the_fallback_the_agent_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / RECORD).parent.mkdir(parents=True)
    (tmp_path / RECORD).write_text("fallback\n")  # as ordain-fallback.service writes it
    systemd = Target()

    assert not asyncio.run(take_over(systemd, tmp_path, "agent"))
    assert systemd.started == []
    assert read_record(tmp_path)[0] == "fallback"


@pytest.mark.parametrize(
    ("systemd", "starts"),
    [(Target(), [TARGET]), (Target("active"), []), (Target("inactive", job=True), [])],
    ids=["not started", "active", "queued"],
)
def test_one_who_died_over_it_is_finished_for_and_not_repeated(
    tmp_path: Path, systemd: Target, starts: list[str]
) -> None:
    (tmp_path / RECORD).parent.mkdir(parents=True)
    (tmp_path / RECORD).write_text(f"agent {CLAIMED}\n")

    asyncio.run(take_over(systemd, tmp_path, "agent"))

    assert systemd.started == starts


def test_one_apply_at_a_time(tmp_path: Path) -> None:
    async def both() -> None:
        async with locked(tmp_path, 0.0):
            with pytest.raises(Busy):
                async with locked(tmp_path, 0.1):
                    pass
        async with locked(tmp_path, 0.0):
            pass

    asyncio.run(both())


def test_a_blocked_item_keeps_its_last_good_form() -> None:
    def made(text: str, *names: str) -> Generation:
        return Generation(
            hash=text,
            artifacts=tuple(UnitFile(path=f"normal/{n}.service", content=text, item=f"services/{n}") for n in names),
            members=tuple(
                Member(unit=f"{n}.service", item=f"services/{n}", wanted=Wanted.RUNNING, ours=True) for n in names
            ),
        )

    kept = keep_blocked_items(made("new", "web"), made("old", "web", "db", "gone"), {"services/db"})

    assert [(a.path, content_of(a)) for a in kept.artifacts] == [
        ("normal/db.service", "old"),
        ("normal/web.service", "new"),
    ]
    assert [m.unit for m in kept.members] == ["db.service", "web.service"]
    assert kept.hash not in ("new", "old")
    assert keep_blocked_items(made("new", "web"), made("old", "web"), {"services/web"}).hash == "new"
