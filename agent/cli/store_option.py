"""The store a command is about: the source of this machine, or the one that --store names."""

from __future__ import annotations

import asyncio
import getpass
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ordain.agent.cli.parse import Usage
from ordain.agent.delivery.database.database import Conflict, Database
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.source_factory import open_database
from ordain.agent.errors import Failure
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceSettings, of_url
from ordain.transforms.errors import NOWHERE, errors

T = TypeVar("T")
CREDSTORE = "etc/credstore"


@asynccontextmanager
async def opened(request: Namespace) -> AsyncIterator[Database]:
    """The store. Raises `Usage` where the words name none, `Failure` where it cannot be used."""
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


def with_store(request: Namespace, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """What ``work`` makes of the store; see `opened`."""

    async def run() -> T:
        async with opened(request) as database:
            return await work(database)

    return asyncio.run(run())


def _settings(request: Namespace) -> SourceSettings:
    source = read_settings(request.root)[0].source
    if request.store:
        source, problems = of_url(request.store, source, NOWHERE)
        if wrong := errors(problems):
            raise Usage(f"--store: {wrong[0].what} ({wrong[0].hint})")
    elif not source.remote:
        raise Usage("--store URL is missing: the documents of this machine come from no store")
    if request.user:
        source = replace(source, user=request.user)
    return source


def _password(request: Namespace, settings: SourceSettings) -> str:
    """From the file that was named, or the credential of this machine, or a person."""
    name = request.password_file or str(request.root / CREDSTORE / settings.credential)
    try:
        return Path(name).read_text().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        if request.password_file or not sys.stdin.isatty():
            raise Failure(f"{name}: {getattr(error, 'strerror', None) or error} (--password-file FILE)") from None
        return getpass.getpass(f"Password of {settings.user}: ")
