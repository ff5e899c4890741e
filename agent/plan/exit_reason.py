"""The reason why a unit does not run, as PID 1 knows it: stopped on request, ended by itself, or killed."""

from __future__ import annotations

import signal
from datetime import UTC, datetime

from ordain.agent.local_time import local_time
from ordain.agent.model import NoteReason, UnitState
from ordain.agent.plan.exit_status import exit_status_words

EXITED, KILLED, DUMPED = 1, 2, 3
"""Values of ExecMainCode (CLD_EXITED, CLD_KILLED and CLD_DUMPED of sigaction(2))."""
FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""Signals that a process receives from others, not because of a fault of its own."""
SAME_MOMENT_USEC = 1_000_000
"""A service that ends by itself stops being active within microseconds of its process; PID 1 may be busy, though."""
NOT_STARTED = "was not started in this boot"
"""The words for a unit that PID 1 refused to start, or whose job it dropped without an error (docs/design/systemd.md,
fact 21)."""
_RESULTS = {
    "oom-kill": "killed because memory ran out",
    "timeout": "timed out",
    "watchdog": "did not send its watchdog signal in time",
    "start-limit-hit": "started too often (start limit)",
    "resources": "PID 1 could not start it",
    "protocol": "did not follow the protocol of its Type=",
    "condition": "its conditions were not met",
}
"""Values of Result= of a service in words (systemd.exec(5), $SERVICE_RESULT)."""


def exit_reason(state: UnitState) -> tuple[NoteReason, str]:
    """Return the reason why a unit is inactive or failed, and a description with the time.

    The order of events shows a stop that PID 1 was asked for: the unit stops being active before its process ends. If
    a process ends by itself or is killed, the process ends first.

    >>> exit_reason(UnitState(name="a.service", active_state="failed", result="oom-kill"))[1]
    'failed: killed because memory ran out'
    """
    if state.active_state == "failed":
        return NoteReason.FAILED, f"failed: {failure_words(state)}{_at(state)}"
    if not state.invocation_id:
        return NoteReason.STOPPED, NOT_STARTED
    if not state.name.endswith(".service") or stop_was_requested(state):
        return NoteReason.STOPPED, f"was stopped manually{_at(state)}"
    how = "ended by itself" if state.exec_main_code == EXITED else f"was {failure_words(state)}"
    return NoteReason.ENDED, f"{how}{_at(state)}"


def killed_by_others(state: UnitState) -> bool:
    """Return whether a signal from outside ended the service, rather than a crash or a lack of memory."""
    return (
        state.exec_main_code == KILLED
        and state.exec_main_status in FROM_OUTSIDE
        and (state.result in ("signal", "success", ""))
    )


def stop_was_requested(state: UnitState) -> bool:
    """Return whether PID 1 was asked to stop the service, and its process did not end before."""
    if not state.main_exit_usec:
        return True
    if not state.active_exit_usec:  # the process ended before the unit was ever active
        return False
    return not 0 <= state.active_exit_usec - state.main_exit_usec < SAME_MOMENT_USEC


def failure_words(state: UnitState, subject: str = "") -> str:
    """Return the result of a unit in words; ``subject`` is the program, user, … that an exit status is about."""
    if words := _RESULTS.get(state.result):
        return words
    if state.exec_main_code == EXITED and state.exec_main_status:
        return exit_status_words(state.exec_main_status, subject)
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
    return f" at {local_time(datetime.fromtimestamp(state.inactive_enter_usec // 1_000_000, UTC))}"
