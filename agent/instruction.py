"""The instructions of administrators that last: a hold, a pause, a pin. Each may have a reason, and an end.

An end is a time of day for people, and a remaining time for the machine (`Expiry`). The remaining time counts by a
clock that runs only forward while the machine is on, and is written down now and then, so that it goes on in the next
boot. A machine whose clock was wrong when the instruction was given, or jumps, neither ends it early nor keeps it for
ever. Once the clock is synchronized, the time of day decides as well, so that the time that the machine was off counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from ordain.agent.errors import Failure
from ordain.agent.local_time import local_time
from ordain.transforms.control_characters import visible

MAX_WHY = 500
"""The characters of a reason."""
LONGEST_SEC = 10 * 366 * 86400
_SAME_SEC = 60.0
"""A time of day that is off by less is not corrected: it would change at every look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """The clocks of a machine at one moment.

    ``wall_sec`` counts from 1970 (CLOCK_REALTIME). ``boot_sec`` is CLOCK_BOOTTIME, in a container that of its host;
    ``up_sec`` counts from the start of PID 1 in the boot ``boot``.
    ``synchronized``: systemd says that the time of day comes from another clock (NTPSynchronized of timedate1).
    """

    wall_sec: float
    boot_sec: float
    up_sec: float
    boot: str
    synchronized: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """The end of an instruction: at ``until`` (ISO 8601, UTC), which is ``left_sec`` after a moment.

    That moment is ``at_sec`` of CLOCK_BOOTTIME in the boot ``boot``. ``synchronized``: ``until`` was computed by a
    clock that was synchronized.
    """

    until: str
    left_sec: float
    at_sec: float
    boot: str
    synchronized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The reason for an instruction, and its end if it has one.

    It ends after ``lasts_sec``, or at ``until_sec`` (since 1970, by the clock of the machine); 0 for both: never.
    """

    why: str = ""
    lasts_sec: int = 0
    until_sec: int = 0

    def __bool__(self) -> bool:
        """Return whether anything is said at all."""
        return self != NO_TERMS

    @property
    def has_end(self) -> bool:
        """Return whether an end is set."""
        return bool(self.lasts_sec or self.until_sec)


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """An instruction: the user who gave it, the time (ISO 8601, UTC), the reason, and its end if it has one.

    Texts are empty where an earlier version has written the instruction.
    """

    since: str = ""
    by: str = ""
    why: str = ""
    end: Expiry | None = None

    @property
    def until(self) -> str:
        """Return the time of its end (ISO 8601, UTC), "" if it has none."""
        return self.end.until if self.end else ""


class InstructionKind(StrEnum):
    """The kinds of instructions."""

    HOLD = "hold"  # of a unit
    PAUSE = "pause"
    PIN = "pin"  # of a generation


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingInstruction:
    """An instruction that is in force, for the status; ``subject`` is a unit, the number of a generation, or ""."""

    kind: InstructionKind = InstructionKind.HOLD
    subject: str = ""
    since: str = ""
    by: str = ""
    why: str = ""
    until: str = ""


def standing(kind: InstructionKind, instruction: Instruction, subject: str = "") -> StandingInstruction:
    """Return an instruction as the status shows it."""
    return StandingInstruction(
        kind=kind,
        subject=subject,
        since=instruction.since,
        by=instruction.by,
        why=instruction.why,
        until=instruction.until,
    )


def describe(instruction: Instruction | StandingInstruction) -> str:
    """Return the author, the time, the reason and the end of an instruction, for people.

    >>> describe(Instruction(by="alice", why="disk swap"))
    'by alice because: disk swap'
    """
    text = f"by {instruction.by or 'an administrator'}"
    if instruction.since:
        text += f" since {local_time(instruction.since)}"
    if instruction.why:
        text += f" because: {instruction.why}"
    if instruction.until:
        text += f"; ends {local_time(instruction.until)}"
    return text


def check_why(why: str) -> str:
    """Return a reason without blanks around it. Raises `Failure` for one that does not fit into a line."""
    why = why.strip()
    if len(why) > MAX_WHY:
        raise Failure(f"the reason has {len(why)} characters; use {MAX_WHY} at most")
    if visible(why) != why:
        raise Failure("the reason has a line break or another control character; write it in one line")
    return why


def instruct(terms: Terms, by: str, clock: ClockReading) -> Instruction:
    """Return the instruction that ``by`` gives now. Raises `Failure` for an end that is not in the future."""
    return Instruction(since=_iso(clock.wall_sec), by=by, why=check_why(terms.why), end=expiry_of(terms, clock))


def expiry_of(terms: Terms, clock: ClockReading) -> Expiry | None:
    """Return the end that ``terms`` set, None if they set none. Raises `Failure` if it is not in the future."""
    if not terms.has_end:
        return None
    left_sec = float(terms.lasts_sec) if terms.lasts_sec else terms.until_sec - clock.wall_sec
    if terms.lasts_sec and terms.until_sec:
        raise Failure("give either a duration or a time as the end, not both")
    if left_sec <= 0:
        raise Failure(f"the end, {local_time(_iso(terms.until_sec))}, is in the past; name a later time")
    if left_sec > LONGEST_SEC:
        raise Failure("the end is more than ten years away; leave it out for an instruction without an end")
    return Expiry(
        until=_iso(clock.wall_sec + left_sec),
        left_sec=left_sec,
        at_sec=clock.boot_sec,
        boot=clock.boot,
        synchronized=clock.synchronized,
    )


def left_sec(end: Expiry, clock: ClockReading) -> float:
    """Return the seconds until the end; 0 or less: it is over.

    The time in which the machine was on counts in any case. If the clock is synchronized, and was when the time of day
    was computed, that time of day is the latest end.
    """
    passed_sec = clock.boot_sec - end.at_sec if end.boot == clock.boot else clock.up_sec
    left = end.left_sec - max(passed_sec, 0.0)
    if end.synchronized and clock.synchronized:
        left = min(left, _seconds(end.until, clock) - clock.wall_sec)
    return left


def recount(end: Expiry, clock: ClockReading) -> Expiry:
    """Return the same end, counted from now: to be written down, because a reboot forgets the time before it.

    A time of day that a clock without synchronization has given is corrected; once the clock is synchronized, for good.
    """
    left = left_sec(end, clock)
    until = end.until
    off_sec = abs(_seconds(until, clock) - clock.wall_sec - left)
    if not end.synchronized and (clock.synchronized or off_sec >= _SAME_SEC):
        until = _iso(clock.wall_sec + left)
    return replace(
        end,
        until=until,
        left_sec=left,
        at_sec=clock.boot_sec,
        boot=clock.boot,
        synchronized=end.synchronized or clock.synchronized,
    )


def _seconds(time: str, clock: ClockReading) -> float:
    """Return a time as seconds since 1970; for a text that is not a time, one that is far away and ends nothing."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return clock.wall_sec + LONGEST_SEC


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(round(seconds), UTC).isoformat(timespec="seconds")
