"""Decisions that survive an apply and a reboot."""

from __future__ import annotations

from pathlib import Path

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
