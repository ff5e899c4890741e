"""The journal of the running apply."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.model import (
    Change,
    Effect,
    Job,
    Outcome,
    Plan,
    UnitVerdict,
    Verb,
)
from ordain.agent.state.apply_journal import PATH as JOURNAL
from ordain.agent.state.apply_journal import ApplyJournal, ApplyPhase, JournalEntry

CHANGE = Change(unit="web.service", section="Service", key="User", old=("a",), new=("b",), effect=Effect.RESTART)
PLAN = Plan(reload=True, jobs=(Job(unit="web.service", verb=Verb.RESTART, reason="changed", changes=(CHANGE,)),))
NOT_OK = UnitVerdict(unit="web.service", ok=False, what="is failed")


def test_the_next_agent_finds_the_journal(tmp_path: Path) -> None:
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
def test_an_unreadable_journal_is_ignored(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / JOURNAL
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    assert ApplyJournal(tmp_path).unfinished() is None


def test_an_unreadable_journal_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / JOURNAL
    path.parent.mkdir(parents=True)
    path.write_text("garbage")
    journal = ApplyJournal(tmp_path)

    assert [journal.unfinished(), journal.unfinished()] == [None, None]
    (line,) = caplog.messages
    assert str(path) in line


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_anything_in_place_of_the_journal_is_replaced(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / JOURNAL
    path.parent.mkdir(parents=True)
    make(path)
    journal = ApplyJournal(tmp_path)

    assert journal.unfinished() is None
    journal.begin(JournalEntry(phase=ApplyPhase.STOP, number=2, plan=PLAN, started="now"))
    assert ApplyJournal(tmp_path).unfinished() is not None
    journal.end()
    assert not path.exists()


def test_a_rollback_is_resumed_from_its_journal(tmp_path: Path) -> None:
    failed = Outcome(generation=2, hash="b", plan=Plan(from_hash="a"), verdicts=(NOT_OK,), why="because")
    entry = JournalEntry(
        phase=ApplyPhase.ACT, number=2, plan=failed.plan, running=("web.service",), failing=("other.service",)
    )
    journal = ApplyJournal(tmp_path)
    journal.begin(entry)
    journal.fail(failed)

    assert ApplyJournal(tmp_path).unfinished() == replace(entry, phase=ApplyPhase.BACK, failed=failed)
    journal.begin(replace(entry, phase=ApplyPhase.STOP, number=1, failed=failed))
    found = ApplyJournal(tmp_path).unfinished()
    assert found is not None
    assert found.failed == failed
