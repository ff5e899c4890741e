"""Slots of a rollout that machines sign: nobody holds one in the name of another machine, and nobody holds two."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.delivery.database.semaphore import Semaphore
from ordain.agent.delivery.identity.machine_key import PrivateKey, generate
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    FleetRecord,
    MachineRecord,
    encode_key,
    encode_record,
)
from ordain.agent.delivery.identity.slot_guard import IdentityGuard
from ordain.agent.delivery.protocol import SourceError, SourceFault

FLEET = "f" * 16
A, B, C = "a" * 32, "b" * 32, "c" * 32
KEYS = {machine: generate(FLEET) for machine in (A, B, C)}
SLOT = "locks/stable/0"


class Rollout:
    """A store with a rollout in which two machines, A and B, are enrolled, and C is not."""

    def __init__(self, path: Path) -> None:
        self.store = DirectoryDatabase(path)
        self.now = 0.0

    async def prepare(self, *, require: bool = False, machines: str = A + B) -> None:
        await self.store.put(FLEET_KEY, encode_record(FleetRecord(fleet=FLEET, require=require)), expect=ANY)
        for machine in (A, B):
            if machine in machines:
                await self.enroll(machine)

    async def enroll(self, machine: str, **more: str) -> None:
        record = MachineRecord(machine=machine, key=encode_key(KEYS[machine].public), name=machine[:1])
        await self.store.put(f"{MACHINES}{machine}", encode_record(replace(record, **more)), expect=ANY)  # type: ignore[arg-type]

    def semaphore(self, machine: str, count: int = 1, key: PrivateKey | None = None) -> Semaphore:
        """Return the semaphore as the honest ``machine`` sees it."""
        guard = IdentityGuard(database=self.store, key=key or KEYS[machine])
        return Semaphore(
            database=self.store,
            prefix="locks/stable/",
            count=count,
            holder=machine,
            guard=guard,
            clock=lambda: self.now,
        )

    async def forge(self, holder: str, by: str, key: str = SLOT, beat: int = 99) -> None:
        """Write a slot that ``by`` signs, in the name of ``holder``."""
        slot = KEYS[by].sign(key, {"holder": holder, "beat": beat})
        await self.store.put(key, json.dumps(slot).encode(), expect=ANY)


@pytest.fixture
def rollout(tmp_path: Path) -> Rollout:
    return Rollout(tmp_path)


async def test_a_slot_that_its_holder_signed_is_held(rollout: Rollout) -> None:
    await rollout.prepare()
    a = rollout.semaphore(A)
    assert await a.acquire()
    assert not await rollout.semaphore(B).acquire()
    assert await a.renew()
    assert await rollout.semaphore(A).resume()


async def test_a_slot_in_the_name_of_another_machine_is_free(rollout: Rollout) -> None:
    await rollout.prepare()
    await rollout.forge(A, by=B)
    assert not await rollout.semaphore(A).resume(), "it is not its own"
    assert await rollout.semaphore(A).acquire()
    await rollout.forge(A, by=A, key="locks/stable/7")
    entry = await rollout.store.get("locks/stable/7")
    assert entry
    await rollout.store.put(SLOT, entry.data, expect=ANY)
    assert await rollout.semaphore(B).acquire(), "a slot that was copied from another place"


async def test_one_machine_does_not_hold_every_slot(rollout: Rollout) -> None:
    await rollout.prepare()
    for number in range(3):
        await rollout.forge(B, by=B, key=f"locks/stable/{number}")

    assert await rollout.semaphore(A, 3).acquire()


async def test_the_slot_of_a_revoked_machine_is_free(rollout: Rollout) -> None:
    await rollout.prepare()
    assert await rollout.semaphore(B).acquire()
    assert not await rollout.semaphore(A).acquire()
    await rollout.enroll(B, revoked="stolen")
    assert await rollout.semaphore(A).acquire()


async def test_slots_that_somebody_writes_back_do_not_last(rollout: Rollout) -> None:
    await rollout.prepare(machines=A + B)
    a = rollout.semaphore(A)
    earlier = []
    for machine in (B, C):
        await rollout.forge(machine, by=machine, beat=5)
        entry = await rollout.store.get(SLOT)
        assert entry
        earlier.append(entry.data)
    for _ in range(7):
        rollout.now += 100
        for data in earlier:
            await rollout.store.put(SLOT, data + b"\n" * int(rollout.now / 100), expect=ANY)
            if await a.acquire():
                return
    raise AssertionError("the slot was never free")


async def test_machines_that_are_not_enrolled_hold_slots_unless_the_fleet_requires_it(rollout: Rollout) -> None:
    await rollout.prepare()
    await rollout.store.put(SLOT, b'{"holder": "%s", "beat": 1}' % C.encode(), expect=ANY)
    assert not await rollout.semaphore(A).acquire()
    await rollout.prepare(require=True)
    assert await rollout.semaphore(A).acquire()


async def test_a_fleet_without_identities_and_a_machine_without_the_right_to_read_them_work_as_before(
    rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rollout.forge(A, by=B)
    assert not await rollout.semaphore(B).acquire()
    await rollout.prepare()
    assert await rollout.semaphore(B).acquire()
    await rollout.forge(A, by=B)

    class Forbidding(DirectoryDatabase):
        async def get(self, key: str):  # type: ignore[no-untyped-def]
            if key.startswith(MACHINES):
                raise SourceError("permission denied", code=SourceFault.FORBIDDEN)
            return await super().get(key)

    rollout.store = Forbidding(rollout.store.root)
    assert not await rollout.semaphore(B).acquire()
