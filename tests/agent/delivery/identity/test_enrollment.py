"""Enrollment in each kind of store: the token is used once, and then only the machine can report for itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.database.database import ANY, Conflict, Database, StoredEntry
from ordain.agent.delivery.fleet.report import PATH, MachineReport, encode_report
from ordain.agent.delivery.fleet.report_publisher import ReportPublisher, status_key
from ordain.agent.delivery.fleet.reports import read_reports
from ordain.agent.delivery.identity import enrollment
from ordain.agent.delivery.identity.enrollment import request_key
from ordain.agent.delivery.identity.identities import Identities, read_identities, read_identity
from ordain.agent.delivery.identity.machine_key import PrivateKey, generate
from ordain.agent.delivery.identity.machine_record import EnrollmentRequest, FleetRecord, TokenRecord
from ordain.agent.delivery.release.signing import valid_signers
from ordain.transforms.machine.facts import read_facts

OpenStore = Callable[[], AbstractAsyncContextManager[Database]]
FLEET, A, B = "f" * 16, "a" * 32, "b" * 32
NOW = 1_000_000.0


async def ask(database: Database, machine: str, key: PrivateKey, token: PrivateKey | None) -> StoredEntry:
    """Write the request of a machine, and return the entry."""
    request = EnrollmentRequest(machine=machine, hostname=f"web-{machine[:1]}", key="")
    statement = enrollment.make_request(request, key, token)
    await database.put(request_key(machine), json.dumps(statement).encode(), expect=ANY)
    entry = await database.get(request_key(machine))
    assert entry
    return entry


async def approve(database: Database, entry: StoredEntry, known: Identities, now: float = NOW) -> str:
    """Enroll the machine if somebody vouches for it; return the doubt if nobody does."""
    request = enrollment.read_request(entry, FLEET, valid_signers)
    voucher = enrollment.vouch(entry, request, known, now, valid_signers)
    if voucher.reason:
        await database.write(enrollment.enroll(request, voucher, known, by="ops@desk", now=now))
    return voucher.doubt


async def new_token(database: Database, **more: object) -> PrivateKey:
    known = await read_identities(database)
    if known.fleet is None:
        await database.write([enrollment.store_fleet(FleetRecord(fleet=FLEET), known)])
    token = generate(FLEET)
    record = TokenRecord(key="", expires=int(NOW + 60), **more)  # type: ignore[arg-type]
    await database.write([enrollment.add_token(token, record)])
    return token


async def test_a_machine_is_enrolled_once_and_then_nobody_else_reports_for_it(
    open_store: OpenStore, connect_store: Callable[[], Database], tmp_path: Path
) -> None:
    key = generate(FLEET)
    async with open_store() as database:
        token = await new_token(database, labels={"role": ("web",)})
        entry = await ask(database, A, key, token)
        before = await read_identities(database)
        assert await approve(database, entry, before) == ""
        with pytest.raises(Conflict):
            await approve(database, await ask(database, B, generate(FLEET), token), before)
        known = await read_identities(database)
        doubt = await approve(database, await ask(database, B, generate(FLEET), token), known)
        assert doubt == f"token {token.id} was used before, by {A}"
        assert known.machines.keys() == {A}
        assert known.machines[A].labels == {"role": ("web",)}
        assert (await read_identity(database, A)).machines == known.machines
        assert await approve(database, entry, known) == "", "the same machine may go on after a crash"

        report = MachineReport(machine=A, hostname="web-a", facts=read_facts(Path("/")))
        (tmp_path / PATH).parent.mkdir(parents=True)
        (tmp_path / PATH).write_bytes(encode_report(report))
        assert await ReportPublisher(root=tmp_path, open=connect_store, key=key)._attempt(Backoff()) is None
        assert [one.machine for one in (await read_reports(database)).machines] == [A]
        await database.put(status_key(A), encode_report(report), expect=ANY)
        reports = await read_reports(database)
        assert reports.machines == ()
        assert reports.refused[status_key(A)].code == "ForgedStatement"
        assert reports.silenced == (A,)


@pytest.mark.parametrize("connect_store", ["directory"], indirect=True)
async def test_only_the_clock_of_the_administrator_ends_a_token(open_store: OpenStore) -> None:
    async with open_store() as database:
        token = await new_token(database, name="web-a")
        entry = await ask(database, A, generate(FLEET), token)
        known = await read_identities(database)

        assert await approve(database, entry, known, now=NOW + 61) == f"token {token.id} has expired"
        assert await approve(database, entry, known, now=NOW - 86_400) == "", "a clock that is behind"
        assert enrollment.spent_tokens(await read_identities(database), NOW) == ()
        assert len(enrollment.spent_tokens(await read_identities(database), NOW + 61)) == 1


@pytest.mark.parametrize("connect_store", ["directory"], indirect=True)
async def test_a_token_that_did_not_sign_vouches_for_nobody(open_store: OpenStore) -> None:
    async with open_store() as database:
        token = await new_token(database, name="web-a")
        key = generate(FLEET)
        request = EnrollmentRequest(machine=A, hostname="web-a", key="")
        claimed = {**enrollment.make_request(request, key), "token": token.id}
        del claimed["signatures"]
        statement = key.sign(request_key(A), claimed)
        await database.put(request_key(A), json.dumps(statement).encode(), expect=ANY)
        entry = await database.get(request_key(A))
        assert entry

        assert await approve(database, entry, await read_identities(database)) == f"token {token.id} did not sign it"


@pytest.mark.parametrize("connect_store", ["directory"], indirect=True)
async def test_a_token_for_new_machines_takes_over_none_that_is_enrolled(open_store: OpenStore) -> None:
    async with open_store() as database:
        first = await new_token(database, labels={"role": ("web",)})
        assert (
            await approve(database, await ask(database, A, generate(FLEET), first), await read_identities(database))
            == ""
        )

        again = await new_token(database, labels={"role": ("web",)})
        doubt = await approve(database, await ask(database, A, generate(FLEET), again), await read_identities(database))

        assert doubt == f"token {again.id} is not for a machine that is enrolled already, as web-a is"
