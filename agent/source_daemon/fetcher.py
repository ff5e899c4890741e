"""Fetching the documents of a remote source and handing them to the agent; no other part of a machine uses the network.

    source ─read▶ Snapshot ─▶ /run/ordain-source/handover     for the agent
                           ─▶ /var/lib/ordain-source/cache    for the next start without the source

Whatever happens to the source, the documents that were fetched last stay handed over; only their health changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.protocol import Snapshot, Source, SourceError, SourceFault, SourceHealth
from ordain.agent.delivery.source.handover_file import MAX_BYTES, Handover, decode, encode
from ordain.agent.delivery.source.handover_source import NAME
from ordain.agent.model import RawDocuments
from ordain.agent.source_settings import SourceSettings
from ordain.agent.system import atomic_files

log = logging.getLogger(__name__)
RELIST_SEC = 600.0
"""The time after which all documents are read again without a change: a feed can stall, or lose an event, silently."""
SERVERS_SEC = 60.0
"""The interval in which servers that others stand in for are asked again. Their fault is reported after that."""
SHOWN_SERVERS = 3
CACHE = "cache"


def boottime() -> float:
    """Return the seconds since the boot, including suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fetcher:
    """The process that follows ``source``.

    It writes to ``folder``, which the agent reads, and to ``state``, which outlives a boot.
    """

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
        self._snapshot = self._previous(folder / NAME) or self._previous(state / CACHE) or Snapshot(texts=())
        handover = _read(folder / NAME)
        is_ours = handover is not None and handover.settings == settings.digest
        self._health = handover.health if handover is not None and is_ours else None

    def _previous(self, path: Path) -> Snapshot | None:
        """Return the documents of this source that an earlier process wrote to ``path``, if there are any."""
        handover = _read(path)
        if handover is None or handover.location != self._settings.location or not handover.snapshot.texts:
            return None
        return handover.snapshot

    @property
    def documents(self) -> RawDocuments:
        """Return the documents that the agent was given last."""
        return self._snapshot.texts

    async def run(self) -> None:
        """Fetch documents without end."""
        if self._health is None:
            starting = f"{self._settings.location}: not connected yet"
            starting_health = SourceHealth(connected=False, code=SourceFault.STARTING, what=starting, since=boottime())
            self._set_health(starting_health)
        source: Source | None = None
        minding: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    source = source or self._open()
                    minding = minding or asyncio.create_task(self._mind_servers(source))
                    async with contextlib.aclosing(_changes(source)) as changes:
                        async for _ in changes:
                            self._hand_over(await source.read(), getattr(source, "refusal", None))
                except SourceError as error:
                    failure = error
                except Exception as error:  # answers of a server must not be able to cause a loop of restarts
                    log.exception("internal error")
                    failure = SourceError(f"internal error: {error!r}", code=SourceFault.INTERNAL)
                wait_sec = self._backoff.failed(failure.retry_after_sec)
                self._report_failure(failure, wait_sec)
                await asyncio.sleep(wait_sec)
        finally:
            if minding is not None:
                minding.cancel()
            if close := getattr(source, "close", None):
                await close()

    def _hand_over(self, snapshot: Snapshot, refusal: SourceError | None) -> None:
        """Hand over the documents that were read. Raises `SourceError` if there are none, without a reason to wait.

        ``refusal`` is the fault of newer documents that the server does not serve.
        """
        if not snapshot.texts and not snapshot.waiting:
            message = f"{self._settings.location}: the source has no documents"
            raise SourceError(message, code=SourceFault.EMPTY, hint="check the path, prefix or database")
        self._backoff.succeeded()
        snapshot = replace(snapshot, waiting=_printable(snapshot.waiting))
        is_new = snapshot.texts != self._snapshot.texts
        waits_for_other = snapshot.waiting != self._snapshot.waiting
        self._snapshot = snapshot if is_new else replace(self._snapshot, waiting=snapshot.waiting)
        if waits_for_other and snapshot.waiting:
            log.info("%s: not newer documents yet: %s", self._settings.location, snapshot.waiting)
        if is_new:
            log.info("%s: new documents, revision %s", self._settings.location, snapshot.revision)
        last = self._health
        if last is None or not last.connected:
            log.info("%s: connected", self._settings.location)
            now = _with_refusal(SourceHealth(connected=True, since=boottime()), refusal)
        else:
            now = _with_refusal(last, refusal)
        if refusal is not None and now != last:
            log.warning("%s [%s]", refusal, refusal.code)
        if is_new or waits_for_other or now != last:
            self._set_health(now)
        if is_new and snapshot.texts:
            self._write(self._state / CACHE, None)

    def _report_failure(self, error: SourceError, wait_sec: float) -> None:
        if self._health is not None and self._health.code == error.code:
            return  # reported already; the messages of several servers would only alternate
        log.warning("%s [%s]; next attempt in %.1f s, then at longer intervals", error, error.code, wait_sec)
        message, hint = _printable(str(error)), _printable(error.hint)
        self._set_health(SourceHealth(connected=False, code=error.code, what=message, hint=hint, since=boottime()))

    async def _mind_servers(self, source: Source) -> None:
        """Report, without end, which servers of ``source`` fail while another one answers."""
        ask: Callable[[], Awaitable[Mapping[str, SourceError]]] | None = getattr(source, "ask_replaced_servers", None)
        while ask is not None:
            await asyncio.sleep(SERVERS_SEC)
            try:
                faults = await ask()
            except Exception:  # as above
                log.exception("internal error")
                continue
            if (last := self._health) is not None and last.connected:
                code, what, hint = _server_faults(faults)
                now = replace(last, code=code, what=what, hint=hint)
                if now != last:
                    self._set_health(now)

    def _set_health(self, health: SourceHealth) -> None:
        self._health = health
        self._write(self._folder / NAME, health)

    def _write(self, path: Path, health: SourceHealth | None) -> None:
        handover = Handover(
            location=self._settings.location,
            settings=self._settings.digest,
            snapshot=self._snapshot,
            health=health,
        )
        try:
            atomic_files.replace(path, encode(handover))
        except OSError as error:
            log.error("%s", atomic_files.describe_error(error, path))


