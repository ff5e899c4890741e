"""What the agent keeps in /run and reads from /etc: journal, takeover, lock, settings; and its values as JSON."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ordain.agent.compile.compiler import keep_blocked_items
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
    UnitVerdict,
    Verb,
    to_json,
)
from ordain.agent.state.apply_journal import PATH as JOURNAL
from ordain.agent.state.apply_journal import ApplyJournal, ApplyPhase, JournalEntry
from ordain.agent.system.apply_lock import locked
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
