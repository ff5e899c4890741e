"""The order of the effects of an apply: what it writes to the journal, commits, reloads and has PID 1 do.

PID 1 is a stand-in, and so is the generator; the machines of tests/integration/test_kills.py prove the same with real
ones, and that a kill between any two effects makes no difference.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply import verdicts
from ordain.agent.apply.apply_steps import OUTCOME
from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.apply.generator_repair import DIRECTORIES
from ordain.agent.apply.parts import ApplyParts, build_parts
from ordain.agent.compile.executor import run_inline
from ordain.agent.errors import AlreadyRejected, ShuttingDown
from ordain.agent.model import Outcome, UnitState, Verb
from ordain.agent.state.apply_journal import PATH as JOURNAL
from ordain.agent.state.apply_journal import ApplyJournal, ApplyPhase
from ordain.agent.system import atomic_files
from ordain.agent.system.bus import BusError, Variant
from ordain.agent.system.systemd1 import FIELDS, Systemd
from ordain.generator.cache import unpack

BOOT = "0123456789abcdef0123456789abcdef"
FILES = {JOURNAL: "journal", "run/ordain/boot/current": "commit to /run", "etc/ordain/boot/current": "commit to /etc"}
"""The files whose writing is an effect of an apply, with the names that the tests give it."""


def documents(**words: str) -> list[tuple[str, bytes]]:
    services = {name: {"command": ["/bin/serve", word]} for name, word in words.items()}
    return [("/a.yaml", json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", "services": services}).encode())]


OLD, NEW = documents(web="one", gone="one"), documents(web="two", new="one")


class NoBus:
    """A message bus on which nobody answers."""

    async def call(self, *_: Any, **__: Any) -> Any:
        raise BusError("org.freedesktop.DBus.Error.ServiceUnknown", "nobody answers")


class StandIn(Systemd):
    """PID 1 and the generator of the machine below ``root``; ``effects`` is filled by them and by the files.

    A unit in ``broken`` fails when it is started. ``killed_at``: the effect before which the agent is killed.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(NoBus())  # type: ignore[arg-type]
        self.root = root
        self.effects: list[str] = []
        self.killed_at = ""
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

    async def queue(self, verb: Verb, unit: str) -> str:
        self.effect(f"{verb} {unit}")
        state = replace(self.states.get(unit, UnitState(name=unit)), load_state="loaded")
        if verb is Verb.STOP:
            state = replace(state, active_state="inactive", sub_state="dead")
        elif unit in self.broken:
            state = replace(state, active_state="failed", sub_state="failed", result="exit-code")
        else:
            run = f"{next(self._runs):032x}"
            state = replace(state, active_state="active", sub_state="running", result="success", invocation_id=run)
        self.states[unit] = state
        return "failed" if state.active_state == "failed" else "done"

    async def queue_transient(self, unit: str, properties: Any) -> str:
        assert isinstance(properties["Description"], Variant)
        self.effect(f"start {unit}")
        return "done"

    async def wait(self, job: str, timeout_sec: float) -> str:
        return job

    async def stopping(self) -> bool:
        return self.goes_down

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


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Return PID 1 of a machine that runs `OLD`, with no effects yet."""
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text(BOOT)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    (tmp_path / "etc/machine-id").write_text("f" * 32)
    for program in ("systemd/systemd", "x86_64-linux-gnu/systemd/libsystemd-shared-257.so"):
        (tmp_path / "usr/lib" / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "usr/lib" / program).touch()
    found = StandIn(tmp_path)
    real_replace, real_end = atomic_files.replace, ApplyJournal.end

    def replace_file(path: Path, data: bytes, *args: Any, **kwargs: Any) -> None:
        if name := FILES.get(str(path.relative_to(tmp_path))):
            phase = f": {json.loads(data)['phase']}" if name == "journal" else ""
            found.effect(f"{name}{phase}")
        real_replace(path, data, *args, **kwargs)

    def end(journal: ApplyJournal) -> None:
        found.effect("journal: end")
        real_end(journal)

    async def no_time(*_: object) -> float:
        return 3600.0

    monkeypatch.setattr(atomic_files, "replace", replace_file)
    monkeypatch.setattr(ApplyJournal, "end", end)
    monkeypatch.setattr(verdicts, "SETTLE_SEC", 0.0)
    monkeypatch.setattr(verdicts, "_age_sec", no_time)
    asyncio.run(parts(found).engine.apply(ApplyRequest(texts=OLD)))
    found.effects.clear()
    return found


def parts(systemd: StandIn) -> ApplyParts:
    """Return what a new agent on this machine builds."""
    return build_parts(systemd=systemd, executor=run_inline, root=systemd.root)


def apply(systemd: StandIn, **request: Any) -> Outcome:
    return asyncio.run(parts(systemd).engine.apply(ApplyRequest(texts=NEW, **request)))


FORWARDS = [
    "journal: stop",
    "stop gone.service",
    "journal: place",
    "commit to /run",
    "reload",
    "journal: act",
    "start new.service",
    "restart web.service",
    "journal: prove",
    "commit to /etc",
    "journal: end",
]
BACKWARDS = [
    *FORWARDS[: FORWARDS.index("journal: prove")],
    "journal: back",
    "journal: stop",
    "stop new.service",
    "journal: place",
    "commit to /run",
    "reload",
    "journal: act",
    "start gone.service",
    "restart web.service",
    "journal: prove",
    "journal: end",
]


def test_an_apply_that_works_is_committed_last(systemd: StandIn) -> None:
    outcome = apply(systemd)

    assert systemd.effects == FORWARDS
    assert (outcome.exit_status, outcome.persistent) == (0, True)
    assert json.loads((systemd.root / OUTCOME).read_bytes())["hash"] == outcome.hash
    applied = parts(systemd).store.applied()
    assert applied.hash == outcome.hash


def test_an_apply_that_fails_is_rolled_back_by_an_apply_of_its_own(systemd: StandIn) -> None:
    before = parts(systemd).store.applied()
    systemd.broken = {"new.service"}

    outcome = apply(systemd)

    assert systemd.effects == BACKWARDS
    assert (outcome.exit_status, outcome.hash) == (4, before.hash)
    assert outcome.why.startswith("new.service")
    proven = parts(systemd).store.proven()
    assert proven is not None
    assert proven.hash == before.hash
    with pytest.raises(AlreadyRejected):
        apply(systemd, by_administrator=False)


@pytest.mark.parametrize("effects", [FORWARDS, BACKWARDS], ids=["forwards", "backwards"])
def test_a_killed_agent_is_resumed_at_the_phase_in_the_journal(systemd: StandIn, effects: list[str]) -> None:
    """The next agent begins with the phase that was written last, and with the same effects as without the kill."""
    systemd.broken = {"new.service"} if effects is BACKWARDS else set()
    for number, effect in enumerate(effects[1:], 1):
        if effects.index(effect) != number:
            continue  # a second one of the same name: the stand-in stops at the first
        at_kill = [e for e in effects[:number] if e.startswith("journal: ")][-1]
        phase = ApplyPhase(at_kill.removeprefix("journal: "))
        systemd.killed_at = effect
        with pytest.raises(KeyboardInterrupt):
            apply(systemd)
        systemd.killed_at = ""
        assert systemd.effects == effects[:number]
        systemd.effects.clear()

        outcome = asyncio.run(parts(systemd).engine.resume())

        assert outcome is not None
        assert outcome.exit_status == (4 if effects is BACKWARDS else 0)
        assert systemd.effects[0] == (f"journal: {phase}" if phase is not ApplyPhase.BACK else "journal: stop")
        assert systemd.effects[-1] == "journal: end"
        assert systemd.states["web.service"].active_state == "active"
        assert asyncio.run(parts(systemd).engine.resume()) is None
        systemd.broken.clear()
        asyncio.run(parts(systemd).engine.apply(ApplyRequest(texts=OLD)))
        systemd.broken = {"new.service"} if effects is BACKWARDS else set()
        systemd.effects.clear()


def test_a_shutdown_leaves_the_rest_of_the_apply_to_the_next_boot(systemd: StandIn) -> None:
    systemd.goes_down = True

    with pytest.raises(ShuttingDown):
        apply(systemd)

    assert systemd.effects == ["journal: stop"]
    assert ApplyJournal(systemd.root).unfinished() is not None


def test_a_trial_is_not_committed_until_it_is_confirmed(systemd: StandIn) -> None:
    outcome = apply(systemd, confirm_sec=60)

    assert systemd.effects == ["start ordain-deadman.service", *(e for e in FORWARDS if e != "commit to /etc")]
    assert outcome.confirm_by
    systemd.effects.clear()

    number = asyncio.run(parts(systemd).rollback.confirm())

    assert number == outcome.generation
    assert systemd.effects == ["commit to /etc"]


def test_the_same_documents_again_have_no_effect(systemd: StandIn) -> None:
    apply(systemd)
    systemd.effects.clear()

    assert not apply(systemd).plan
    assert systemd.effects == []


WEB = {"command": ["/bin/serve"]}
EDITS_WITHOUT_A_BYTE = {
    "drift": ({"services": {"web": WEB}}, {"services": {"web": {**WEB, "drift": "enforce"}}}),
    "health": ({"services": {"web": WEB}}, {"services": {"web": {**WEB, "health": {"command": "/bin/true"}}}}),
    "on-remove": ({"services": {"web": WEB}}, {"services": {"web": {**WEB, "on-remove": "keep"}}}),
    "on-source-loss": (
        {"services": {"web": WEB}},
        {"services": {"web": {**WEB, "on-source-loss": {"stop-after": "1h"}}}},
    ),
    "on-change": ({"services": {"web": WEB}}, {"services": {"web": {**WEB, "on-change": "none"}}}),
    "drift of a mount": (
        {"mounts": {"/srv": {"what": "tmpfs", "type": "tmpfs"}}},
        {"mounts": {"/srv": {"what": "tmpfs", "type": "tmpfs", "state": "running"}}},
    ),
    "a service of the distribution without a key": ({}, {"services": {"ssh": {}}}),
    "a service that is not installed": ({}, {"services": {"etcd": {}}}),
    "on-remove of a file": (
        {"files": {"/etc/motd": {"content": "x"}}},
        {"files": {"/etc/motd": {"content": "x", "on-remove": "keep"}}},
    ),
    "values": ({}, {"values": {"a": 1}}),
    **{
        f"an empty section {name}": ({}, {name: {}})
        for name in ("services", "mounts", "swaps", "network", "users", "groups", "files", "sysctl", "modules", "host")
    },
}
"""Edits, as a text before and after, of which at least the removal or the addition changes no unit file."""


@pytest.mark.parametrize(("before", "after"), EDITS_WITHOUT_A_BYTE.values(), ids=EDITS_WITHOUT_A_BYTE.keys())
def test_an_edit_that_changes_no_unit_file_takes_effect(
    systemd: StandIn, before: dict[str, Any], after: dict[str, Any]
) -> None:
    for sections in (before, after, before):
        text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", **sections}).encode()
        outcome = asyncio.run(parts(systemd).engine.apply(ApplyRequest(texts=[("/a.yaml", text)])))

        store = parts(systemd).store
        proven = store.proven()
        assert outcome.exit_status == 0
        assert proven is not None
        assert store.applied().hash == outcome.hash == proven.hash
        assert store.applied().number == store.history()[-1].number
        assert not asyncio.run(parts(systemd).engine.plan([("/a.yaml", text)]))
