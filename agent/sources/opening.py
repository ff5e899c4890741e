"""Settings → the source they name. What only one kind needs is imported when it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from ordain.agent.sources import Fault, Snapshot, Source, SourceError
from ordain.agent.sources.directory import Directory
from ordain.agent.sources.settings import Kind, SourceSettings
from ordain.transforms.facts import read_facts


class Nowhere:
    """The source of settings that are wrong: nothing is taken from it, so what was applied stays."""

    type = "none"
    location = ""

    async def read(self) -> Snapshot:
        """Raises `SourceError`."""
        raise SourceError("agent.yaml does not say where documents come from", code=Fault.SETTINGS)

    async def changes(self) -> AsyncIterator[None]:
        """One, so that what is wrong is told."""
        yield
        await asyncio.Event().wait()


def open_remote(settings: SourceSettings, root: Path) -> Source:
    """The remote source itself, for ordain-source.service. Raises `SourceError`."""
    if settings.type is Kind.HTTP:
        from ordain.agent.sources.http import Asker, Http

        return Http(settings, Asker.of(read_facts(root)))
    raise SourceError(f"a source of type {settings.type} is not served yet", code=Fault.SETTINGS)


def open_source(settings: SourceSettings, root: Path) -> Source:
    """The source as the agent and ordainctl have it: a remote one by way of ordain-source.service."""
    if settings.remote:
        from ordain.agent.sources.handed import Handed

        return Handed(root, settings)
    return Directory(Path(settings.path), root) if settings.type is Kind.DIRECTORY else Nowhere()
