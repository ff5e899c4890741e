"""The cause of a failed start: the program or user that its exit status refers to, and the last line of its journal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ordain.agent.model import UnitState
from ordain.agent.plan.changes.diff import PlacedUnit
from ordain.agent.plan.exit_status import SUBJECTS
from ordain.agent.system.systemd.journal_reader import read_journal
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.checks.hidden_paths import hidden_paths
from ordain.transforms.systemd.checks.unit_rules import UnitSettings

MAX_UNITS = 3
"""The failed units whose journal is read: one cause often makes many units fail."""
MAX_LINE = 200
"""The characters of a line that are shown."""
_LINES = 20
_JOB_FAILED = "be02cf6855d2428ba40df7e9d022f03d"
"""SD_MESSAGE_UNIT_FAILED of systemd's sd-messages.h: "Failed to start …", which only repeats that the job failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetails:
    """The ``subject`` of the exit status, and the last ``line`` that the unit has logged; ``""`` if unknown."""

    subject: str = ""
    line: str = ""


NO_DETAILS = FailureDetails()


def status_subject(state: UnitState, placed: PlacedUnit) -> str:
    """Return the program, user, … of a unit that its exit status refers to, "" if there is none.

    A path has the setting of the sandbox that hides it from the service, though it exists.
    """
    for key in SUBJECTS.get(state.exec_main_status, ()):
        if value := placed.last("Service", key):
            subject = value.lstrip("-@:+!|").split()[0].strip('"') if key == "ExecStart" else value
            setting = _hidden_by(key, subject, state, placed)
            return f"{subject}, which {setting} hides from it" if setting else subject
    return ""


def _hidden_by(key: str, path: str, state: UnitState, placed: PlacedUnit) -> str:
    """Return the setting of a unit that hides ``path``, "" if none does."""
    assignments = tuple((section, name, value) for (section, name), values in placed.values.items() for value in values)
    unit = UnitSettings(name=state.name, systemd=0, whole=bool(placed.fragment), assignments=assignments)
    return next((hidden.setting for hidden in hidden_paths(unit) if (hidden.key, hidden.path) == (key, path)), "")


async def failure_details(
    states: Mapping[str, UnitState], placed: Mapping[str, PlacedUnit]
) -> dict[str, FailureDetails]:
    """Return the details of failed units, by unit."""
    names = sorted(states)
    lines = await asyncio.gather(*(last_line(states[name]) for name in names[:MAX_UNITS]))
    by_unit = dict(zip(names, lines, strict=False))
    return {
        name: FailureDetails(
            subject=status_subject(states[name], placed.get(name, PlacedUnit())), line=by_unit.get(name, "")
        )
        for name in names
    }


async def last_line(state: UnitState, program: str = "journalctl") -> str:
    """Return the line of a unit's last run that tells most: of its processes, else an error of PID 1 about it.

    "" if there is none, or if the journal cannot be read.
    """
    if not state.invocation_id:
        return ""
    run = state.invocation_id
    own = [f"_SYSTEMD_INVOCATION_ID={run}"]
    of_pid_1 = ["_PID=1", f"INVOCATION_ID={run}", "PRIORITY=3"]  # errors only: "Failed with result" is a warning
    selected = ("--output=json", "--output-fields=MESSAGE,MESSAGE_ID,_PID", f"--lines={_LINES}", *own, "+", *of_pid_1)
    output = await read_journal(*selected, program=program)
    with contextlib.suppress(ValueError):  # no JSON
        return best_line("\n".join(_messages(output)))
    return ""


def _messages(output: str) -> Iterator[str]:
    """Yield the messages in the JSON lines of journalctl: those of PID 1 about a cause, then the unit's own."""
    entries = [json.loads(line) for line in output.split("\n") if line]
    for entry in sorted(entries, key=lambda entry: entry.get("_PID") != "1"):  # a stable sort
        message = entry.get("MESSAGE")
        if isinstance(message, list):  # bytes that are not printable text (journalctl(1), json)
            message = bytes(byte for byte in message if isinstance(byte, int)).decode(errors="replace")
        if isinstance(message, str) and entry.get("MESSAGE_ID") != _JOB_FAILED:
            yield message


def best_line(output: str) -> str:
    """Return the line of a unit's output that tells most: the last one, but rather one with a known cause.

    An error that the program itself says it ignores did not end it; "" if there are only such lines.

    >>> best_line("OSError: [Errno 98] Address already in use\\ncleaning up\\n")
    'OSError: [Errno 98] Address already in use'
    """
    lines = [line.strip() for line in output.splitlines() if line.strip() and not _IGNORED.search(line)]
    known = [line for line in lines if any(cause in line for cause in _CAUSES)]
    line = (known or lines or [""])[-1]
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return shown if len(shown) <= MAX_LINE else f"{shown[: MAX_LINE - 1]}…"


_IGNORED = lazy_pattern(r"\bignor(ing|ed)\b", re.IGNORECASE)
"""The words with which systemd's programs, and others, go on after an error."""
_CAUSES = (
    "Address already in use",
    "Permission denied",
    "No such file or directory",
    "Cannot assign requested address",
)
