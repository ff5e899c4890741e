"""Documents that came with the boot (`local_files.read_boot_documents`), beside the source.

They are trusted like the kernel command line: whoever hands them over also chose the kernel. Beside a directory they
are added to its documents, because both belong to this machine. In place of a remote source they are used until it has
answered once, and never again on this machine: its last answer is worth more than documents from the time when the
machine was made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from ordain.agent.delivery.protocol import Snapshot, Source, SourceError, content_revision, ignore
from ordain.agent.delivery.release.bundle import holds_release
from ordain.agent.delivery.source.local_files import read_boot_documents
from ordain.agent.model import RawDocuments
from ordain.agent.settings import Trust
from ordain.agent.system import atomic_files
from ordain.transforms.machine import rootfs

ANSWERED = "var/lib/ordain/answered"
"""The file with the location of the first remote source that has answered."""
PATIENCE_SEC = 10.0
"""The time that the boot documents wait for a remote source that has never answered."""


def with_boot_documents(source: Source, root: Path, trust: Trust = Trust.OPEN) -> Source:
    """Return ``source`` together with the documents of the boot, if there are any.

    With a ``trust`` that requires signatures, unsigned documents do not count as an answer of a remote source.
    """
    try:
        texts = read_boot_documents(root)
    except SourceError:
        texts = (("", b""),)  # there are some; reading them again reports the error
    if not texts:
        return source
    if source.type == "directory":
        return DirectoryWithBootDocuments(source, root)
    return BootDocumentsFirst(source, root, trust)


class DirectoryWithBootDocuments:
    """The documents of a directory and those of the boot as one set."""

    def __init__(self, directory: Source, root: Path) -> None:
        self._directory, self._root = directory, root
        self.type = directory.type
        self.location = f"{directory.location}, and the documents of the boot"

    async def read(self) -> Snapshot:
        """See `Source.read`."""
        own = await self._directory.read()
        return _snapshot((*own.texts, *read_boot_documents(self._root)))

    def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        """See `Source.changes`; the documents of the boot do not change before the next boot."""
        return self._directory.changes(begun)


class BootDocumentsFirst:
    """The documents of the boot, until a remote source has answered; then the documents of that source."""

    def __init__(self, remote: Source, root: Path, trust: Trust) -> None:
        self._remote, self._root = remote, root
        self._only_signed = trust is not Trust.OPEN
        self._server = remote.location if remote.type == "http" and trust is Trust.OPEN else ""
        self.type = remote.type
        self.location = remote.location
        self._first_answer: RawDocuments | None = None

    async def read(self) -> Snapshot:
        """See `Source.read`."""
        if self._first_answer is not None or rootfs.exists(self._root, ANSWERED):
            snapshot = await self._remote.read()
            is_first = snapshot.texts == self._first_answer
            return replace(snapshot, removals_intended=snapshot.removals_intended or is_first)
        try:
            snapshot = await asyncio.wait_for(self._remote.read(), PATIENCE_SEC)
        except (SourceError, TimeoutError):
            snapshot = Snapshot(texts=())
        if not snapshot.texts or (self._only_signed and not holds_release(snapshot.texts)):
            answers = "sends a signed release" if snapshot.texts else "answers"
            self.location = f"the documents of the boot, until {self._remote.location} {answers}"
            return _snapshot(read_boot_documents(self._root, self._server))
        self.location = self._remote.location
        self._first_answer = snapshot.texts
        with contextlib.suppress(OSError):  # a machine that cannot write is at its first boot every time
            atomic_files.make_folder((self._root / ANSWERED).parent)
            atomic_files.replace(self._root / ANSWERED, f"{self.location}\n".encode())
        return replace(snapshot, removals_intended=True)

    async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        """See `Source.changes`; the first one comes at once."""
        yield
        async for _ in self._remote.changes(begun):
            yield


def _snapshot(texts: RawDocuments) -> Snapshot:
    texts = tuple(sorted(texts))
    return Snapshot(texts=texts, revision=content_revision(texts), own=True)
