"""Reads the documents of the source that is in force, and keeps what is known about that source.

    Source ─read─▶ Snapshot ─admit (trust, releases)─▶ documents
                       └──▶ state, health, facts, labels, release: for the status and the report

Losing or emptying the source stops nothing (docs/design/contract.md, rule 2): both are reported as `Unavailable`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ordain.agent.compile.executor import ADMIT, Executor
from ordain.agent.delivery.protocol import ReleaseReference, Snapshot, Source, SourceError, SourceFault, SourceHealth
from ordain.agent.delivery.source.boot_documents import with_boot_documents
from ordain.agent.delivery.source.source_factory import open_source
from ordain.agent.errors import Busy, Unavailable
from ordain.agent.model import Generation, RawDocument
from ordain.agent.plan.removal_limit import check_removals
from ordain.agent.settings import Settings
from ordain.agent.state.applied_source import read_applied_source, write_applied_source
from ordain.agent.state.store import Store
from ordain.agent.status import SourceState
from ordain.transforms.catalog.local_transforms import local_transforms
from ordain.transforms.document.formats.fact_table import SITE
from ordain.transforms.errors import Problem, Severity, Where
from ordain.transforms.machine.fact_readers import REPORTED, read_details, read_now
from ordain.transforms.machine.facts import read_facts
from ordain.transforms.machine.observed_facts import read_observed
from ordain.transforms.model import Facts


def open_configured_source(settings: Settings, root: Path) -> Source:
    """Return the source that ``settings`` name, with the documents that came with the boot of ``root``."""
    return with_boot_documents(open_source(settings.source, root), root, settings.trust)


BLANK = frozenset({b"", b"---", b"...", b"null", b"~", b"{}", b"[]"})
"""The lines of a file that has no document in it, besides comments."""


def _holds_text(data: bytes) -> bool:
    """Return whether a file may hold a document: one that was cut to nothing does not."""
    return any(line.partition(b"#")[0].strip() not in BLANK for line in data.splitlines())


class SourceReader:
    """The source of one machine.

    ``state`` is for the status. ``health`` is None while nobody knows if the source can be reached. ``facts``,
    ``labels`` and ``release`` belong to the documents that were read last.
    """

    def __init__(self, *, source: Source, settings: Settings, root: Path, executor: Executor, store: Store) -> None:
        self.source = source
        self.settings = settings
        self.state = SourceState(type=source.type, location=source.location)
        self.health: SourceHealth | None = None
        self.facts: Facts | None = None
        self.details: Mapping[str, tuple[str, ...]] = {}
        self.labels: Mapping[str, tuple[str, ...]] = {}
        self.release = ReleaseReference()
        self._root = root
        self._executor = executor
        self._store = store
        self._admitted_digest = b""
        self._read_source = source
        self._may_remove_all = False

    def adopt(self, settings: Settings, source: Source) -> None:
        """Use other settings, and read ``source``, from now on."""
        self.settings, self.source = settings, source
        self.state = SourceState(type=source.type, location=source.location)

    async def read(self) -> Sequence[RawDocument]:
        """Return the documents that this machine accepts from the source.

        Raises `Unavailable` if it cannot be read, if the machine waits for its first release, and if it is empty, or
        holds empty files only, although a generation with members is in force.
        """
        source = self.source
        self.facts = self.facts or await asyncio.to_thread(read_facts, self._root)
        try:
            self.health = None
            snapshot = await source.read()
            # A directory is never lost; units that were stopped for the loss of another source start again.
            self.health = SourceHealth(connected=True) if source.type == "directory" else snapshot.health
            if snapshot.waiting and not snapshot.texts and source is self.source:
                self._set_state(connected=True, waiting=snapshot.waiting)
                raise Unavailable(f"{source.location}: no release for this machine yet: {snapshot.waiting}")
            # All three are set together with the state below: others wait until this release is applied.
            snapshot, self.release, self.labels = await asyncio.to_thread(self._admit, snapshot)
            if source is not self.source:  # agent.yaml has changed while the source was read
                return await self.read()
            if not any(_holds_text(data) for _, data in snapshot.texts) and self._store.applied().members:
                hint = "keep one document, even one without entries, to remove everything else"
                raise SourceError(f"{self.source.location} holds no documents", code=SourceFault.EMPTY, hint=hint)
        except SourceError as error:
            if source is not self.source:
                return await self.read()
            self._set_state(problem=f"{error}; what was applied stays", code=error.code, hint=error.hint)
            raise Unavailable(f"{self.state.problem}; {error.hint}" if error.hint else self.state.problem) from None
        self._may_remove_all = snapshot.own or snapshot.removals_intended
        self._read_source = source
        health, waiting = snapshot.health, snapshot.waiting
        if health is None or health.connected:
            partial = {"problem": health.what, "code": health.code, "hint": health.hint} if health else {}
            self._set_state(connected=True, revision=snapshot.revision, waiting=waiting, **partial)
        else:
            lost_sec = time.clock_gettime(time.CLOCK_BOOTTIME) - health.since
            self._set_state(
                revision=snapshot.revision,
                problem=f"{health.what}; what was fetched last stays",
                code=health.code,
                hint=health.hint,
                waiting=waiting,
                since=(datetime.now(UTC) - timedelta(seconds=lost_sec)).isoformat(timespec="seconds"),
            )
        return snapshot.texts

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return a warning if the documents that were read last may not be the latest ones."""
        state = self.state
        if state.connected or not state.problem:
            return ()
        problem = Problem(
            where=Where(path="source"), what=state.problem, hint=state.hint, code=state.code, severity=Severity.WARNING
        )
        return (problem,)

    @property
    def public_revision(self) -> str:
        """Return the release or the revision of a store, for the history; "" for a directory, which has none."""
        return self.state.release or ("" if self.state.type == "directory" else self.state.revision)

    async def read_revision(self) -> str:
        """Read the source, and return its revision; "" if it cannot be read, which stands for its next revision."""
        with contextlib.suppress(Unavailable):
            await self.read()
        return self.state.revision

    def check_removals(self, old: Generation, new: Generation) -> None:
        """Raise `RemovalLimitExceeded` if the source removes more than it may without an order (`removal_limit`).

        Raises `Busy` for documents that were read before agent.yaml changed: the labels may be the new ones already.
        """
        if self._read_source is not self.source:
            raise Busy("agent.yaml has changed meanwhile")
        if not self._may_remove_all and read_applied_source(self._root) == self.source.location:
            check_removals(old, new, self.settings.max_removal)
        write_applied_source(self._root, self.source.location)

    def _admit(self, snapshot: Snapshot) -> tuple[Snapshot, ReleaseReference, Mapping[str, tuple[str, ...]]]:
        """Return the documents that this machine accepts, see `admit_snapshot`.

        Unsigned documents that are the same as before are not examined again.
        """
        trust = self.settings.trust
        self.facts = read_facts(self._root)
        observed = read_observed(self._root)
        site = {n: v for n, v in observed.values.items() if n.startswith(SITE)} if observed else {}
        self.details = {**site, **read_now(self._root, REPORTED), **read_details(self._root, REPORTED)}
        inputs = repr((snapshot.texts, snapshot.own, trust, self.facts, local_transforms(self._root)))
        digest = hashlib.sha256(inputs.encode("utf-8", "surrogateescape")).digest()
        if digest == self._admitted_digest:
            return snapshot, self.release, self.labels
        admitted, release, labels = self._executor(ADMIT, self._root, trust, snapshot)
        self._admitted_digest = b"" if release.number else digest
        return admitted, release, labels

    def _set_state(self, **fields: Any) -> None:
        source = self.source
        self.state = SourceState(type=source.type, location=source.location, release=self.release.title, **fields)
