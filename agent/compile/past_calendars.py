"""Timers whose calendar times have all passed: a warning before the apply starts a timer that will do nothing.

    OnCalendar= with a year ──systemd-analyze calendar──▶ "Next elapse: never"

A time without a year comes again. Times with one are rare, so each is asked about; the program has the rules of PID 1
(systemd.time(7)). If it cannot run, nothing is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ordain.agent.compile.load_check import PROGRAM
from ordain.agent.model import Generation
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.lazy_patterns import lazy_pattern

LONGEST_SEC = 5.0
MAX_ASKED = 50
"""The most times that are asked about, a few milliseconds each."""
_TIMES = lazy_pattern(r"^On(Calendar|(?:Active|Boot|Startup|UnitActive|UnitInactive)Sec)=(.+)$", re.MULTILINE)
_YEAR = lazy_pattern(r"\b\d{4}-")


def past_calendars(new: Generation, never_comes: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Yield item and times of each timer of ``new`` that never elapses, because all of its times have passed."""
    asked = 0
    for artifact in new.artifacts:
        if not isinstance(artifact, UnitFile) or "OnCalendar=" not in artifact.content:
            continue
        times = _TIMES.findall(artifact.content)
        if not all(key == "Calendar" and _YEAR.search(value) for key, value in times):
            continue
        asked += len(times)
        if asked <= MAX_ASKED and all(never_comes(value) for _, value in times):
            yield artifact.item, ", ".join(value for _, value in times)


def never_comes(time: str) -> bool:
    """Return whether PID 1 would say that a calendar time never comes again."""
    environment = {"SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"}
    import subprocess  # which few documents need

    argv = [PROGRAM, "calendar", "--", time]
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=LONGEST_SEC, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return any(line.split() == [b"Next", b"elapse:", b"never"] for line in done.stdout.splitlines())
