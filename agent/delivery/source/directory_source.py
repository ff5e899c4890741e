"""The default source: a directory of documents on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault, content_revision, ignore
from ordain.agent.delivery.source.local_files import read_folder
from ordain.agent.system import inotify
from ordain.agent.system.bounded_reads import HINT, BoundedReads, NotAnswering

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

    Hidden files are not documents; the temporary files of editors are hidden or have other suffixes. The directory, or
    a document that is a link, may be on a mount that does not answer: that holds up nobody but the waiting reader.
    A burst of changes ends after ``quiet_sec`` without one.
    """

    type = "directory"

    def __init__(self, path: Path, root: Path = Path("/"), *, quiet_sec: float = QUIET_SEC) -> None:
        self.path = root / path.relative_to("/") if root != Path("/") else path
        self.location = str(path)
        self._root = root
        self._quiet_sec = quiet_sec
        self._below = str(path.absolute())
        self._own_watch: int | None = None
        self._reads = BoundedReads()
        self._is_silent = asyncio.Event()

    async def read(self) -> Snapshot:
        """Return all documents as of one moment: they are read again until nothing has changed meanwhile."""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(QUIET_SEC)
            try:
                texts = await self._reads.run(
                    self.location, partial(read_folder, self._root, self._below, self.location)
                )
            except NotAnswering as error:
                self._is_silent.set()
                raise SourceError(str(error), code=SourceFault.NOT_ANSWERING, hint=HINT) from None
            if texts is not None:
                return Snapshot(texts=texts, revision=content_revision(texts), own=True)
        message = f"{self.path}: the documents keep changing while they are read"
        raise SourceError(message, hint="wait until nobody writes there")

    async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        """Yield once the directory is watched, and after every burst of changes, also while it does not exist.

        If its mount does not answer, yield when it answers again.
        """
        notify = inotify.Inotify()
        try:
            await self._watch_in_time(notify)
            yield
            while True:
                if await self._has_answered_again(notify):
                    await self._watch_in_time(notify)
                    yield
                    continue
                if relevant := self._has_relevant_event(notify):
                    begun()
                started = time.monotonic()
                while time.monotonic() - started < BURST_SEC:
                    try:
                        async with asyncio.timeout(self._quiet_sec):  # wait_for of Python 3.11 can lose a cancellation
                            await notify.pending.wait()
                    except TimeoutError:
                        break
                    relevant |= self._has_relevant_event(notify)
                # Before the caller reads: a change between the reading and the watch would never be noticed.
                await self._watch_in_time(notify)
                if relevant:
                    yield
        finally:
            notify.close()

    async def _has_answered_again(self, notify: inotify.Inotify) -> bool:
        """Wait for events, which is False, or until a mount answers that did not answer when it was read."""
        waits = [asyncio.ensure_future(event.wait()) for event in (notify.pending, self._is_silent)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()
        if not self._is_silent.is_set():
            return False
        self._is_silent.clear()
        await self._reads.wait_for_end(self.location)
        return True

    async def _watch_in_time(self, notify: inotify.Inotify) -> None:
        """Add the watches; wait as long as the mount does not answer, which `read` reports."""
        while True:
            try:
                return await self._reads.run(self.location, partial(self._add_watches, notify))
            except NotAnswering:
                await self._reads.wait_for_end(self.location)

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