def _with_refusal(health: SourceHealth, refusal: SourceError | None) -> SourceHealth:
    """Return the health of a connected source whose server refuses newer documents, or does so no longer."""
    if refusal is not None:
        return replace(health, code=refusal.code, what=_printable(str(refusal)), hint=_printable(refusal.hint))
    if health.code == SourceFault.SERVER_REFUSES:
        return replace(health, code="", what="", hint="")
    return health


def _server_faults(faults: Mapping[str, SourceError]) -> tuple[str, str, str]:
    """Return ``code``, ``what`` and ``hint`` of a connected `SourceHealth` with these faults of single servers."""
    if not faults:
        return "", "", ""
    texts = [f"{error} [{error.code}]" for _, error in sorted(faults.items())[:SHOWN_SERVERS]]
    more = f" and {len(faults) - SHOWN_SERVERS} more" if len(faults) > SHOWN_SERVERS else ""
    what = f"{'; '.join(texts)}{more}; another server answers"
    hint = "repair the server, or take it out of `source` in agent.yaml"
    return SourceFault.SERVER, _printable(what), hint


async def _changes(source: Source) -> AsyncGenerator[None, None]:
    """Yield at the changes of ``source``, and about every `RELIST_SEC`."""
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
    """Return the content of a handover file that we have written, or None if it is damaged or missing."""
    try:
        return decode(path.read_bytes()) if path.stat().st_size <= MAX_BYTES else None
    except (OSError, SourceError):
        return None


def _printable(text: str) -> str:
    """Return ``text`` in the form that `handover_file` accepts: it may contain the words of a server."""
    return "".join(c if c.isprintable() else "?" for c in text)[:1000]
