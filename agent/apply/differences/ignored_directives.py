"""Directives of our unit files that PID 1 ignores: it says so in the journal only, and starts the unit without them.

PID 1's messages since it last read the unit files, generation ──IgnoredDirectives──▶ Difference, with the place
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from ordain.agent.apply.differences.difference import Difference
from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation, Observed
from ordain.agent.plan.changes.causes import line_cause
from ordain.agent.plan.explain import DIRECTORIES
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.systemd.journal_reader import read_journal
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.lazy_patterns import lazy_pattern

MAX_SHOWN = 20
"""The directives that are shown; a wrong template can make hundreds."""
MAX_WORDS = 200
"""The characters of a message of PID 1 that are shown."""
SETTLE_SEC = 10.0
"""The messages about a state of the units are read anew for so long: journald takes them a moment later."""
INVALID_CONFIGURATION = "c772d24e9a884cbeb9ea12625c306c01"
"""The MESSAGE_ID of a message about a line of a unit file: SD_MESSAGE_INVALID_CONFIGURATION, sd-messages.h."""
OF_PID_1 = (
    *("_PID=1", f"MESSAGE_ID={INVALID_CONFIGURATION}"),
    # At boot, PID 1 reads the units before journald runs, and writes to the log of the kernel, which has no fields.
    *("+", "_TRANSPORT=kernel", "SYSLOG_IDENTIFIER=systemd"),
)
_MESSAGE = lazy_pattern(
    r"(?P<folder>/run/systemd/generator[^/]*/)(?P<file>[^:]+):(?P<line>[0-9]+): (?P<words>.*)", re.S
)
_IGNORES = lazy_pattern(r"\bignor(ing|ed)\b", re.IGNORECASE)
"""Other messages are advice: a directive has a new name, or a path is changed to a better one."""
Read = Callable[[int], Awaitable[str]]
"""Returns the messages since a time in seconds of CLOCK_REALTIME."""


@dataclass(frozen=True, slots=True)
class IgnoredLine:
    """A line of the unit file or drop-in ``file`` (an artifact path) that PID 1 ignores, with PID 1's ``words``."""

    file: str
    line: int
    words: str


async def _read(since_sec: int) -> str:
    """Return the oldest messages since ``since_sec``.

    PID 1 repeats them whenever somebody looks at a unit that does not run.
    """
    fields = "--output-fields=MESSAGE,_SOURCE_REALTIME_TIMESTAMP"
    return await read_journal("--output=json", fields, f"--since=@{since_sec}", *OF_PID_1)


class IgnoredDirectives:
    """Asks PID 1 when it read the unit files, and ``read`` for its messages, in the JSON of journalctl.

    The messages are read again only after the units or the time of the reading have changed.
    """

    def __init__(self, systemd: Systemd, read: Read = _read, clock: Callable[[], float] = time.monotonic) -> None:
        self._systemd = systemd
        self._read = read
        self._clock = clock
        self._state: object = None
        self._state_since = 0.0
        self._lines: tuple[IgnoredLine, ...] = ()
        self._settled = False

    async def differences(self, generation: Generation, observed: Observed) -> list[Difference]:
        """Return a difference for each directive of the unit files of ``generation`` that PID 1 ignores."""
        files = {file.path: file for file in generation.artifacts if isinstance(file, UnitFile)}
        if not files:
            return []
        try:
            since = await self._systemd.units_read_usec()
        except BusError:
            return []
        await self._look(*since, observed)
        lines = [line for line in self._lines if line.file in files]
        return [_difference(line, files[line.file]) for line in lines[:MAX_SHOWN]]

    async def _look(self, realtime: int, monotonic: int, observed: Observed) -> None:
        """Read the messages, unless they were read after everything that can have caused new ones."""
        now, state = self._clock(), (monotonic, observed.units)
        if state != self._state:
            self._state, self._state_since, self._settled = state, now, False
        if not self._settled:
            entries = (await self._read(realtime // 1_000_000)).split("\n")
            self._lines = tuple(dict.fromkeys(ignored_lines(entries, monotonic)))
            self._settled = now >= self._state_since + SETTLE_SEC


def ignored_lines(entries: Iterable[str], since: int) -> Iterator[IgnoredLine]:
    """Yield the lines of unit files that PID 1 has ignored since ``since``, in microseconds of CLOCK_MONOTONIC.

    Older messages are about files that a reload has replaced. ``entries`` are JSON objects of journalctl.
    """
    for entry in entries:
        try:
            fields = json.loads(entry)
            message, received = fields["MESSAGE"], int(fields["__MONOTONIC_TIMESTAMP"])
            arrival = int(fields["__REALTIME_TIMESTAMP"])
            delay = arrival - int(fields.get("_SOURCE_REALTIME_TIMESTAMP", arrival))
        except (ValueError, KeyError, TypeError):
            continue
        # A message that is not text is an array of bytes.
        warned = _MESSAGE.fullmatch(message) if isinstance(message, str) and received - delay >= since else None
        if warned and warned["folder"] in DIRECTORIES and _IGNORES.search(warned["words"]):
            shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in warned["words"])
            shown = shown if len(shown) <= MAX_WORDS else f"{shown[: MAX_WORDS - 1]}…"
            yield IgnoredLine(f"{DIRECTORIES[warned['folder']]}{warned['file']}", int(warned["line"]), shown)


def _difference(ignored: IgnoredLine, file: UnitFile) -> Difference:
    """Return the difference of a line. It is a fault if a document asks for it, and not for one of our defaults."""
    cause = line_cause(file.content, ignored.line)
    place = f"{cause.path}:{cause.line}: " if cause else ""
    name = file.path.partition("/")[2]
    about = f"{place}systemd ignores line {ignored.line} of {name}"
    pointer = cause.pointer if cause else file.item
    condition = StatusCondition(
        code="DirectiveIgnored",
        what=f"{about}: {ignored.words}",
        hint=f"correct the value; `systemctl cat {_unit(name)}` shows the line" if cause else "",
        item=file.item or "/".join(pointer.split("/")[:2]),
        fault=cause is not None,
        public=about,
    )
    return Difference(condition=condition, pointer=pointer, actual="ignored by systemd")


def _unit(name: str) -> str:
    """Return the unit of a file: ``web.service`` of ``web.service.d/50-ordain.conf``."""
    return name.partition("/")[0].removesuffix(".d")
