"""Observes the facts of devices, of the network and of the site, and has the documents compiled again if one changes.

    files below /sys and /proc ──settled──┐
    /etc/ordain/facts.d ──────────────────┴──▶ /var/lib/ordain/facts.json ──▶ the next compile, if its documents use it

A value of a device or of the network counts when it has been the same for `SETTLE_SEC`: a link that is down for a
moment, or a second disk that appears a second later, must not stop a service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.condition import StatusCondition
from ordain.agent.daemon.minders import fact_programs
from ordain.agent.daemon.minders.minder import Work
from ordain.agent.system import atomic_files
from ordain.transforms.document.formats.fact_table import SITE
from ordain.transforms.machine import observed_facts
from ordain.transforms.machine.fact_readers import OBSERVED, read_now
from ordain.transforms.machine.observed_facts import ObservedFacts, read_observed

log = logging.getLogger(__name__)
LOOK_SEC = 30.0
"""The time between two looks, on machines whose documents use such facts, or that have entries in facts.d."""
SETTLE_SEC = 20.0
SITE_SEC = 600.0
"""The time after which the entries of facts.d are read again although they have not changed."""
FAILED = "FactFailed"


class FactObserver:
    """A `Minder`. ``request`` is `Follower.request`."""

    def __init__(self, *, parts: ApplyParts, request: Callable[[Work], None]) -> None:
        self._systemd, self._root, self._executor = parts.systemd, parts.root, parts.executor
        self._engine = parts.engine
        self._request = request
        self._known = read_observed(parts.root)
        self._candidate: Mapping[str, tuple[str, ...]] = {}
        self._since = 0.0
        self._signature: tuple[object, ...] = ()
        self._site_due = 0.0
        self._task: asyncio.Task[None] | None = None
        self._digest: bytes | None = None
        self.conditions: tuple[StatusCondition, ...] = ()

    async def prime(self, now: float) -> None:
        """Observe everything once if nothing is known, before the first compile: unknown facts match nothing."""
        if self._known is None:
            self._keep(ObservedFacts(values=read_now(self._root, OBSERVED)))
            if signature := fact_programs.signature(self._root):
                self._signature = signature
                self._site_due = now + SITE_SEC
                await self._collect()

    async def tick(self, now: float) -> float | None:
        """Look at what may have changed, see `Minder.tick`."""
        signature = fact_programs.signature(self._root)
        has_site = bool(signature or (self._known and self._known.sources))
        is_due = signature != self._signature or (signature and now >= self._site_due)
        if is_due and (self._task is None or self._task.done()):
            self._signature, self._site_due = signature, now + SITE_SEC
            self._task = asyncio.create_task(self._collect())
        uses = self._engine.observes_facts
        if uses:
            self._settle(now)
        digest = self._engine.facts_digest()
        if self._digest not in (None, digest):
            self._request(Work.READ)
        self._digest = digest
        return now + LOOK_SEC if uses or has_site else None

    def _settle(self, now: float) -> None:
        """Take up values of devices and of the network that have been the same for `SETTLE_SEC`."""
        seen = read_now(self._root, OBSERVED)
        known = self._known or ObservedFacts()
        if seen != self._candidate:
            self._candidate, self._since = seen, now
        changed = any(known.values.get(name) != values for name, values in seen.items())
        if changed and (now - self._since >= SETTLE_SEC or not known.values):
            self._keep(replace(known, values={**known.values, **seen}))

    async def _collect(self) -> None:
        """Read facts.d; an entry that fails keeps the facts that it had."""
        results = await fact_programs.collect(self._systemd, self._executor, self._root)
        known = self._known or ObservedFacts()
        values = {name: kept for name, kept in known.values.items() if not name.startswith(SITE)}
        sources: dict[str, tuple[str, ...]] = {}
        for entry, result in results.items():
            facts = result.facts
            if result.fault:
                facts = {name: known.values[name] for name in known.sources.get(entry, ()) if name in known.values}
            values |= facts
            sources[entry] = tuple(sorted(facts))
        failed = frozenset(entry for entry, result in results.items() if result.fault and not sources[entry])
        self.conditions = tuple(_condition(*fault) for fault in fact_programs.faults(results))
        for condition in self.conditions:
            log.warning("%s", condition.what)
        new = ObservedFacts(values=values, sources=sources, failed=failed)
        if new != self._known:
            self._keep(new)
        self._request(Work.LOOK)

    def _keep(self, facts: ObservedFacts) -> None:
        self._known = facts
        path = self._root / observed_facts.PATH
        try:
            atomic_files.make_folder(path.parent, 0o700)
            atomic_files.replace(path, observed_facts.encode_observed(self._root, facts))
        except OSError as error:
            what = atomic_files.describe_error(error, path)
            log.warning("%s; the facts are known again when the agent has looked", what)


def _condition(entry: str, fault: str) -> StatusCondition:
    path = f"/{fact_programs.FOLDER}/{entry}"
    return StatusCondition(
        code=FAILED,
        item=f"facts.{entry}",
        what=f"{path}: {fault}",
        hint=f"correct it, and try it as another user; facts.{entry} keeps the value that it had",
        public=f"{path}: it failed",
    )
