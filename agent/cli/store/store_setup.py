"""store init, check, policy: the setup of the store of a fleet."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.json_shapes import JsonDeviation, JsonFigure, JsonStoreCheck
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.open_store import (
    opened,
    opened_rights,
    opened_setup,
    require_reason,
    store_author,
    with_store,
)
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.identity.identities import read_identities
from ordain.agent.delivery.identity.own_slots import OwnSlots
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.change_log import (
    POLICY,
    ChangeAction,
    StorePolicy,
    new_change,
    policy_doubt,
    read_policy,
    record_change,
)
from ordain.agent.delivery.setup.deviation import Deviation, Examination, FleetUsers, StoreSetup, StoreUser
from ordain.agent.errors import Failure
from ordain.agent.model import to_json
from ordain.agent.system import atomic_files

if TYPE_CHECKING:
    from ordain.agent.delivery.setup.etcd_setup import EtcdRights

MACHINE_USER = "node"
OWN_SLOTS = "own"
PASSWORD_BYTES = 24


def check(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl store check`."""

    async def work() -> tuple[str, Examination]:
        async with _opened(request) as setup:
            return setup.location, await setup.examine()

    location, examination = asyncio.run(work())
    if request.json:
        console.json(_as_json(location, examination))
    else:
        rows: list[tuple[Cell, ...]] = [(figure.place, figure.name, figure.value) for figure in examination.figures]
        if rows:
            console.table(("PLACE", "FIGURE", "VALUE"), rows)
        _print_deviations(examination.deviations, console)
        if not examination.deviations:
            console.line(f"{location}: set up as a fleet needs it")
        elif any(deviation.repair for deviation in examination.deviations):
            console.note("`ordainctl store init` makes the changes that are named above, after a question", Style.DIM)
    return Exit.DEGRADED if examination.deviations else Exit.OK


