"""The turns of machines in a rollout, with real sources, in a directory and in a real cluster of etcd."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.database.semaphore import Semaphore
from ordain.agent.delivery.fleet import rollout_gate
from ordain.agent.delivery.fleet.fleet_holds import HOLDS, FleetHold, FleetHolds, HoldTarget, encode_holds
from ordain.agent.delivery.fleet.report import PATH, MachineReport, ReportedBoot, encode_report
from ordain.agent.delivery.fleet.rollout_gate import RolloutGate
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, encode_rollout
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft, read_release
from ordain.agent.delivery.release.publish import publish, rollout_key
from ordain.agent.delivery.source.database_source import DatabaseSource
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.agent.model import RawDocuments
from ordain.agent.status import AgentState as Phase
from ordain.transforms.model import Facts
from rig.stores.signing_keys import key_of

OpenStore = Callable[[], AbstractAsyncContextManager[Database]]
pytestmark = pytest.mark.parametrize("connect_store", ["directory", "etcd"], indirect=True)


def release(number: int, **rollout: object) -> Release:
    private, signer = key_of(1)
    draft = ReleaseDraft(channel="stable", number=number, documents={}, created="now", rollout=rollout or None)
    unsigned = draft.release()
    return unsigned.signed(signer.id, signing.sign(private, unsigned.canonical))


async def wait_until_no_slot_is_held(database: Database) -> None:
    while True:
        if not (await database.list("locks/")).entries:
            return
        await asyncio.sleep(0.02)


class Machine:
    """A source, and an agent that reports the release that the source handed over."""

    def __init__(self, database: Database, root: Path, number: int, *, unsigned: bool = False) -> None:
        self.root = root
        self.handed_over: RawDocuments = ()
        self.facts = Facts(id="debian", systemd=257, hostname=f"m{number}", machine_id=f"{number:032x}")
        self.gate = RolloutGate(
            root=root, machine=self.facts.machine_id, database=database, handed_over=lambda: self.handed_over
        )
        releases = ReleaseReader(database, lambda: self.facts, {}, self.gate)
        self.source = DatabaseSource(database, lambda: self.facts, {}, releases=releases, unsigned=unsigned)
        (root / PATH).parent.mkdir(parents=True)

    def report(
        self, number: int, phase: Phase, *, channel: str = "stable", generation: int = 0, origin: str = "current"
    ) -> None:
        reference = ReleaseReference(channel=channel, number=number)
        report = MachineReport(
            machine=self.facts.machine_id,
            phase=phase,
            release=reference,
            generation=generation,
            boot=ReportedBoot(generated_from=origin),
        )
        (self.root / PATH).write_bytes(encode_report(report))

    async def read(self) -> int:
        ((path, data),) = (await self.source.read()).texts
        return read_release(path, data).number


async def test_the_semaphore_limits_the_machines_that_apply_a_release_at_a_time(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_gate, "CHECK_SEC", 0.01)
    monkeypatch.setattr(rollout_gate, "RETRY_SEC", (0.02, 0.1))
    async with open_store() as database:
        await publish(database, release(1), {})
        machines = [Machine(database, tmp_path / f"m{n}", n) for n in range(6)]
        for machine in machines:
            assert await machine.read() == 1, "a machine without a release does not wait"
            machine.report(1, Phase.CONVERGED)
        await publish(database, release(2, **{"max-parallel": 2}), {})
        at_work: set[int] = set()
        most = 0

        async def follow(n: int, machine: Machine) -> None:
            nonlocal most
            async with aclosing(machine.source.changes()) as changes:
                async for _ in changes:
                    if await machine.read() == 2:
                        break
            at_work.add(n)
            most = max(most, len(at_work))
            machine.report(2, Phase.APPLYING)
            await asyncio.sleep(0.05)
            at_work.remove(n)
            machine.report(2, Phase.CONVERGED)

        async with asyncio.timeout(60):
            await asyncio.gather(*(follow(n, machine) for n, machine in enumerate(machines)))
            await wait_until_no_slot_is_held(database)

        assert most == 2


async def test_a_slot_outlives_the_connection_that_it_was_taken_by(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_gate, "CHECK_SEC", 0.01)
    async with open_store() as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.report(1, Phase.CONVERGED)
        await publish(database, release(2, **{"max-parallel": 1}), {})
        assert await machine.read() == 2
        machine.report(2, Phase.APPLYING)
        await machine.gate.close()
        assert not await Semaphore(database=database, prefix="locks/stable/", count=1, holder="other").acquire()

        again = Machine(database, tmp_path / "again", 1)
        again.report(2, Phase.CONVERGED)
        assert await again.read() == 2
        async with asyncio.timeout(30):
            await wait_until_no_slot_is_held(database)


async def test_the_slot_of_a_machine_that_never_comes_back_is_free_after_its_time(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_gate, "Semaphore", functools.partial(Semaphore, ttl_sec=1))
    async with open_store() as database:
        await publish(database, release(1), {})
        dead, waiting = (Machine(database, tmp_path / f"m{number}", number) for number in (1, 2))
        for machine in (dead, waiting):
            machine.report(1, Phase.CONVERGED)
        await publish(database, release(2, **{"max-parallel": 1}), {})
        assert await dead.read() == 2
        await dead.gate.close()
        assert await waiting.read() == 1
        async with asyncio.timeout(30):
            while await waiting.read() != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        waiting.report(2, Phase.CONVERGED)
        await wait_until_no_slot_is_held(database)


async def test_a_machine_that_comes_from_another_channel_holds_its_slot_until_it_has_the_release(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_gate, "CHECK_SEC", 0.01)
    async with open_store() as database:
        await publish(database, release(2, **{"max-parallel": 1}), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.report(7, Phase.CONVERGED, channel="canary", generation=5)
        assert await machine.read() == 2
        holding = machine.gate._holding
        assert holding is not None
        done, _ = await asyncio.wait([holding], timeout=0.2)
        assert not done

        machine.report(2, Phase.CONVERGED)
        async with asyncio.timeout(30):
            await wait_until_no_slot_is_held(database)


async def test_a_machine_that_has_to_wait_keeps_its_release(open_store: OpenStore, tmp_path: Path) -> None:
    async with open_store() as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.report(1, Phase.CONVERGED)
        await publish(database, release(2, stages=["0%", "100%"]), {})

        assert await machine.read() == 1
        assert machine.gate.waiting is not None
        assert "the rollout is at 0%" in machine.gate.waiting.why
        await database.put("releases/stable/rollout", b'{"number": 2, "share": 1.0}', expect=None)
        assert await machine.read() == 2


async def test_a_machine_without_a_release_waits_with_the_generation_that_is_in_force(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as database:
        await publish(database, release(1, stages=["0%", "100%"]), {})
        machine = Machine(database, tmp_path / "m", 1)
        for report in (
            {"number": 0, "phase": Phase.CONVERGED, "generation": 5},
            {"number": 0, "phase": Phase.STARTING, "generation": 5},
            {"number": 7, "phase": Phase.CONVERGED, "generation": 5, "channel": "canary"},
        ):
            machine.report(**report)  # type: ignore[arg-type]
            snapshot = await machine.source.read()
            assert (snapshot.texts, snapshot.waiting) == ((), "the rollout is at 0% of the machines")

        await database.put("releases/stable/rollout", b'{"number": 1, "share": 1.0}', expect=None)
        assert await machine.read() == 1


@pytest.mark.parametrize("origin", ["nothing", "baseline", "handed"])
async def test_a_machine_that_has_nothing_to_wait_with_takes_the_release_at_once(
    origin: str, open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as database:
        await publish(database, release(1, stages=["0%", "100%"]), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.report(0, Phase.CONVERGED, generation=0 if origin == "nothing" else 1, origin=origin)

        assert await machine.read() == 1


@pytest.mark.parametrize(
    ("told", "number"), [("stable:1", 1), ("stable:2", 2), ("beta:1", 2), ("stable:x", 2), ("stable:" + "9" * 5000, 2)]
)
async def test_a_machine_in_ram_waits_with_the_release_that_it_booted(
    told: str, number: int, open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as database:
        await publish(database, release(1), {})
        await publish(database, release(2, stages=["0%", "100%"]), {})
        machine = Machine(database, tmp_path / "m", 1)
        (machine.root / "proc").mkdir()
        (machine.root / "proc/cmdline").write_text(f"quiet ordain.release={told}\n")
        machine.report(0, Phase.CONVERGED, generation=1, origin="handed")
        assert await machine.read() == number

        if number == 1:
            await database.put(rollout_key("stable"), encode_rollout(RolloutState(number=2, share=1.0)), expect=ANY)
            assert await machine.read() == 2


async def test_a_machine_whose_agent_has_not_reported_is_looked_at_again_soon(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as database:
        await publish(database, release(1, stages=["0%", "100%"]), {})
        machine = Machine(database, tmp_path / "m", 1)
        for report in (False, True):
            if report:
                machine.report(0, Phase.STARTING)
            assert (await machine.source.read()).texts == ()
            assert machine.gate.waiting is not None
            assert machine.gate.waiting.until is not None

        machine.report(0, Phase.CONVERGED)
        assert await machine.read() == 1


async def test_a_machine_that_reboots_during_a_rollout_keeps_the_release_that_it_had(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.handed_over = (await machine.source.read()).texts
        await publish(database, release(2, stages=["0%", "100%"]), {})

        assert await machine.read() == 1


async def test_a_machine_that_waits_for_its_first_release_stays_with_the_unsigned_documents_of_the_store(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as database:
        layer = b"ordain: v1\nkind: Layer\nname: a\n"
        await database.put("documents/common/layer/a", layer, expect=None)
        await publish(database, release(1, stages=["0%", "100%"]), {})
        machine = Machine(database, tmp_path / "m", 1, unsigned=True)
        machine.report(0, Phase.CONVERGED, generation=5)

        snapshot = await machine.source.read()

        assert [data for _, data in snapshot.texts] == [layer]
        assert snapshot.waiting == "the rollout is at 0% of the machines"
        await database.put("releases/stable/rollout", b'{"number": 1, "share": 1.0}', expect=None)
        assert await machine.read() == 1


async def test_a_machine_that_the_fleet_holds_keeps_its_release_until_the_hold_ends(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.report(1, Phase.CONVERGED)
        hold = FleetHold(target=HoldTarget.CHANNEL, subject="stable", why="no changes before the sale")
        await database.put(HOLDS, encode_holds(FleetHolds(holds=(hold,))), expect=None)
        assert await machine.read() == 1
        await publish(database, release(2), {})

        async with asyncio.timeout(30), aclosing(machine.source.changes()) as changes:
            await anext(changes)
            assert await machine.read() == 1
            assert "no changes before the sale" in (await machine.source.read()).waiting
            await database.put(HOLDS, encode_holds(FleetHolds()), expect=ANY)
            async for _ in changes:
                if await machine.read() == 2:
                    break
        assert (await machine.source.read()).waiting == ""


async def test_holds_that_cannot_be_read_and_a_store_with_holds_only_hold_nobody(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as database:
        await database.put(HOLDS, b"[]", expect=None)
        machine = Machine(database, tmp_path / "m", 1)
        assert (await machine.source.read()).texts == ()
        await publish(database, release(1), {})
        machine.report(1, Phase.CONVERGED)
        await publish(database, release(2), {})

        assert await machine.read() == 2


async def test_opening_a_stage_wakes_the_machines_that_wait(open_store: OpenStore, tmp_path: Path) -> None:
    async with open_store() as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.report(1, Phase.CONVERGED)
        await publish(database, release(2, stages=["0%", "100%"]), {})
        async with asyncio.timeout(30), aclosing(machine.source.changes()) as changes:
            async for _ in changes:
                if await machine.read() == 2:
                    break
                await database.put("releases/stable/rollout", b'{"number": 2, "share": 1.0}', expect=None)


async def test_reports_and_slots_do_not_wake_machines_that_watch_releases(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        await machine.read()
        async with aclosing(machine.source.changes()) as changes:
            await anext(changes)
            woken = asyncio.ensure_future(anext(changes))
            for number in range(20):
                await database.put(f"status/{number}", b"{}", expect=None)
                await database.put(f"locks/stable/{number}", b"{}", expect=None)
            await asyncio.sleep(0.3)
            assert not woken.done()
            await publish(database, release(2), {})
            await asyncio.wait_for(woken, 30)
