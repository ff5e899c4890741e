"""A directive that PID 1 ignores is reported with PID 1's words and the place that asks for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ordain.agent.apply.differences.difference import Difference
from ordain.agent.apply.differences.ignored_directives import MAX_SHOWN, MAX_WORDS, SETTLE_SEC, IgnoredDirectives
from ordain.agent.generation import generation as as_generation
from ordain.agent.model import Generation, Observed, UnitState
from ordain.agent.system.dbus.bus import BusError
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Facts

RELOAD = (1_795_920_254_000_000, 43_630_000_000)
"""A time in microseconds: CLOCK_REALTIME, CLOCK_MONOTONIC."""
TEXT = """\
ordain: v1
kind: Layer
name: a
units:
  sc.service:
    Service:
      ExecStart: /bin/sleep 1000
      RestrictAddressFamilies: AF_FOO
  cron.service.d:
    Service:
      RestrictAddressFamilies: AF_FOO
"""
IGNORES = "Failed to parse address family, ignoring: AF_FOO"


def entry(file: str, line: int, words: str = IGNORES, *, after: int = 5, delay: int = 1) -> str:
    """Return a message of PID 1 that it sent ``after`` - ``delay`` microseconds after the reload."""
    realtime, monotonic = (time + after for time in RELOAD)
    return json.dumps(
        {
            "MESSAGE": f"/run/systemd/generator/{file}:{line}: {words}",
            "__REALTIME_TIMESTAMP": str(realtime),
            "__MONOTONIC_TIMESTAMP": str(monotonic),
            "_SOURCE_REALTIME_TIMESTAMP": str(realtime - delay),
        }
    )


class Machine:
    """A PID 1 that has reloaded, its journal, and a clock."""

    def __init__(self, *entries: str) -> None:
        self.entries, self.reload, self.now = entries, RELOAD, 100.0
        self.reads: list[int] = []
        machine: Any = self
        self._ignored = IgnoredDirectives(machine, self._read, lambda: self.now)

    async def units_read_usec(self) -> tuple[int, int]:
        return self.reload

    async def _read(self, since_sec: int) -> str:
        self.reads.append(since_sec)
        return "\n".join(self.entries)

    def differences(self, generation: Generation, *, running: bool = True) -> list[Difference]:
        states = {"sc.service": UnitState(name="sc.service", active_state="active" if running else "inactive")}
        return asyncio.run(self._ignored.differences(generation, Observed(units=states)))


def generation() -> Generation:
    documents = read("/a.yaml", TEXT.encode())[0]
    return as_generation(compile(documents, Facts(id="debian", version="12", systemd=252)), 1)


def line_of(file: str, directive: str) -> int:
    (content,) = (a.content for a in generation().artifacts if isinstance(a, UnitFile) and a.path == f"normal/{file}")
    return content.split("\n").index(directive) + 1


FAMILY = line_of("sc.service", "RestrictAddressFamilies=AF_FOO")


def test_an_ignored_directive_is_a_fault_with_its_place_and_the_words_of_pid_1() -> None:
    (found,) = Machine(entry("sc.service", FAMILY), entry("sc.service", FAMILY)).differences(generation())

    assert found.condition.fault
    assert (found.condition.code, found.condition.item) == ("DirectiveIgnored", "units/sc.service")
    assert found.condition.what == f"/a.yaml:8: systemd ignores line {FAMILY} of sc.service: {IGNORES}"
    assert "systemctl cat sc.service" in found.condition.hint
    assert "AF_FOO" not in found.condition.public
    assert found.pointer == "units/sc.service/Service/RestrictAddressFamilies"


def test_an_ignored_directive_of_a_drop_in_is_one_of_its_unit() -> None:
    (name,) = (a.path for a in generation().artifacts if "/cron.service.d/" in a.path)
    file = name.removeprefix("normal/")

    (found,) = Machine(entry(file, line_of(file, "RestrictAddressFamilies=AF_FOO"))).differences(generation())

    assert found.condition.what.startswith("/a.yaml:11: ")
    assert "systemctl cat cron.service" in found.condition.hint


def test_a_message_about_the_file_before_the_reload_does_not_count() -> None:
    assert not Machine(entry("sc.service", FAMILY, after=-1)).differences(generation())
    assert not Machine(entry("sc.service", FAMILY, after=5, delay=6)).differences(generation())


def test_other_messages_and_the_files_of_others_do_not_count() -> None:
    machine = Machine(
        entry("other.service", 3),
        entry("sc.service", FAMILY, "Unit uses MemoryLimit=; please use MemoryMax= instead."),
        entry("sc.service", FAMILY).replace("/run/systemd/generator/", "/etc/systemd/system/"),
        json.dumps({"MESSAGE": [47, 255], "__MONOTONIC_TIMESTAMP": "99999999999", "__REALTIME_TIMESTAMP": "1"}),
        '{"MESSAGE": "/run/systemd/gen',
    )

    assert not machine.differences(generation())


def test_a_line_that_no_document_asks_for_is_a_note() -> None:
    (found,) = Machine(entry("sc.service", 1)).differences(generation())

    assert not found.condition.fault


def test_number_and_length_are_bounded() -> None:
    words = f"ignoring: \x1b{'x' * 5000}"

    found = Machine(*(entry("sc.service", FAMILY, f"{n} {words}") for n in range(99))).differences(generation())

    assert len(found) == MAX_SHOWN
    assert all(len(d.condition.what) < MAX_WORDS + 60 and "\x1b" not in d.condition.what for d in found)


def test_the_journal_is_read_until_it_is_complete_and_again_after_a_reload_or_a_change_of_a_unit() -> None:
    machine, now = Machine(), generation()

    for after, running in ((0, True), (1, True), (SETTLE_SEC, True), (60, True), (61, False)):
        machine.now = 100.0 + after
        machine.differences(now, running=running)
    assert len(machine.reads) == 4

    machine.reload = (RELOAD[0] + 90_000_000, RELOAD[1] + 90_000_000)
    machine.differences(now, running=False)
    assert machine.reads[-1] == RELOAD[0] // 1_000_000 + 90


def test_a_pid_1_that_does_not_say_when_it_reloaded_is_not_asked_further() -> None:
    class Old(Machine):
        async def units_read_usec(self) -> tuple[int, int]:
            raise BusError("org.freedesktop.DBus.Error.UnknownProperty", "")

    machine = Old(entry("sc.service", FAMILY))

    assert not machine.differences(generation())
    assert not machine.reads
