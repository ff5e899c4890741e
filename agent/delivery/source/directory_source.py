"""The default source: a directory of documents on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from ordain.agent.delivery.protocol import Snapshot, SourceError
from ordain.agent.delivery.source.local_files import read_folder
from ordain.agent.model import RawDocuments
from ordain.agent.system import inotify

QUIET_SEC = 0.1
"""A burst of changes is over when nothing happened for so long …"""
BURST_SEC = 1.0
"""… or when it has lasted for so long."""
ATTEMPTS = 10
"""Readings of a directory that someone writes to at the same time before giving up."""

_CHANGES = (
    inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.DELETE
    | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.ATTRIB
)  # fmt: skip
_ABOVE = inotify.CREATE | inotify.MOVED_TO | inotify.DELETE | inotify.MOVED_FROM | inotify.ATTRIB


class DirectorySource:
    """The documents ``*.yaml``, ``*.yml`` and ``*.json`` in one directory below ``root``, not below that.

    Hidden files are not documents, and an editor's temporary files have other suffixes.
    """

    type = "directory"

    def __init__(self, path: Path, root: Path = Path("/")) -> None:
        self.path = root / path.relative_to("/") if root != Path("/") else path
        self.location = str(path)
        self._own: int | None = None

    async def read(self) -> Snapshot:
        """Every document as of one moment: listed, read, and listed again until nothing moved meanwhile."""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(QUIET_SEC)
            if (texts := read_folder(self.path, self.location)) is not None:
                return Snapshot(texts=texts, revision=_revision(texts), own=True)
        raise SourceError(f"{self.path}: written to all the time, so that no reading of it is whole")

    async def changes(self) -> AsyncIterator[None]:
        """Yields once the directory is watched, and after every burst; also while it does not exist."""
        notify = inotify.Inotify()
        try:
            self._arm(notify)
            yield
            while True:
                await notify.pending.wait()
                relevant = self._relevant(notify)
                started = time.monotonic()
                while time.monotonic() - started < BURST_SEC:
                    try:
                        await asyncio.wait_for(notify.pending.wait(), QUIET_SEC)
                    except TimeoutError:
                        break
                    relevant |= self._relevant(notify)
                # Before the reading that follows, or what happens between the two is never seen.
                self._arm(notify)
                if relevant:
                    yield
        finally:
            notify.close()

    def _arm(self, notify: inotify.Inotify) -> None:
        """Watch the directory and, for when it comes and goes, the nearest one above it that exists.

        To add a watch again is no error and changes nothing.
        """
        self._own = self._watch(notify, self.path, _CHANGES)
        for parent in self.path.parents:
            if self._watch(notify, parent, _ABOVE) is not None:
                return

    def _watch(self, notify: inotify.Inotify, path: Path, mask: int) -> int | None:
        with contextlib.suppress(OSError):
            return notify.watch(str(path), mask)
        return None

    def _relevant(self, notify: inotify.Inotify) -> bool:
        """Whether to read again: anything in the directory (a link that moves has any name), or a step to it."""
        steps = {self.path.name, *(parent.name for parent in self.path.parents)}
        # A list: every event must be taken, or `pending` would be set no more.
        return any([not event.name or event.watch == self._own or event.name in steps for event in notify.events()])


def _revision(texts: RawDocuments) -> str:
    digest = hashlib.sha256()
    for path, data in texts:
        digest.update(f"{path}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:12]
