"""Documents that came with the boot (`files.handed_over`) beside the source; effect.

They are trusted as the kernel command line is: who hands them over chose the kernel. To a directory they are added,
since that is this machine's own as well; in place of a remote source they stand until that has answered once, and never
again on this machine: what it said last is worth more than what was true when the machine was made.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from ordain.agent.delivery.protocol import Snapshot, Source, SourceError
from ordain.agent.delivery.release.bundle import holds_release
from ordain.agent.delivery.source.local_files import read_boot_documents
from ordain.agent.model import RawDocuments
from ordain.agent.settings import Trust
from ordain.agent.system import atomic_files
from ordain.transforms.machine import rootfs

ANSWERED = "var/lib/ordain/answered"
"""The location of the first remote source that answered."""
PATIENCE_SEC = 10.0
"""How long what came with the boot waits for a source that has never answered."""


def with_boot_documents(source: Source, root: Path, trust: Trust = Trust.OPEN) -> Source:
    """``source``, and what came with the boot if something did.

    Under a ``trust`` that takes no unsigned documents of a remote source, to send such is no answer.
    """
    try:
        texts = read_boot_documents(root)
    except SourceError:
        texts = (("", b""),)  # something did, and reading it again says what is wrong with it
    if not texts:
        return source
    return (
        DirectoryWithBootDocuments(source, root)
        if source.type == "directory"
        else BootDocumentsFirst(source, root, trust)
    )


class DirectoryWithBootDocuments:
    """The documents of a directory and those that came with the boot, as one set."""

    def __init__(self, directory: Source, root: Path) -> None:
        self._directory, self._root = directory, root
        self.type = directory.type
        self.location = f"{directory.location}, and what came with the boot"

    async def read(self) -> Snapshot:
        """See `Source.read`."""
        own = await self._directory.read()
        return _snapshot((*own.texts, *read_boot_documents(self._root)))

    def changes(self) -> AsyncIterator[None]:
        """See `Source.changes`; what came with the boot changes with the next."""
        return self._directory.changes()


class BootDocumentsFirst:
    """What came with the boot, until a remote source has answered."""

    def __init__(self, remote: Source, root: Path, trust: Trust) -> None:
        self._remote, self._root = remote, root
        self._only_signed = trust is not Trust.OPEN
        self._server = remote.location if remote.type == "http" and trust is Trust.OPEN else ""
        self.type = remote.type
        self.location = remote.location
        self._first: RawDocuments | None = None

    async def read(self) -> Snapshot:
        """See `Source.read`."""
        if self._first is not None or rootfs.exists(self._root, ANSWERED):
            found = await self._remote.read()
            return replace(found, removals_intended=found.removals_intended or found.texts == self._first)
        try:
            found = await asyncio.wait_for(self._remote.read(), PATIENCE_SEC)
        except (SourceError, TimeoutError):
            found = Snapshot(texts=())
        if not found.texts or (self._only_signed and not holds_release(found.texts)):
            answers = "sends a signed release" if found.texts else "answers"
            self.location = f"what came with the boot, until {self._remote.location} {answers}"
            return _snapshot(read_boot_documents(self._root, self._server))
        self.location = self._remote.location
        self._first = found.texts
        with contextlib.suppress(OSError):  # a machine that keeps nothing is at its first boot every time
            atomic_files.make_folder((self._root / ANSWERED).parent)
            atomic_files.replace(self._root / ANSWERED, f"{self.location}\n".encode())
        return replace(found, removals_intended=True)

    async def changes(self) -> AsyncIterator[None]:
        """See `Source.changes`; the first comes at once."""
        yield
        async for _ in self._remote.changes():
            yield


def _snapshot(texts: RawDocuments) -> Snapshot:
    digest = hashlib.sha256(repr(sorted(texts)).encode())
    return Snapshot(texts=tuple(sorted(texts)), revision=digest.hexdigest()[:12], own=True)
