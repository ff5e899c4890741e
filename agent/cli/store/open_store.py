"""The store of a command: the source of this machine, or the one that --store names, opened."""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import socket
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ordain.agent.apply.change_origin import user_of_process
from ordain.agent.cli.console import Console
from ordain.agent.cli.parse import Usage
from ordain.agent.delivery.database.database import Conflict, Database
from ordain.agent.delivery.fleet.report_publisher import STATUS
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.change_log import Author, read_policy, require_why
from ordain.agent.delivery.release.channel import STABLE
from ordain.agent.delivery.release.publish import head_key
from ordain.agent.delivery.setup.deviation import FleetUsers, StoreSetup
from ordain.agent.delivery.setup.store_setup import open_machine_users, open_rights, open_setup
from ordain.agent.delivery.source.source_factory import open_database
from ordain.agent.errors import Failure
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind, SourceSettings, source_from_url
from ordain.transforms.errors import NOWHERE, only_errors

if TYPE_CHECKING:
    from ordain.agent.delivery.setup.etcd_setup import EtcdRights
    from ordain.agent.delivery.setup.machine_users import EtcdMachineUsers

T = TypeVar("T")

_NO_STORE = (
    "the source of this machine is the boot server {server}, which is not a store; this command needs etcd, CouchDB or "
    "a directory, which --store URL (or $ORDAIN_STORE) names"
)
_BEHIND_A_BOOT_SERVER = {
    "documents": "this machine gets its documents from the boot server {server}, which hands out those of one machine "
    "and takes no changes: change the files that it serves, there; `ordainctl match` lists the layers of this machine. "
    "The documents of a store need --store URL (or $ORDAIN_STORE)",
    "fleet": "the source of this machine is the boot server {server}, to which no machine reports: ask each machine "
    "(`ordainctl status`), or let them follow a store. The machines of a store need --store URL (or $ORDAIN_STORE)",
    "release": "the source of this machine is the boot server {server}: a release is a file in the directory that it "
    "serves (`ordainctl release create --output`), and has no rollout. The releases of a store need --store URL (or "
    "$ORDAIN_STORE)",
}
"""Families of commands with the reason why they cannot work on the source of a machine behind a boot server."""
CREDSTORE = "etc/credstore"


@asynccontextmanager
async def opened(request: Namespace) -> AsyncIterator[Database]:
    """Open the store. Raises `Usage` if no store is named, `Failure` if it cannot be used."""
    settings = _settings(request)
    key = str(request.root / CREDSTORE / settings.key) if settings.key else ""
    try:
        database = open_database(settings, password=partial(_password, request, settings), key=key)
        try:
            yield database
        finally:
            await database.close()
    except SourceError as error:
        raise Failure(f"{error} [{error.code}]" + (f" ({error.hint})" if error.hint else "")) from None
    except Conflict as conflict:
        raise Failure(f"{conflict}; nothing was written") from None


@asynccontextmanager
async def opened_setup(request: Namespace, accounts: FleetUsers) -> AsyncIterator[StoreSetup]:
    """Open the setup of the store. Raises as `opened` does."""
    settings = _settings(request)
    key = str(request.root / CREDSTORE / settings.key) if settings.key else ""
    try:
        setup = open_setup(settings, accounts, password=partial(_password, request, settings), key=key)
        try:
            yield setup
        finally:
            await setup.close()
    except SourceError as error:
        raise Failure(f"{error} [{error.code}]" + (f" ({error.hint})" if error.hint else "")) from None


def store_author(request: Namespace) -> Author:
    """Return the person who runs this command, as ``alice@host``, and the reason on the command line."""
    return Author(by=f"{user_of_process(os.getpid())}@{socket.gethostname()}", why=request.why or "")


async def require_reason(database: Database, author: Author, console: Console) -> Author:
    """Return the author with a reason, which is asked for on a terminal if the policy of the store wants one.

    Raises `Failure` if there is none.
    """
    if not author.why and (await read_policy(database)).requires_why:
        author = Author(by=author.by, why=console.reply("Reason: "))
    return await require_why(database, author)


