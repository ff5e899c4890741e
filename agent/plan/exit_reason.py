"""How a unit that does not run came to its end, as PID 1 knows it: by hand, by itself, by others; pure."""

from __future__ import annotations

import signal
from datetime import UTC, datetime

from ordain.agent.model import NoteReason, UnitState

EXITED, KILLED, DUMPED = 1, 2, 3
"""ExecMainCode (CLD_EXITED, CLD_KILLED and CLD_DUMPED of sigaction(2))."""
OTHERS = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""Signals that a process gets from others, and not for a fault of its own."""
TOGETHER_USEC = 1_000_000
"""A service that ends by itself is no longer active within microseconds of its process; PID 1 may be busy."""
_RESULTS = {
    "oom-kill": "killed, as there was no memory left",
    "timeout": "took too long",
    "watchdog": "did not feed its watchdog",
    "start-limit-hit": "started too often in a row",
    "resources": "PID 1 could not start it",
    "protocol": "did not keep to the protocol of its Type=",
    "condition": "its conditions were not met",
}
"""Result= of a service in words (systemd.exec(5), Process Exit Codes, $SERVICE_RESULT)."""


def exit_reason(state: UnitState) -> tuple[NoteReason, str]:
    """Why a unit is inactive or failed, and that in words with the time.

    A stop that PID 1 was asked for shows in the order of things: the unit stops being active before its process is
    gone. Of a process that ends by itself or is killed, PID 1 hears first.

    >>> exit_reason(UnitState(name="a.service", active_state="failed", result="oom-kill"))[1]
    'failed: killed, as there was no memory left'
    """
    if state.active_state == "failed":
        return NoteReason.FAILED, f"failed: {_because(state)}{_at(state)}"
    if not state.name.endswith(".service") or _asked(state):
        return NoteReason.STOPPED, f"was stopped by hand{_at(state)}"
    how = "ended by itself" if state.exec_main_code == EXITED else f"was {_because(state)}"
    return NoteReason.ENDED, f"{how}{_at(state)}"


def killed_by_others(state: UnitState) -> bool:
    """Whether a signal from outside ended it: no crash, nor a lack of memory."""
    return (
        state.exec_main_code == KILLED
        and state.exec_main_status in OTHERS
        and (state.result in ("signal", "success", ""))
    )


def _asked(state: UnitState) -> bool:
    if not state.main_exit_usec:
        return True
    if not state.active_exit_usec:  # ended before it was ever active
        return False
    return not 0 <= state.active_exit_usec - state.main_exit_usec < TOGETHER_USEC


def _because(state: UnitState) -> str:
    if words := _RESULTS.get(state.result):
        return words
    if state.exec_main_code == EXITED:
        return f"exit status {state.exec_main_status}"
    if state.exec_main_code in (KILLED, DUMPED):
        how = "killed by" if state.exec_main_code == KILLED else "crashed with"
        return f"{how} {_signal(state.exec_main_status)}"
    return state.result or "no result"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _at(state: UnitState) -> str:
    if not state.inactive_enter_usec:
        return ""
    return f" at {datetime.fromtimestamp(state.inactive_enter_usec / 1_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
