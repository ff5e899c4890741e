"""The order of the effects of an apply: what it writes to the journal, commits, reloads and has PID 1 do.

PID 1 is a stand-in, and so is the generator; the machines of tests/integration/apply/test_kills.py prove the same with
real ones, and that a kill between any two effects makes no difference.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.apply.jobs import verdicts
from ordain.agent.errors import AlreadyRejected, ShuttingDown
from ordain.agent.instruction import Instruction
from ordain.agent.model import Outcome
from ordain.agent.state.apply_journal import PATH as JOURNAL
from ordain.agent.state.apply_journal import ApplyJournal, ApplyPhase
from ordain.agent.state.last_outcome import PATH as OUTCOME
from ordain.agent.system import atomic_files
from support.machines.stand_in_pid1 import StandIn, make_machine, parts

FILES = {JOURNAL: "journal", "run/ordain/boot/current": "commit to /run", "etc/ordain/boot/current": "commit to /etc"}
"""The files whose writing is an effect of an apply, with the names that the tests give it."""


def documents(**words: str) -> list[tuple[str, bytes]]:
    services = {name: {"command": ["/bin/serve", word]} for name, word in words.items()}
    return [("/a.yaml", json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", "services": services}).encode())]


OLD, NEW = documents(web="one", gone="one"), documents(web="two", new="one")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Return PID 1 of a machine that runs `OLD`, with no effects yet."""
    found = make_machine(tmp_path)
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


@pytest.mark.parametrize(
    ("path", "reloads"), [("/etc/containers/systemd/web.container", 2), ("/etc/app.conf", 1), ("/etc/crypttab", 2)]
)
def test_pid_1_reads_its_units_again_after_files_that_other_generators_read(
    systemd: StandIn, path: str, reloads: int
) -> None:
    layer = json.loads(OLD[0][1]) | {"files": {path: {"content": "a"}}}
    layer["services"]["web"]["command"] = ["/bin/serve", "two"]
    asyncio.run(parts(systemd).engine.apply(ApplyRequest(texts=[("/a.yaml", json.dumps(layer).encode())])))

    effects = [name for name in systemd.effects if name in ("reload", "restart ordain-files.service", "journal: act")]
    assert effects == ["reload", "restart ordain-files.service", *["reload"] * (reloads - 1), "journal: act"]


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


@pytest.mark.parametrize("killed_at", ["", "journal: back"])
@pytest.mark.parametrize("paused", [True, False])
def test_a_pause_or_a_follow_during_an_apply_that_is_rolled_back_holds(
    systemd: StandIn, paused: bool, killed_at: str
) -> None:
    """Also if the agent is killed before the rollback."""
    agent = parts(systemd)
    if not paused:
        agent.decisions.pause(Instruction(by="alice"))
    systemd.broken = {"new.service"}
    systemd.meanwhile = agent.decisions.pause if paused else agent.decisions.follow
    systemd.killed_at = killed_at
    if killed_at:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(agent.engine.apply(ApplyRequest(texts=NEW)))
        systemd.killed_at = ""
        agent = parts(systemd)

    outcome = asyncio.run(agent.engine.resume() if killed_at else agent.engine.apply(ApplyRequest(texts=NEW)))

    assert outcome is not None
    assert outcome.exit_status == 4
    assert agent.decisions.paused is paused


@pytest.mark.parametrize("pause", [True, False])
def test_an_apply_of_a_file_that_is_rolled_back_leaves_no_pin_and_no_pause(systemd: StandIn, pause: bool) -> None:
    systemd.broken = {"new.service"}

    assert apply(systemd, instead_of="r", pause=pause).exit_status == 4

    decisions = parts(systemd).decisions
    assert (decisions.pin, decisions.paused) == (None, False)


@pytest.mark.parametrize("paused", [True, False])
def test_a_pause_or_a_follow_during_a_trial_holds_after_it_is_confirmed(systemd: StandIn, paused: bool) -> None:
    if not paused:
        parts(systemd).decisions.pause()
    apply(systemd, confirm_sec=60, instead_of="r")
    agent = parts(systemd)

    agent.decisions.pause() if paused else agent.decisions.follow()
    asyncio.run(agent.rollback.confirm())

    assert (agent.decisions.paused, bool(agent.decisions.pin)) == (paused, paused)


@pytest.mark.parametrize("effects", [FORWARDS, BACKWARDS], ids=["forwards", "backwards"])
@pytest.mark.thorough
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
