"""A stand-in for PID 1 and its generator, below a root directory of the test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ordain.agent.apply.apply_parts import ApplyParts, build_parts
from ordain.agent.apply.generator_repair import DIRECTORIES
from ordain.agent.compile.executor import run_inline
from ordain.agent.model import UnitState, Verb
from ordain.agent.system.dbus.bus import BusError, Variant
from ordain.agent.system.systemd.systemd1 import FIELDS, Systemd
from ordain.generator.cache import unpack

BOOT = "0123456789abcdef0123456789abcdef"


class NoBus:
    """A message bus on which nobody answers."""

    async def call(self, *_: Any, **__: Any) -> Any:
        raise BusError("org.freedesktop.DBus.Error.ServiceUnknown", "nobody answers")


class StandIn(Systemd):
    """PID 1 and the generator of the machine below ``root``; ``effects`` is filled by them and by the files.

    A unit in ``broken`` fails when it is started. ``killed_at``: the effect before which the agent is killed.
    ``meanwhile`` is called once, at the next job: it is what somebody else does during an apply.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(NoBus())  # type: ignore[arg-type]
        self.root = root
        self.effects: list[str] = []
        self.killed_at = ""
        self.meanwhile: Callable[[], object] | None = None
        self.states: dict[str, UnitState] = {}
        self.broken: set[str] = set()
        self.goes_down = False
        self._runs = itertools.count(1)

    def effect(self, name: str) -> None:
        if name == self.killed_at:
            raise KeyboardInterrupt(name)
        self.effects.append(name)

    async def list_units(self, names: Iterable[str]) -> dict[str, UnitState]:
        return {name: self.states.get(name, UnitState(name=name)) for name in names}

    async def inspect(self, names: Iterable[str], fields: frozenset[str] = FIELDS) -> dict[str, UnitState]:
        return await self.list_units(names)

    async def queue(self, verb: Verb, unit: str, *, invocation: str = "") -> str:
        self.effect(f"{verb} {unit}")
        act, self.meanwhile = self.meanwhile, None
        if act:
            act()
        state = replace(self.states.get(unit, UnitState(name=unit)), load_state="loaded")
        if verb is Verb.STOP:
            state = replace(state, active_state="inactive", sub_state="dead")
        elif unit in self.broken:
            state = replace(state, active_state="failed", sub_state="failed", result="exit-code")
        elif verb is not Verb.RELOAD:
            run = f"{next(self._runs):032x}"
            state = replace(state, active_state="active", sub_state="running", result="success", invocation_id=run)
        self.states[unit] = state
        return "failed" if state.active_state == "failed" else "done"

    async def queue_transient(self, unit: str, properties: Any) -> str:
        assert isinstance(properties["Description"], Variant)
        self.effect(f"start {unit}")
        return "done"

    async def property(self, unit: str, name: str) -> Any:
        return "simple" if name == "Type" else await super().property(unit, name)

    async def relations(self, unit: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        return {}

    async def dependents(self, unit: str) -> tuple[str, ...]:
        return ()

    async def adopt(self, unit: str) -> str:
        return "done"

    def disown(self) -> None: ...

    async def wait(self, job: str, timeout_sec: float) -> str:
        return job

    async def stopping(self) -> bool:
        return self.goes_down

    async def reloaded(self) -> None:
        """A reload of the stand-in has always ended."""

    async def reload(self) -> None:
        self.effect("reload")
        cache = unpack((self.root / "run/ordain/boot/current").read_bytes())
        for path, _, content, link in cache.entries:
            directory, _, name = path.partition("/")
            place = self.root / DIRECTORIES[directory] / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.write_bytes(content) if content is not None else place.symlink_to((link or b"").decode())
        (self.root / "run/ordain/boot/choice").write_text(f"boot_id={BOOT}\nhash={cache.hash}\nnumber={cache.number}\n")

    async def triggers(self, unit: str) -> tuple[str, ...]:
        return ()

    async def unit_of(self, pid: int) -> str:
        return ""

    async def job_type(self, unit: str) -> str:
        return ""

    async def occupy(self) -> None: ...

    async def reset_failed(self, unit: str) -> None: ...


def make_machine(root: Path) -> StandIn:
    """Return PID 1 of a Debian 13 below ``root`` to which nothing was ever applied."""
    (root / "proc/sys/kernel/random").mkdir(parents=True)
    (root / "proc/sys/kernel/random/boot_id").write_text(BOOT)
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    (root / "etc/machine-id").write_text("f" * 32)
    for program in ("systemd/systemd", "x86_64-linux-gnu/systemd/libsystemd-shared-257.so"):
        (root / "usr/lib" / program).parent.mkdir(parents=True, exist_ok=True)
        (root / "usr/lib" / program).touch()
    return StandIn(root)


def parts(systemd: StandIn) -> ApplyParts:
    """Return what a new agent on this machine builds."""
    return build_parts(systemd=systemd, executor=run_inline, root=systemd.root)
