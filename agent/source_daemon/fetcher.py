"""ordain-source: fetch the documents of a remote source, and hand them to the agent; the one part with a network.

    source ─read▶ looked at ─▶ /run/ordain-source/handover     to the agent
                            ─▶ /var/lib/ordain-source/cache    for the next start without the source

Whatever happens to the source, the documents that were fetched last stay handed over; only their health changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from ordain.agent.delivery.database.backoff import Backoff
from ordain.agent.delivery.protocol import Snapshot, Source, SourceError, SourceFault, SourceHealth
from ordain.agent.delivery.source.handover_file import MAX_BYTES, Handover, decode, encode
from ordain.agent.delivery.source.handover_source import NAME
from ordain.agent.source_settings import SourceSettings
from ordain.agent.system import atomic_files

log = logging.getLogger(__name__)
RELIST_SEC = 600.0
"""How often all documents are read again although nothing was heard: a feed can stall, or lose an event, in silence."""
CACHE = "cache"


def boottime() -> float:
    """Seconds since the boot, also those asleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fetcher:
    """Follows ``source``; writes to ``folder``, which the agent reads, and ``state``, which outlives a boot."""

    def __init__(
        self,
        source: Callable[[], Source],
        settings: SourceSettings,
        *,
        folder: Path,
        state: Path,
        backoff: Backoff | None = None,
    ) -> None:
        self._open = source
        self._settings = settings
        self._folder = folder
        self._state = state
        self._backoff = backoff or Backoff()
        self._now = self._left(folder / NAME) or self._left(state / CACHE) or Snapshot(texts=())
        handed = _read(folder / NAME)
        ours = handed is not None and handed.settings == settings.digest
        self._health = handed.health if handed is not None and ours else None

    def _left(self, path: Path) -> Snapshot | None:
        """What an earlier run handed over of this source, with documents."""
        found = _read(path)
        fits = found is not None and found.location == self._settings.location and found.snapshot.texts
        return found.snapshot if found is not None and fits else None

    async def run(self) -> None:
        """Fetch for ever."""
        if self._health is None:
            starting = f"{self._settings.location}: not connected yet"
            self._tell(SourceHealth(connected=False, code=SourceFault.STARTING, what=starting, since=boottime()))
        source: Source | None = None
        try:
            while True:
                try:
                    source = source or self._open()
                    async with contextlib.aclosing(_changes(source)) as changes:
                        async for _ in changes:
                            self._take(await source.read())
                except SourceError as error:
                    failure = error
                except Exception as error:  # what a server can bring about must not end in a loop of restarts
                    log.exception("internal error")
                    failure = SourceError(f"internal error: {error!r}", code=SourceFault.INTERNAL)
                wait_sec = self._backoff.failed(failure.retry_after_sec)
                self._lose(failure, wait_sec)
                await asyncio.sleep(wait_sec)
        finally:
            if close := getattr(source, "close", None):
                await close()

    def _take(self, snapshot: Snapshot) -> None:
        """Hand over what was read, unless it is nothing. Raises `SourceError`."""
        if not snapshot.texts:
            what = f"{self._settings.location}: holds no documents"
            raise SourceError(what, code=SourceFault.EMPTY, hint="is the path, prefix or database right?")
        self._backoff.succeeded()
        news = snapshot.texts != self._now.texts
        if news:
            self._now = snapshot
            log.info("%s: other documents, revision %s", self._settings.location, snapshot.revision)
        last = self._health
        if last is None or not last.connected:
            log.info("%s: connected", self._settings.location)
            self._tell(SourceHealth(connected=True, since=boottime()))
        elif news:
            self._tell(last)
        if news:
            self._write(self._state / CACHE, None)

    def _lose(self, error: SourceError, wait_sec: float) -> None:
        if self._health is not None and self._health.code == error.code:
            return  # told already; each server of several would say it in other words
        log.warning("%s [%s]; trying again in %.1f s, then less and less often", error, error.code, wait_sec)
        self._tell(
            SourceHealth(
                connected=False, code=error.code, what=_plain(str(error)), hint=_plain(error.hint), since=boottime()
            )
        )

    def _tell(self, health: SourceHealth) -> None:
        self._health = health
        self._write(self._folder / NAME, health)

    def _write(self, path: Path, health: SourceHealth | None) -> None:
        settings = self._settings
        made = Handover(location=settings.location, settings=settings.digest, snapshot=self._now, health=health)
        try:
            atomic_files.replace(path, encode(made))
        except OSError as error:
            log.error("%s", atomic_files.describe_error(error, path))


async def _changes(source: Source) -> AsyncGenerator[None, None]:
    """The changes of ``source``, and one more every `RELIST_SEC` or so."""
    while True:
        async with contextlib.aclosing(source.changes()) as changes:  # type: ignore[type-var]
            until = asyncio.get_running_loop().time() + RELIST_SEC * random.uniform(0.8, 1.2)
            try:
                while True:
                    async with asyncio.timeout_at(until):
                        await anext(changes)
                    yield
            except TimeoutError:
                continue


def _read(path: Path) -> Handover | None:
    """A file of our own, if it is whole."""
    try:
        return decode(path.read_bytes()) if path.stat().st_size <= MAX_BYTES else None
    except (OSError, SourceError):
        return None


def _plain(text: str) -> str:
    """``text`` as `handover` wants it: a server may have had a hand in it."""
    return "".join(c if c.isprintable() else "?" for c in text)[:1000]
