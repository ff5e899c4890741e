"""Slots of a rollout that machines sign: nobody holds one in the name of another machine, and nobody holds two."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.delivery.database.semaphore import OWN, Semaphore
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

    async def prepare(self, *, require: bool = False, own_slots: bool = False, machines: str = A + B) -> None:
        record = FleetRecord(fleet=FLEET, require=require, own_slots=own_slots)
        await self.store.put(FLEET_KEY, encode_record(record), expect=ANY)
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
            may_be_own=True,
        )

    async def forge(self, holder: str, by: str, key: str = SLOT, beat: int = 99) -> None:
        """Write a slot that ``by`` signs, in the name of ``holder``."""
        slot = KEYS[by].sign(key, {"holder": holder, "beat": beat, "slot": "locks/stable/"})
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


async def test_a_machine_takes_its_own_slot_where_the_fleet_says_so(rollout: Rollout) -> None:
    await rollout.prepare(own_slots=True)
    a = rollout.semaphore(A)

    assert await a.acquire()
    assert not await rollout.semaphore(B).acquire()
    assert [entry.key for entry in (await rollout.store.list("locks/")).entries] == [f"{OWN}{A}"]
    assert await a.renew()
    assert await rollout.semaphore(A).resume()
    await a.release()
    assert await rollout.semaphore(A).acquire(), "a version that somebody else has written since is taken over"


async def test_own_slots_and_those_with_a_number_count_together(rollout: Rollout) -> None:
    await rollout.prepare()
    numbered = rollout.semaphore(B, 2)
    assert await numbered.acquire()
    await rollout.prepare(own_slots=True)
    assert not await rollout.semaphore(A, 1).acquire()
    own = rollout.semaphore(A, 2)
    assert await own.acquire()
    await numbered.release()
    await rollout.prepare()
    assert not await rollout.semaphore(B, 1).acquire(), "also after slots have numbers again"
    assert await rollout.semaphore(B, 2).acquire()


@pytest.mark.parametrize(
    "text",
    [
        b"x",
        b"[]",
        b"{}",
        b'{"holder": "%s", "beat": 1}' % A.encode(),
        b'{"holder": "%s", "beat": 1, "slot": "locks/other/"}' % A.encode(),
        b'{"holder": "%s", "beat": 1, "slot": "locks/stable/"}' % C.encode(),
    ],
)
async def test_a_text_at_the_place_of_a_machines_own_slot_that_is_not_one_takes_none(
    rollout: Rollout, text: bytes
) -> None:
    await rollout.prepare(own_slots=True)
    await rollout.store.put(f"{OWN}{A}", text, expect=ANY)
    assert await rollout.semaphore(B).acquire()
    assert not await rollout.semaphore(A).acquire()
    assert await rollout.semaphore(A, 2).acquire(), "the machine replaces what lies at its place"


async def test_a_machine_whose_own_slot_another_one_writes_still_takes_one(rollout: Rollout) -> None:
    await rollout.prepare(own_slots=True)
    await rollout.forge(A, by=B, key=f"{OWN}{A}", beat=99)
    assert await rollout.semaphore(B).acquire(), "a forged slot is not held"
    a = rollout.semaphore(A, 2)
    assert await a.acquire()
    entry = await rollout.store.get(f"{OWN}{A}")
    assert entry
    assert json.loads(entry.data)["beat"] > 99, "the beat of a place only grows"


async def test_the_own_slot_of_a_crashed_machine_expires_where_the_store_does_not_remove_it(rollout: Rollout) -> None:
    await rollout.prepare(own_slots=True)
    assert await rollout.semaphore(A).acquire()
    b = rollout.semaphore(B)
    assert not await b.acquire()
    rollout.now += 301
    assert await b.acquire()
    assert not await rollout.semaphore(A).renew()


async def test_a_machine_that_may_not_write_its_slot_learns_what_to_do(
    rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rollout.prepare(own_slots=True)

    async def refuse(self: DirectoryDatabase, key: str, data: bytes, **more: object) -> str:
        raise SourceError("permission denied", code=SourceFault.FORBIDDEN)

    monkeypatch.setattr(DirectoryDatabase, "put", refuse)
    with pytest.raises(SourceError) as caught:
        await rollout.semaphore(A).acquire()
    assert "ordainctl fleet enroll" in caught.value.hint
