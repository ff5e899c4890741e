"""fleet token, approve, prepare, revoke, identity: an administrator decides which keys of machines the store knows."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.fleet.secrets import write_key_file
from ordain.agent.cli.labels import parse_labels
from ordain.agent.cli.moments import seconds_of
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.open_store import opened, opened_machine_users, require_reason, store_author, with_store
from ordain.agent.delivery.database.database import ANY, Conflict, Database, StoredEntry
from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.delivery.identity import enrollment, machine_key
from ordain.agent.delivery.identity.decryption_key import generate_decryption_key
from ordain.agent.delivery.identity.enrollment import Voucher, is_kept, request_key
from ordain.agent.delivery.identity.identities import SETTLE_FLEET, Identities, read_identities, settle_record
from ordain.agent.delivery.identity.machine_key import PrivateKey
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    RECOVERY,
    REQUESTS,
    TOKENS,
    EnrollmentRequest,
    FleetRecord,
    MachineRecord,
    TokenRecord,
    encode_key,
)
from ordain.agent.delivery.identity.statement import key_id
from ordain.agent.delivery.release.change_log import Author, ChangeAction, change_entry, new_change, record_change
from ordain.agent.delivery.release.signing import valid_signers
from ordain.agent.delivery.setup.machine_users import EtcdMachineUsers
from ordain.agent.errors import Failure
from ordain.agent.local_time import local_time
from ordain.agent.model import to_json
from ordain.transforms.errors import did_you_mean
from ordain.transforms.machine.facts import HOSTNAME, MACHINE_ID

VALID_FOR = "1h"
"""A token is typed or copied to a machine that is being installed."""
NOT_READABLE = "set its rights up for machines with an identity: ordainctl store init"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """A request that a machine has signed, the entry that it was read from, and who vouches for it."""

    entry: StoredEntry
    request: EnrollmentRequest
    voucher: Voucher


def token(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet token`."""
    if not (request.name or request.label):
        raise Usage("give --name or --label, so that the token is not for every machine")
    expires = int(time.time() + seconds_of("--for", request.valid_for or VALID_FOR))
    labels = parse_labels(request.label)

    async def work() -> PrivateKey:
        async with opened(request) as database, opened_machine_users(request) as users:
            author = await require_reason(database, store_author(request), console)
            known = await _with_fleet(database)
            key = machine_key.generate(fleet_record(known).fleet)
            record = TokenRecord(key="", expires=expires, name=request.name or "", labels=labels, by=author.by)
            subject = request.name or ", ".join(request.label)
            change = new_change(ChangeAction.ENROLL, [subject], author, what=f"token {key.id}")
            spent = enrollment.spent_tokens(known, time.time())
            await database.write((enrollment.add_token(key, record), *spent, change_entry(change)))
            if users:
                login = machine_key.with_login_of(key, key)
                await users.create(login.user, login.password)
                for id, old in known.tokens.items():
                    if not old.used and time.time() > old.expires:
                        await users.remove(machine_key.user_of_token(id), "")
            return key

    key = asyncio.run(work())
    console.line(machine_key.token_line(key))
    console.note(f"token {key.id} is valid until {local_time(datetime.fromtimestamp(expires, UTC))}", Style.DIM)
    return Exit.OK