async def note_releases(database: Database, console: Console) -> None:
    """Say that a change of a document reaches machines with the next release, if the store has releases."""
    if await database.get(head_key(STABLE)):
        console.note(
            "this store has releases: machines follow those, and this change reaches them with the next release "
            "(`ordainctl release create`)"
        )


@asynccontextmanager
async def opened_machine_users(request: Namespace) -> AsyncIterator[EtcdMachineUsers | None]:
    """Open the users of machines in the store; None if it has none, or if this user may not change them."""
    settings = _settings(request)
    key = str(request.root / CREDSTORE / settings.key) if settings.key else ""
    users = open_machine_users(settings, password=partial(_password, request, settings), key=key)
    try:
        yield users if users and await users.may_change() else None
    finally:
        if users:
            await users.close()


@asynccontextmanager
async def opened_rights(request: Namespace) -> AsyncIterator[tuple[EtcdRights, str] | None]:
    """Open the users and roles of the store, with the prefix of its keys; None if it has no rights by key."""
    settings = _settings(request)
    key = str(request.root / CREDSTORE / settings.key) if settings.key else ""
    rights = open_rights(settings, password=partial(_password, request, settings), key=key)
    try:
        yield (rights, settings.prefix) if rights else None
    finally:
        if rights:
            await rights.close()


def run_coroutine(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of ``work``, as `asyncio.run` does, at no cost for a large one.

    At its end, `asyncio.run` asks `signal.getsignal` for its handler, which fails to be one of the numbers of
    `signal.Handlers`, and the text of that error has the repr of the task and of its result: 0.35 s for 20 MB.
    """
    results: list[T] = []

    async def keep() -> None:
        results.append(await work)

    asyncio.run(keep())
    return results[0]


def with_store(request: Namespace, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """Return the result of ``work`` on the opened store; raises as `opened` does."""

    async def run() -> T:
        async with opened(request) as database:
            return await work(database)

    return run_coroutine(run())


async def wait_for_reports(database: Database, revision: str, longest_sec: float) -> None:
    """Wait until the reports of machines change from ``revision``, but at most ``longest_sec``."""
    with suppress(TimeoutError):
        async with asyncio.timeout(longest_sec), aclosing(database.watch((STATUS,), revision)) as changes:
            async for _ in changes:
                await asyncio.sleep(1.0)  # machines that get one release report shortly after each other
                return


def _settings(request: Namespace) -> SourceSettings:
    source = read_settings(request.root)[0].source
    if request.store:
        # A name such as etcd:2379 is rather an address that lacks its scheme than a directory.
        store = str(Path(request.store).absolute()) if Path(request.store).is_dir() else request.store
        source, problems = source_from_url(store, source, NOWHERE)
        if wrong := only_errors(problems):
            raise Usage(f"--store: {wrong[0].what} ({wrong[0].hint})")
        if source.type is SourceKind.HTTP:
            raise Usage(
                f"--store {request.store}: this is the URL of a boot server, which is not a store; for a store, write "
                f"etcd+{request.store} or couchdb+{request.store}, or name a directory"
            )
    elif not source.remote:
        raise Usage("--store URL (or $ORDAIN_STORE) is missing, and the source of this machine is not a store")
    elif source.type is SourceKind.HTTP:
        family = request.command_name.partition(" ")[0]
        raise Usage(_BEHIND_A_BOOT_SERVER.get(family, _NO_STORE).format(server=source.location))
    if request.user:
        source = replace(source, user=request.user)
    if request.ca:
        source = replace(source, ca=str(Path(request.ca).absolute()))
    return source


def _password(request: Namespace, settings: SourceSettings) -> str:
    """Return the password from --password-file, else from this machine's credential, else from the terminal."""
    name = request.password_file or str(request.root / CREDSTORE / settings.credential)
    try:
        return Path(name).read_text().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        if request.password_file or not sys.stdin.isatty():
            reason = getattr(error, "strerror", None) or error
            raise Failure(f"cannot read the password from {name}: {reason}; use --password-file FILE") from None
        return _ask_password(settings.user)


@functools.cache
def _ask_password(user: str) -> str:
    """Ask on the terminal, once: a command may log in several times."""
    return getpass.getpass(f"Password for {user}: ")
