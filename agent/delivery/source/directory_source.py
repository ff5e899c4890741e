"""The default source: a directory of documents on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from ordain.agent.delivery.protocol import Snapshot, SourceError, content_revision
from ordain.agent.delivery.source.local_files import read_folder
from ordain.agent.system import inotify

QUIET_SEC = 0.1
"""A burst of changes ends when nothing has happened for this time …"""
BURST_SEC = 1.0
"""… or when it has lasted for this time."""
ATTEMPTS = 10
"""Readings of a directory that changes meanwhile, until that is an error."""

_EVENTS = (
    inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.DELETE
    | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.ATTRIB
)  # fmt: skip
_EVENTS_ABOVE = inotify.CREATE | inotify.MOVED_TO | inotify.DELETE | inotify.MOVED_FROM | inotify.ATTRIB


class DirectorySource:
    """The documents ``*.yaml``, ``*.yml`` and ``*.json`` in one directory below ``root``, without its subdirectories.

    Hidden files are not documents; the temporary files of editors are hidden or have other suffixes.
    """

    type = "directory"

    def __init__(self, path: Path, root: Path = Path("/")) -> None:
        self.path = root / path.relative_to("/") if root != Path("/") else path
        self.location = str(path)
        self._own_watch: int | None = None

    async def read(self) -> Snapshot:
        """Return all documents as of one moment: they are read again until nothing has changed meanwhile."""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(QUIET_SEC)
            if (texts := read_folder(self.path, self.location)) is not None:
                return Snapshot(texts=texts, revision=content_revision(texts), own=True)
        message = f"{self.path}: the documents change all the time, so that they cannot be read as of one moment"
        raise SourceError(message, hint="wait until nobody writes there")

    async def changes(self) -> AsyncIterator[None]:
        """Yield once the directory is watched, and after every burst of changes, also while it does not exist."""
        notify = inotify.Inotify()
        try:
            self._add_watches(notify)
            yield
            while True:
                await notify.pending.wait()
                relevant = self._has_relevant_event(notify)
                started = time.monotonic()
                while time.monotonic() - started < BURST_SEC:
                    try:
                        await asyncio.wait_for(notify.pending.wait(), QUIET_SEC)
                    except TimeoutError:
                        break
                    relevant |= self._has_relevant_event(notify)
                # Before the caller reads: a change between the reading and the watch would never be noticed.
                self._add_watches(notify)
                if relevant:
                    yield
        finally:
            notify.close()

    def _add_watches(self, notify: inotify.Inotify) -> None:
        """Watch the directory, and the nearest existing directory above it, which tells that it appears or vanishes.

        Adding a watch again changes nothing.
        """
        self._own_watch = self._watch(notify, self.path, _EVENTS)
        for parent in self.path.parents:
            if self._watch(notify, parent, _EVENTS_ABOVE) is not None:
                return

    def _watch(self, notify: inotify.Inotify, path: Path, mask: int) -> int | None:
        with contextlib.suppress(OSError):
            return notify.watch(str(path), mask)
        return None

    def _has_relevant_event(self, notify: inotify.Inotify) -> bool:
        """Take all events; return whether one is in the directory (a link may have any name), or on the way to it."""
        steps = {self.path.name, *(parent.name for parent in self.path.parents)}
        # A list, since every event must be taken: otherwise `pending` would not be set again.
        return any(
            [not event.name or event.watch == self._own_watch or event.name in steps for event in notify.events()]
        )