def approve(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet approve`."""
    if request.machine and request.vouched:
        raise Usage("give either MACHINE or --vouched")
    if request.watch and not request.vouched:
        raise Usage("--watch needs --vouched: nobody can compare keys meanwhile")
    return asyncio.run(_approve(request, console))


async def _approve(request: Namespace, console: Console) -> Exit:
    async with opened(request) as database, opened_machine_users(request) as users:
        author = store_author(request)
        if request.machine:
            author = await require_reason(database, author, console)
        desk = _Desk(database=database, users=users, author=author, console=console)
        while True:
            known = await _with_fleet(database)
            listing = await database.list(REQUESTS)
            pending, refused = _read_requests(listing.entries, known)
            if request.machine:
                await _approve_one(_request_named(pending, request.machine), known, request, desk)
                return Exit.OK
            if not request.vouched:
                _print_requests(pending, refused, request, console)
                return Exit.OK
            left = 0
            for one in pending:
                left += not await _approve_if_vouched(one, desk)
            if not request.watch:
                if left:
                    console.note(f"{plural(left, 'request')} left: `ordainctl fleet approve` lists them", Style.WARN)
                return Exit.OK
            console.out.flush()
            async with aclosing(database.watch((REQUESTS,), listing.revision)) as changes:
                async for _ in changes:
                    break


async def _approve_if_vouched(one: PendingRequest, desk: _Desk) -> bool:
    """Approve a request if somebody vouches for it now: the one before may have used the same token.

    Return whether it was approved.
    """
    known = await read_identities(desk.database)
    voucher = enrollment.vouch(one.entry, one.request, known, time.time(), valid_signers)
    if voucher.reason:
        with suppress(Conflict):  # another administrator approves requests at the same time
            await desk.approve(one, voucher, known)
            return True
    return False


async def _approve_one(one: PendingRequest, known: Identities, request: Namespace, desk: _Desk) -> None:
    """Approve a request by the administrator's word. Raises `Failure` and `Usage`."""
    id = key_id(one.request.public)
    name = one.request.hostname
    if request.key and request.key != id:
        raise Failure(f"the key of the request of {name} is {id}, not {request.key}; nothing was approved")
    if not request.key:
        if not sys.stdin.isatty():
            raise Usage(
                f"nobody can be asked here: compare the key of {name} with that on the machine, and use --key ID"
            )
        question = f"Does `ordainctl fleet enroll` on {name} print the key {id}? [y/N] "
        answer = await asyncio.to_thread(input, question)
        if answer.strip().lower() not in ("y", "yes"):
            raise Failure("nothing was approved")
    before = known.machines.get(one.request.machine)
    voucher = one.voucher
    if not voucher.reason:
        labels = before.labels if before else {}
        voucher = replace(voucher, reason="an administrator compared the key", name=name, labels=labels)
    if request.label:
        voucher = replace(voucher, labels=parse_labels(request.label))
    await desk.approve(one, voucher, known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """The place where an administrator enrolls machines; ``users`` are those of the store, if it has any."""

    database: Database
    users: EtcdMachineUsers | None
    author: Author
    console: Console

    async def enroll(self, request: EnrollmentRequest, voucher: Voucher, known: Identities, *, user: str = "") -> None:
        """Write the record, give the machine's own ``user`` its rights, and take them from those that it replaces."""
        machine, now = request.machine, time.time()
        own_slots = known.fleet is not None and known.fleet.own_slots
        if user and not (self.users and await self.users.admit(user, machine, own_slots=own_slots)):
            user = ""
        before = known.machines.get(machine)
        holder = enrollment.holder_of_name(known, voucher.name or request.hostname, machine)
        writes = enrollment.enroll(request, voucher, known, by=self.author.by, now=now, store_user=user)
        await self.database.write(writes)
        await self.database.delete(request_key(machine), expect=ANY)
        await self.log(ChangeAction.ENROLL, voucher.name, voucher.reason)
        if before and not (user == before.store_user or (not user and is_kept(before, request, voucher))):
            await self.remove_user(replace(before, machine=""))
        if holder:
            await self.remove_user(holder)

    async def approve(self, one: PendingRequest, voucher: Voucher, known: Identities) -> None:
        """Enroll the machine that has asked; a token brings a user of the store, if root made it."""
        user = machine_key.user_of_token(voucher.token) if voucher.token else ""
        await self.enroll(one.request, voucher, known, user=user)
        self.console.line(f"{voucher.name} ({one.request.machine}): enrolled, {voucher.reason}", Style.GOOD)

    async def log(self, action: ChangeAction, name: str, what: str) -> None:
        """Write a line of the store's history."""
        await record_change(self.database, new_change(action, [name], self.author, what=what))

    async def remove_user(self, record: MachineRecord) -> None:
        """Remove the store's user of a machine, and the rights of that machine if it is named."""
        if self.users:
            await self.users.remove(record.store_user, record.machine)
        elif record.store_user:
            self.console.note(f"remove its user of the store: etcdctl user delete {record.store_user}", Style.WARN)


def prepare(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet prepare`."""
    machine = request.machine_id.lower().replace("-", "")
    if not MACHINE_ID.fullmatch(machine):
        raise Usage(f"{request.machine_id} is not a machine-id, which is 32 hexadecimal digits")
    if not request.name or not HOSTNAME.fullmatch(request.name):
        raise Usage("--name NAME must be a host name")
    labels = parse_labels(request.label)

    async def work() -> PrivateKey:
        async with opened(request) as database, opened_machine_users(request) as users:
            known = await _with_fleet(database)
            key = machine_key.generate(fleet_record(known).fleet)
            if users:
                key = machine_key.with_login_of(key, key)
                await users.create(key.user, key.password)
            secret = generate_decryption_key() if request.secret_key else None
            asked = EnrollmentRequest(
                machine=machine,
                hostname=request.name,
                key=encode_key(key.public),
                encryption=secret.public_text if secret else "",
            )
            voucher = Voucher(reason="an administrator made the key", name=request.name, labels=labels)
            author = await require_reason(database, store_author(request), console)
            desk = _Desk(database=database, users=users, author=author, console=console)
            if secret:  # before the record: a key that is registered and was lost would open nothing
                write_key_file(Path(request.secret_key), secret)
            await desk.enroll(asked, voucher, known, user=key.user)
            return key

    key = asyncio.run(work())
    console.line(machine_key.machine_key_line(key))
    console.note(f"{request.name} ({machine}) is enrolled with key {key.id}", Style.DIM)
    return Exit.OK


def revoke(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet revoke`."""

    async def work() -> MachineRecord:
        async with opened(request) as database, opened_machine_users(request) as users:
            known = await read_identities(database)
            record = _record_named(known, request.machine)
            author = await require_reason(database, store_author(request), console)
            reason = author.why or f"by {author.by}"
            await database.write([enrollment.revoke(record.machine, known, reason=reason, now=time.time())])
            desk = _Desk(database=database, users=users, author=author, console=console)
            await desk.log(ChangeAction.REVOKE, record.name, f"key {key_id(record.public)}")
            await desk.remove_user(record)
            return record

    record = asyncio.run(work())
    console.line(f"{record.name} ({record.machine}): its key {key_id(record.public)} no longer counts", Style.GOOD)
    return Exit.OK


def identity(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet identity`."""
    if request.require and request.no_require:
        raise Usage("give either --require or --no-require")

    async def work(database: Database) -> Identities:
        if not (request.require or request.no_require):
            return await read_identities(database)
        author = await require_reason(database, store_author(request), console)
        known = await _with_fleet(database)
        fleet = replace(fleet_record(known, settles=True), require=request.require)
        what = "required" if fleet.require else "not required"
        change = new_change(ChangeAction.POLICY, ["identity"], author, what=what)
        await database.write([enrollment.store_fleet(fleet, known), change_entry(change)])
        conflicts = {key: reason for key, reason in known.conflicts.items() if key != FLEET_KEY}
        return replace(known, fleet=fleet, conflicts=conflicts)

    known = with_store(request, work)
    if known.unreadable:
        raise Failure(f"{known.unreadable}; {NOT_READABLE}")
    if request.json:
        machines = [{**to_json(record), "key-id": key_id(record.public)} for record in known.machines.values()]
        console.json(
            {"fleet": to_json(known.fleet), "machines": machines, "damaged": {**known.damaged, **known.conflicts}}
        )
        return Exit.OK
    records = sorted(known.machines.values(), key=lambda record: (record.name, record.machine))
    if records:
        console.table(
            ("MACHINE", "MACHINE-ID", "KEY", "LABELS", "ENROLLED", "STATE"), [_record_row(record) for record in records]
        )
    for key, reason in sorted(known.damaged.items()):
        console.note(f"{key} cannot be read: {reason}", Style.WARN)
    for key, reason in sorted(known.conflicts.items()):
        remedy = _RESTORE if key in known.damaged else _settle(key)
        console.note(f"{key} {reason}; {remedy}", Style.WARN)
    if known.fleet is None and FLEET_KEY in known.damaged:
        console.line("no report and no slot of a machine counts: restore machines/_fleet from a backup", Style.BAD)
    elif known.fleet is None:
        console.line("no machine was enrolled yet: every report counts")
    else:
        others = "do not count" if known.fleet.require else "count as well, and can be forged"
        console.line(f"fleet {known.fleet.fleet}: reports of machines that are not enrolled {others}")
    return Exit.OK


_RESTORE = "restore it from a backup: ordainctl store restore DIRECTORY --replace"


def _settle(key: str) -> str:
    """Return the remedy for a record that two servers changed differently."""
    if key == FLEET_KEY:
        return f"{SETTLE_FLEET} settles it"
    if key.startswith(TOKENS):
        return "the token admits nobody; make another one with `ordainctl fleet token`"
    if key.startswith(RECOVERY):
        return f"`ordainctl secret recovery --revoke {key.removeprefix(RECOVERY)}` settles it"
    return f"{settle_record(key.removeprefix(MACHINES))} settles it"


def _record_row(record: MachineRecord) -> tuple[Cell, ...]:
    labels = ", ".join(f"{name}={value}" for name, values in record.labels.items() for value in values)
    since = local_time(datetime.fromtimestamp(record.enrolled, UTC))
    state: Cell = (f"revoked: {record.revoked}", Style.WARN) if record.revoked else f"by {record.by}: {record.reason}"
    return record.name, record.machine, key_id(record.public), labels, since, state


async def _with_fleet(database: Database) -> Identities:
    """Return the identities; the record of the fleet is written first if there is none."""
    known = await read_identities(database)
    if known.unreadable:
        raise Failure(f"{known.unreadable}; {NOT_READABLE}")
    if known.fleet is None and FLEET_KEY not in known.damaged:
        await database.write([enrollment.store_fleet(FleetRecord(fleet=secrets.token_hex(8)), known)])
        known = await read_identities(database)
    return known


def fleet_record(known: Identities, *, settles: bool = False) -> FleetRecord:
    """Return the record of the fleet. Raises `Failure`, also if it is in conflict and nothing ``settles`` that."""
    if known.unreadable:
        raise Failure(f"{known.unreadable}; {NOT_READABLE}")
    if known.fleet is None:
        if FLEET_KEY in known.damaged:
            raise Failure(f"{FLEET_KEY} cannot be read: {known.damaged[FLEET_KEY]}; {_RESTORE}")
        make = "an administrator has to make it: ordainctl fleet token --name NAME"
        raise Failure(f"the store has no record of the fleet: {make}")
    if FLEET_KEY in known.conflicts and not settles:
        raise Failure(f"{FLEET_KEY} {known.conflicts[FLEET_KEY]}; settle it with {SETTLE_FLEET}")
    return known.fleet


def _read_requests(
    entries: Iterable[StoredEntry], known: Identities
) -> tuple[tuple[PendingRequest, ...], dict[str, str]]:
    """Return the requests that their machines have signed, and by key the fault of all others."""
    pending: list[PendingRequest] = []
    refused: dict[str, str] = {}
    for entry in entries:
        try:
            request = enrollment.read_request(entry, fleet_record(known).fleet, valid_signers)
        except ValueError as error:
            refused[entry.key] = str(error)
            continue
        voucher = enrollment.vouch(entry, request, known, time.time(), valid_signers)
        pending.append(PendingRequest(entry=entry, request=request, voucher=voucher))
    return tuple(sorted(pending, key=lambda one: (one.request.hostname, one.request.machine))), refused


def _print_requests(
    pending: Sequence[PendingRequest], refused: dict[str, str], request: Namespace, console: Console
) -> None:
    if request.json:
        console.json(
            [
                {**to_json(one.request), "key-id": key_id(one.request.public), "voucher": to_json(one.voucher)}
                for one in pending
            ]
        )
        return
    rows: list[tuple[Cell, ...]] = [
        (
            one.request.hostname,
            one.request.machine,
            key_id(one.request.public),
            one.voucher.reason or (f"nobody: {one.voucher.doubt}", Style.WARN),
        )
        for one in pending
    ]
    if rows:
        console.table(("MACHINE", "MACHINE-ID", "KEY", "VOUCHED FOR BY"), rows)
    else:
        console.line("no machine asks for an identity")
    for key, reason in sorted(refused.items()):
        console.note(f"{key} does not count: {reason}", Style.WARN)


def _request_named(pending: Sequence[PendingRequest], name: str) -> PendingRequest:
    named = [one for one in pending if one.request.hostname == name]
    matching = named or [one for one in pending if one.request.machine.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        ids = ", ".join(one.request.machine for one in matching)
        raise Failure(f"{len(matching)} machines called {name} ask for an identity: {ids}; name one by its machine-id")
    hint = did_you_mean(name, [one.request.hostname for one in pending])
    raise Failure(f"no machine called {name} asks for an identity" + (f"; {hint}" if hint else ""))


def _record_named(known: Identities, name: str) -> MachineRecord:
    records = known.machines.values()
    live = [record for record in records if record.name == name and not record.revoked]
    matching = live or [r for r in records if r.name == name] or [r for r in records if r.machine.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise Failure(f"{name} matches {len(matching)} machines: {', '.join(record.machine for record in matching)}")
    hint = did_you_mean(name, [record.name for record in records])
    raise Failure(f"no machine called {name} is enrolled" + (f"; {hint}" if hint else ""))


def statement_bytes(statement: dict[str, object]) -> bytes:
    """Return a signed statement as the store has it."""
    return json.dumps(statement, sort_keys=True).encode()
