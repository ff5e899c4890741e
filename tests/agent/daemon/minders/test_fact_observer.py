"""Facts of devices, of the network and of the site are kept, settled, and a program that fails costs its own fact."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.compile.executor import run_inline
from ordain.agent.daemon.minders import fact_programs
from ordain.agent.daemon.minders.fact_observer import LOOK_SEC, SETTLE_SEC, FactObserver
from ordain.agent.daemon.minders.minder import Work
from ordain.agent.system.dbus.bus import BusError
from ordain.transforms.machine.observed_facts import read_observed

NET = "sys/class/net/eno1"
Program = Callable[[Path], str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {"etc/machine-id": "0" * 32, f"{NET}/device/vendor": "0x8086", "proc/net/route": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / fact_programs.FOLDER).mkdir(parents=True)
    return tmp_path


class FakeSystemd:
    """A PID 1 that writes what a program would; ``programs`` are by their name."""

    def __init__(self, programs: dict[str, Program]) -> None:
        self.programs = programs
        self.properties: dict[str, Any] = {}

    async def queue_transient(self, unit: str, properties: dict[str, Any]) -> str:
        self.properties = {name: variant.value for name, variant in properties.items()}
        output = Path(self.properties["StandardOutputFileToTruncate"])
        result = self.programs[unit.removeprefix("ordain-fact-").removesuffix(".service")](output)
        if result == "away":
            raise BusError("org.example", "PID 1 refuses it")
        return result

    async def wait(self, job: str, timeout_sec: float) -> str:
        return job


class Machine:
    """An observer, and what it asks for."""

    def __init__(self, root: Path, programs: dict[str, Program] | None = None, *, observes: bool = True) -> None:
        self.root, self.requests = root, Work.LOOK
        self.systemd = FakeSystemd(programs or {})
        engine = SimpleNamespace(observes_facts=observes, facts_digest=lambda: repr(read_observed(root)).encode())
        parts = SimpleNamespace(systemd=self.systemd, root=root, executor=run_inline, engine=engine)
        self.observer = FactObserver(parts=cast(Any, parts), request=self.request)

    def request(self, work: Work) -> None:
        self.requests |= work

    async def tick(self, now: float) -> float | None:
        due = await self.observer.tick(now)
        if self.observer._task:
            await self.observer._task
        return due

    def values(self, name: str) -> tuple[str, ...] | None:
        observed = read_observed(self.root)
        assert observed
        return observed.values.get(name)

    @property
    def faults(self) -> list[str]:
        return [condition.what for condition in self.observer.conditions]


def program(root: Path, name: str, mode: int = 0o755) -> None:
    path = root / fact_programs.FOLDER / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)


def writes(text: str, result: str = "done", errors: str = "") -> Program:
    def run(output: Path) -> str:
        output.write_text(text)
        if errors:
            Path(f"{output}.errors").write_text(errors)
        return result

    return run


async def test_the_first_look_is_before_the_first_compile(root: Path) -> None:
    (root / fact_programs.FOLDER / "site.yaml").write_text("rack: r12\n")
    machine = Machine(root)

    await machine.observer.prime(0.0)

    assert (machine.values("nic"), machine.values("facts.site-rack"), machine.values("subnet")) == (
        ("eno1",),
        ("r12",),
        (),
    )


async def test_a_device_counts_when_it_has_been_there_for_a_while(root: Path) -> None:
    machine = Machine(root)
    await machine.observer.prime(0.0)
    await machine.tick(1.0)
    (root / "sys/class/net/eno2/device").mkdir(parents=True)

    assert await machine.tick(100.0) == 100.0 + LOOK_SEC
    assert machine.values("nic") == ("eno1",)
    await machine.tick(100.0 + SETTLE_SEC + 1)
    await machine.tick(200.0)

    assert machine.values("nic") == ("eno1", "eno2")
    assert Work.READ in machine.requests


async def test_a_device_that_is_away_for_a_moment_changes_nothing(root: Path) -> None:
    machine = Machine(root)
    await machine.observer.prime(0.0)
    await machine.tick(1.0)
    (root / NET / "device").rename(root / "away")
    await machine.tick(100.0)
    (root / "away").rename(root / NET / "device")

    await machine.tick(150.0)
    await machine.tick(200.0)

    assert machine.values("nic") == ("eno1",)
    assert Work.READ not in machine.requests


async def test_a_machine_that_uses_no_such_fact_is_not_woken_for_it(root: Path) -> None:
    machine = Machine(root, observes=False)

    assert await machine.tick(1.0) is None


async def test_values_of_another_machine_are_not_used(root: Path) -> None:
    await Machine(root).observer.prime(0.0)
    assert read_observed(root)

    (root / "etc/machine-id").write_text("1" * 32)

    assert read_observed(root) is None


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="programs must belong to root")


@as_root
async def test_a_program_gives_facts_within_a_sandbox(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(root, "site")
    machine = Machine(root, {"site": writes("rack=r12\nrow=7\n")})

    await machine.tick(1.0)

    assert (machine.values("facts.site-rack"), machine.faults) == (("r12",), [])
    assert machine.systemd.properties["DynamicUser"] is True
    assert machine.systemd.properties["LimitFSIZE"] == fact_programs.MAX_BYTES + 1


@as_root
@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (writes("", "failed", "one\ntwo\nthree\nno rack\n"), "it failed: two | three | no rack"),
        (writes("x" * (fact_programs.MAX_BYTES + 1), "failed"), "it wrote more than 64 KiB"),
        (writes("a: {b: c}"), "write a text, a number"),
        (writes(""), "it holds no value"),
        (writes("x", "away"), "PID 1 refuses it"),
    ],
)
async def test_a_program_that_fails_costs_its_own_fact_and_keeps_the_last_value(
    root: Path, monkeypatch: pytest.MonkeyPatch, run: Program, fault: str
) -> None:
    program(root, "site")
    program(root, "new")
    machine = Machine(root, {"site": writes("rack=r12\n"), "new": run})
    await machine.tick(1.0)
    observed = read_observed(root)
    assert observed
    assert (observed.is_known("facts.new-x"), observed.is_known("facts.site-x")) == (False, True)
    machine.systemd.programs["site"] = run

    await machine.tick(10_000.0)

    assert machine.values("facts.site-rack") == ("r12",)
    assert [fault in what for what in machine.faults] == [True, True]


@as_root
@pytest.mark.parametrize(
    ("name", "mode", "fault"),
    [
        ("site", 0o644, "it is not executable"),
        ("site", 0o777, "every user may write it, who could decide for root"),
        ("a b", 0o755, "its name may have"),
    ],
)
async def test_a_program_that_others_could_write_is_not_run(root: Path, name: str, mode: int, fault: str) -> None:
    program(root, name, mode)
    machine = Machine(root)

    await machine.tick(1.0)

    assert fault in machine.faults[0]


async def test_a_removed_entry_takes_its_facts_with_it(root: Path) -> None:
    path = root / fact_programs.FOLDER / "site.json"
    path.write_text('{"rack": "r12"}')
    machine = Machine(root)
    await machine.tick(1.0)
    assert machine.values("facts.site-rack") == ("r12",)

    path.unlink()
    await machine.tick(2.0)
    await asyncio.sleep(0)

    assert machine.values("facts.site-rack") is None
