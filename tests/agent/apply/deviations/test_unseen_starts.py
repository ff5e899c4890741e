"""A process whose definition no look has seen is asked for its command line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply.deviations.unseen_starts import is_another_command, look_for_unseen
from ordain.agent.model import Generation, UnitState
from ordain.agent.state.unseen_start_record import PATH
from ordain.agent.system.systemd.systemd1 import FIELDS, Systemd
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.model import Member, Wanted

SECOND = 1_000_000
GENERATION = Generation(
    number=1,
    hash="1",
    members=(Member(unit="web.service", item="services/web", wanted=Wanted.RUNNING, ours=True),),
    artifacts=(
        UnitFile(path="normal/web.service", content="[Service]\nExecStart=/bin/serve 1\n", item="services/web"),
    ),
)


class Pid1(Systemd):
    """PID 1 that has started web as process 7 at ``started`` and read its units at ``read``, in seconds since 1970."""

    def __init__(self, *, started: int, read: int, type: str = "exec") -> None:
        self.started, self.read, self.type = started, read, type
        self.invocation = "a"
        self.asked: list[str] = []

    async def list_units(self, names: Iterable[str]) -> dict[str, UnitState]:
        return {
            name: UnitState(name=name, active_state="active", invocation_id=self.invocation, main_pid=7)
            for name in names
        }

    async def inspect(self, names: Iterable[str], fields: frozenset[str] = FIELDS) -> dict[str, UnitState]:
        return await self.list_units(names)

    async def units_read_usec(self) -> tuple[int, int]:
        return self.read * SECOND, 0

    async def property(self, unit: str, name: str) -> Any:
        self.asked.append(name)
        return {
            "ExecMainStartTimestamp": self.started * SECOND,
            "Type": self.type,
            "ExecStart": [("/bin/serve", ["/bin/serve", "1"], False)],
        }[name]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root whose last look was at 100 s, and whose process 7 runs another command than that of web."""
    for name, content in (("proc/7/cmdline", "/bin/serve\0002\0"), (PATH, "{}"), ("bin/serve", "\x7fELF")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    os.utime(tmp_path / PATH, (100, 100))
    return tmp_path


def _changes(pid_1: Pid1, root: Path) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    found = asyncio.run(look_for_unseen(pid_1, root, GENERATION))
    return [(unit, change.old, change.new) for unit, changes in found.items() for change in changes]


OTHER = [("web.service", ("/bin/serve 2",), ("/bin/serve 1",))]


@pytest.mark.parametrize(
    ("started", "read", "found"),
    [
        pytest.param(101, 102, OTHER, id="started-reloaded"),
        pytest.param(99, 102, [], id="seen-before"),
        pytest.param(103, 102, [], id="fresh"),
        pytest.param(101, 99, [], id="no-reload"),
    ],
)
def test_a_process_that_was_started_between_a_look_and_a_reload_is_asked(
    root: Path, started: int, read: int, found: list[object]
) -> None:
    assert _changes(Pid1(started=started, read=read), root) == found


def test_it_is_known_until_it_is_started_again(root: Path) -> None:
    pid_1 = Pid1(started=101, read=102)
    assert _changes(pid_1, root) == OTHER
    pid_1.asked.clear()
    assert _changes(pid_1, root) == OTHER
    assert "ExecMainStartTimestamp" not in pid_1.asked
    pid_1.invocation = "b"
    assert _changes(pid_1, root) == []


def test_nothing_is_known_without_an_earlier_look_or_of_a_process_that_names_itself(root: Path) -> None:
    assert _changes(Pid1(started=101, read=102, type="notify"), root) == []
    (root / PATH).unlink()
    assert _changes(Pid1(started=101, read=102), root) == []


@pytest.mark.parametrize(
    ("actual", "wanted", "other"),
    [
        ("/bin/serve 2", "/bin/serve 1", True),
        ("/bin/other", "/bin/serve", True),
        ("/usr/bin/serve 1", "serve 1", False),
        ("/usr/bin/python3 -m http.server 80", "python3 -m http.server 81", True),
        ("/bin/serve 1", "nice -n 5 /bin/serve 1", False),
        ("/bin/app", "/bin/sh -c app", False),
        ("/bin/sh -c b", "/bin/sh -c a", True),
        ("/bin/serve 8080", "/bin/serve $PORT", False),
        ("/bin/other 8080", "/bin/serve $PORT", True),
        ("serve:", "/bin/serve 1", False),
    ],
)
def test_a_command_is_another_one_only_if_that_is_certain(actual: str, wanted: str, other: bool) -> None:
    assert is_another_command(actual.split(), wanted.split()) == other


def test_a_title_is_not_a_command() -> None:
    assert not is_another_command(["nginx: master process /usr/sbin/nginx"], ["/usr/sbin/nginx"])
