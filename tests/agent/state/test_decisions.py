"""Decisions that survive an apply and a reboot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.instruction import Expiry, Instruction
from ordain.agent.model import Generation
from ordain.agent.state.decisions import Decisions, Pin, RejectedGeneration


def test_decisions_survive_a_restart_of_the_agent(tmp_path: Path) -> None:
    bad, pin = RejectedGeneration(number=2, hash="b", why="x", complete=False), Pin(number=1, hash="a", revision="r")
    decisions = Decisions(tmp_path)
    decisions.reject(bad)
    decisions.set_pin(pin)

    assert (Decisions(tmp_path).rejected, Decisions(tmp_path).pin) == (bad, pin)
    decisions.reject(None)
    assert (Decisions(tmp_path).rejected, Decisions(tmp_path).pin) == (None, pin)


def test_decisions_last_until_the_reboot_if_var_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("no directory")
    decisions = Decisions(tmp_path)
    decisions.reject(RejectedGeneration(number=2, hash="b", why="x"))

    assert Decisions(tmp_path).rejected == decisions.rejected
    (tmp_path / "var").unlink()
    decisions.reject(None)
    assert Decisions(tmp_path).rejected is None
    assert list((tmp_path / "run/ordain").iterdir()) == []


def test_unreadable_decisions_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "var/lib/ordain").mkdir(parents=True)
    for text in ("", "[]", '{"rejected": 5}', '{"rejected": {"number": 1}}'):
        (tmp_path / "var/lib/ordain/decided.json").write_text(text)
        assert Decisions(tmp_path).rejected is None


def test_a_pause_with_an_end_is_read_back_and_an_apply_of_a_file_has_none(tmp_path: Path) -> None:
    end = Expiry(until="2026-11-30T08:00:00+00:00", left_sec=60, at_sec=5, boot="1", synchronized=True)
    decisions = Decisions(tmp_path)
    decisions.pause(Instruction(since="s", by="alice", why="new kernel", end=end))

    assert Decisions(tmp_path).now.pause == decisions.now.pause
    decisions.recount_pause(replace(end, left_sec=30))
    assert Decisions(tmp_path).now.pause.end == replace(end, left_sec=30)
    applied = decisions.after_apply(Generation(number=4), "r", pause=True, asked=Instruction(by="bert"))
    assert (applied.paused, applied.pause) == (True, Instruction(by="bert"))
    decisions.end_pause()
    assert (Decisions(tmp_path).paused, Decisions(tmp_path).now.pause) == (False, Instruction())


def test_decisions_of_earlier_versions_are_readable(tmp_path: Path) -> None:
    (tmp_path / "var/lib/ordain").mkdir(parents=True)
    old = '{"rejected": null, "pin": {"number": 1, "hash": "a", "revision": "r"}, "paused": true}'
    (tmp_path / "var/lib/ordain/decided.json").write_text(old)

    decisions = Decisions(tmp_path)

    assert (decisions.paused, decisions.now.pause) == (True, Instruction())
    assert decisions.pin == Pin(number=1, hash="a", revision="r")


PIN, OTHER = Pin(number=1, hash="a", revision="r"), Pin(number=2, hash="b", revision="s")
ALICE, BERT = Instruction(by="alice"), Instruction(by="bert")


def test_a_rollback_restores_the_pin_and_the_pause_that_the_apply_has_changed(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    decisions.set_pin(PIN)
    decisions.pause(ALICE)
    before = decisions.now

    decisions.restore(decisions.after_apply(Generation(number=2), "s", pause=True, asked=BERT))

    assert (decisions.now.pause, decisions.pin != PIN) == (BERT, True)
    decisions.restore(before)
    assert decisions.now == before


def test_a_pause_that_is_given_during_an_apply_outlasts_its_rollback(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    decisions.set_pin(PIN)
    before = decisions.now
    decisions.set_pin(OTHER)

    decisions.pause(ALICE)
    decisions.restore(before)

    assert (decisions.pin, decisions.paused, decisions.now.pause) == (PIN, True, ALICE)


@pytest.mark.parametrize("apply_pauses", [False, True])
def test_a_follow_that_is_given_during_an_apply_outlasts_its_rollback(tmp_path: Path, apply_pauses: bool) -> None:
    """Also if the apply had ended the pin already, so that the follow changed nothing but the pause."""
    decisions = Decisions(tmp_path)
    decisions.set_pin(PIN)
    decisions.pause(ALICE)
    before = decisions.now
    revision = "s" if apply_pauses else None
    decisions.restore(decisions.after_apply(Generation(number=2), revision, pause=apply_pauses, asked=BERT))

    decisions.follow()
    decisions.restore(before)

    assert (decisions.pin, decisions.paused) == (None, False)


def test_a_pause_that_ends_during_an_apply_does_not_come_back(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    decisions.pause(ALICE)
    before = decisions.now

    decisions.end_pause()
    decisions.restore(before)

    assert not decisions.paused


def test_a_decision_of_another_process_is_not_lost(tmp_path: Path) -> None:
    """Without an agent, `ordainctl apply` and `ordainctl pause` are two processes."""
    applies, other = Decisions(tmp_path), Decisions(tmp_path)
    before = applies.now

    other.pause(ALICE)
    applies.reject(RejectedGeneration(number=2, hash="b", why="x"))
    applies.restore(before)

    assert applies.now == Decisions(tmp_path).now
    assert (applies.paused, applies.now.pause) == (True, ALICE)
