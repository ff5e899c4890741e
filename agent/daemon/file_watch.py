"""Notices when somebody changes a placed file, with inotify: nothing is polled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from ordain.agent.system import inotify
from ordain.agent.system.bounded_reads import BoundedReads, mount_of, mount_points

log = logging.getLogger(__name__)
_EVENTS = (
    inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE
    | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.ATTRIB
)  # fmt: skip


class FileWatch:
    """Calls ``changed`` when a file among ``paths`` below ``root`` may have changed. The paths change with an apply."""

    def __init__(
        self,
        paths: Callable[[], frozenset[str]],
        root: Path,
        changed: Callable[[], None],
        reads: BoundedReads | None = None,
    ) -> None:
        self._reads = reads or BoundedReads()
        self._paths = paths
        self._root = root
        self._changed = changed
        self._watched: frozenset[str] = frozenset()
        self._outdated = asyncio.Event()

    def update(self) -> None:
        """Watch other files from now on if they are not the same as before."""
        if self._paths() != self._watched:
            self._outdated.set()

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            self._outdated.clear()
            self._watched = self._paths()
            notify = inotify.Inotify()
            try:
                await self._until_outdated(notify, await self._add_watches(notify))
            finally:
                notify.close()

    async def _until_outdated(self, notify: inotify.Inotify, names: dict[int, set[str]]) -> None:
        """Report events until other files are to be watched, or a watched directory has come or gone."""
        outdated = asyncio.ensure_future(self._outdated.wait())
        try:
            while not outdated.done():
                pending = asyncio.ensure_future(notify.pending.wait())
                await asyncio.wait([pending, outdated], return_when=asyncio.FIRST_COMPLETED)
                pending.cancel()
                events = [event for event in notify.events() if not event.name or event.name in names[event.watch]]
                if events:
                    self._changed()
                if any(self._moves_directory(event) for event in events):
                    return
        finally:
            outdated.cancel()

    @staticmethod
    def _moves_directory(event: inotify.Event) -> bool:
        moves = inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE
        return bool(event.mask & (inotify.DELETE_SELF | inotify.MOVE_SELF)) or bool(
            event.mask & inotify.ISDIR and event.mask & moves
        )

    async def _add_watches(self, notify: inotify.Inotify) -> dict[int, set[str]]:
        """Watch the directory of each file, or the nearest one above it that exists; return the names to look for."""
        names: dict[int, set[str]] = {}
        points = mount_points()
        for directory, below in _by_directory(self._watched).items():
            while True:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    try:
                        path = os.fspath(self._root / directory.lstrip("/"))
                        watch = await self._reads.run(mount_of(path, points), partial(notify.watch, path, _EVENTS))
                    except OSError as error:
                        if isinstance(error, FileNotFoundError | NotADirectoryError):
                            raise
                        log.info("changes in %s are noticed only when the status is asked for: %s", directory, error)
                    else:
                        names.setdefault(watch, set()).update(below)
                    break
                directory, _, name = directory.rpartition("/")
                below = {name}
                if not name:
                    break
        return names


def _by_directory(paths: Iterable[str]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for path in paths:
        directory, _, name = path.rpartition("/")
        names.setdefault(directory, set()).add(name)
    return names