def init(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl store init`."""

    async def work() -> Exit:
        async with _opened(request) as setup:
            return await _init(setup, request, console)

    return asyncio.run(work())


def policy(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl store policy`."""

    async def work(database: Database) -> StorePolicy:
        if doubt := await policy_doubt(database):
            console.note(doubt, Style.WARN)
        changes = {"why": request.policy, "tests": request.tests}
        changes = {rule: word for rule, word in changes.items() if word is not None}
        if not changes:
            return await read_policy(database)
        author = await require_reason(database, store_author(request), console)
        entry = await database.get(POLICY)
        new = replace(await read_policy(database), **changes)
        await database.put(POLICY, json.dumps(to_json(new)).encode(), expect=entry.version if entry else None)
        what = ", ".join(changes.values())
        await record_change(database, new_change(ChangeAction.POLICY, list(changes), author, what=what))
        return new

    now = with_store(request, work)
    if request.json:
        console.json(to_json(now))
    else:
        console.line("every change needs a reason" if now.requires_why else "changes need no reason")
        console.line("documents must pass tests" if now.requires_tests else "documents need no tests")
    return Exit.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class _FleetSetup:
    """The setup of a store for a fleet: of its users, and of the slots that they write, if it has ``rights`` by key."""

    store: StoreSetup
    accounts: FleetUsers
    database: Database
    rights: tuple[EtcdRights, str] | None

    @property
    def location(self) -> str:
        """Return the location of the store."""
        return self.store.location

    async def examine(self) -> Examination:
        """Return how the store differs from the one that a fleet needs; change nothing. Raises `SourceError`."""
        examination = await self.store.examine()
        if self.rights is None:
            return examination
        rights, prefix = self.rights
        try:
            known = await read_identities(self.database)
            slots = OwnSlots(database=self.database, rights=rights, prefix=prefix, accounts=self.accounts, known=known)
            deviations = await slots.deviations()
        except SourceError:
            if not examination.deviations:
                raise
            return examination  # it names the members that are away
        return replace(examination, deviations=(*examination.deviations, *deviations))


@asynccontextmanager
async def _opened(request: Namespace) -> AsyncIterator[_FleetSetup]:
    """Open the setup of the store. Raises as `opened` does."""
    accounts = _accounts(request)
    wanted = getattr(request, "slots", None)
    async with opened(request) as database, opened_rights(request) as rights:
        if wanted and not rights:
            raise Usage(
                "--slots needs etcd: no other store takes a slot only if no other machine has taken one meanwhile; "
                "there, machines share the slots, and sign them"
            )
        if rights:
            fleet = None
            if not wanted:
                with suppress(SourceError):  # `examine` meets it as well, and names the members that are away
                    fleet = (await read_identities(database)).fleet
            accounts = replace(accounts, own_slots=wanted == OWN_SLOTS or (fleet is not None and fleet.own_slots))
        async with opened_setup(request, accounts) as store:
            yield _FleetSetup(store=store, accounts=accounts, database=database, rights=rights)


async def _init(setup: _FleetSetup, request: Namespace, console: Console) -> Exit:
    deviations = (await setup.examine()).deviations
    changes = [deviation for deviation in deviations if deviation.repair]
    for deviation in changes:
        console.line(f"{deviation.place}: {deviation.change}")
    if changes and not request.preview:
        require_consent(request, setup.location, len(changes))
        for deviation in changes:
            assert deviation.repair is not None
            await deviation.repair()
        deviations = (await setup.examine()).deviations
        done = len(changes) - sum(1 for deviation in deviations if deviation.repair)
        console.line(f"{setup.location}: {done} of {plural(len(changes), 'change')} made")
    left = [deviation for deviation in deviations if not (deviation.repair and request.preview)]
    _print_deviations(left, console)
    if not deviations and not changes:
        console.line(f"{setup.location}: set up as a fleet needs it; nothing to do")
    return Exit.DEGRADED if left else Exit.OK


def require_consent(request: Namespace, location: str, count: int) -> None:
    """Ask before anything is changed. Raises `Usage` where nobody can be asked, `Failure` without consent."""
    if request.yes:
        return
    if not sys.stdin.isatty():
        raise Usage("nobody can be asked here: use --preview to look, or --yes to make the changes")
    answer = input(f"Make {plural(count, 'change')} in {location}? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise Failure("nothing was changed")


def _accounts(request: Namespace) -> FleetUsers:
    machine, writer, relay = request.machine_user or MACHINE_USER, request.writer_user, request.relay_user
    if machine == writer:
        raise Usage("--machine-user and --writer-user must differ: machines must not write documents")
    if relay and relay in (machine, writer):
        raise Usage("--relay-user must differ from the other users: a relay has rights of its own")
    return FleetUsers(
        machine=_account(machine, "--machine-password-file", getattr(request, "machine_password_file", None)),
        writer=_account(writer, "--writer-password-file", getattr(request, "writer_password_file", None))
        if writer
        else None,
        relay=_account(relay, "--relay-password-file", getattr(request, "relay_password_file", None))
        if relay
        else None,
    )


def _account(name: str, option: str, path: str | None) -> StoreUser:
    return StoreUser(name=name, password=partial(_password, name, option, path))


def _password(name: str, option: str, path: str | None) -> str:
    """Return the password in the file, which is created with a random one. Raises `Failure`."""
    if not path:
        raise Failure(f"the user {name} does not exist; {option} FILE is needed to create it")
    try:
        return Path(path).read_text().removesuffix("\n")
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read the password from {path}: {getattr(error, 'strerror', None) or error}") from None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    try:
        atomic_files.write(Path(path), f"{password}\n".encode())
    except OSError as error:
        raise Failure(f"cannot write a password to {path}: {error.strerror}") from None
    return password


def _print_deviations(deviations: Sequence[Deviation], console: Console) -> None:
    for deviation in deviations:
        remedy = deviation.change or deviation.hint
        console.line(f"{deviation.place} {deviation.what}" + (f" ({remedy})" if remedy else ""), Style.WARN)


def _as_json(location: str, examination: Examination) -> JsonStoreCheck:
    return JsonStoreCheck(
        store=location,
        deviations=[
            JsonDeviation(place=one.place, what=one.what, change=one.change, hint=one.hint)
            for one in examination.deviations
        ],
        figures=[JsonFigure(place=one.place, name=one.name, value=one.value) for one in examination.figures],
    )
