"""The cause of a failed start: the program or user that its exit status is about, and the last line of its journal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE

from ordain.agent.model import UnitState
from ordain.agent.plan.diff import PlacedUnit
from ordain.agent.plan.exit_status import SUBJECTS

MAX_UNITS = 3
"""The failed units whose journal is read: one cause often makes many units fail."""
MAX_LINE = 200
"""The characters of a line that are shown."""
TIMEOUT_SEC = 2.0
_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetails:
    """The ``subject`` of the exit status, and the last ``line`` that the unit has logged; ``""`` if unknown."""

    subject: str = ""
    line: str = ""


NO_DETAILS = FailureDetails()


def status_subject(state: UnitState, placed: PlacedUnit) -> str:
    """Return the program, user, … of a unit that its exit status is about, "" if there is none."""
    for key in SUBJECTS.get(state.exec_main_status, ()):
        if value := placed.last("Service", key):
            return value.lstrip("-@:+!|").split()[0].strip('"') if key == "ExecStart" else value
    return ""


async def failure_details(
    states: Mapping[str, UnitState], placed: Mapping[str, PlacedUnit]
) -> dict[str, FailureDetails]:
    """Return the details of failed units, by unit. Nothing is awaited longer than `TIMEOUT_SEC`."""
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
    """Return the last line of a unit's last run: of its processes, or of PID 1 about it. "" if it cannot be read."""
    if not state.invocation_id:
        return ""
    run = state.invocation_id
    own = [f"_SYSTEMD_INVOCATION_ID={run}"]
    of_pid_1 = ["_PID=1", f"INVOCATION_ID={run}", "PRIORITY=3"]  # errors only: "Failed with result" is a warning
    try:
        process = await asyncio.create_subprocess_exec(
            program, "--boot", "--quiet", "--no-pager", "--output=cat", f"--lines={_LINES}", *own, "+", *of_pid_1,
            stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL,
        )  # fmt: skip
    except OSError:
        return ""
    try:
        output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_SEC)
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return best_line(output.decode(errors="replace"))


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


_IGNORED = re.compile(r"\bignor(ing|ed)\b", re.IGNORECASE)
"""The words with which systemd's programs, and others, go on after an error."""
_CAUSES = (
    "Address already in use",
    "Permission denied",
    "No such file or directory",
    "Cannot assign requested address",
)
