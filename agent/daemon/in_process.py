"""What a `Client` can ask, done in this process: by ordainctl when no agent runs, and by the agent itself."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ordain.agent.apply.admin_overrides import administrator_files
from ordain.agent.apply.apply_steps import OUTCOME
from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.apply.observe import look
from ordain.agent.apply.parts import ApplyParts
from ordain.agent.apply.rollback import decision_conditions
from ordain.agent.compile.executor import ADMIT
from ordain.agent.daemon.client import Documents
from ordain.agent.daemon.takeover import read_record as read_takeover
from ordain.agent.delivery.protocol import ReleaseReference, Snapshot, Source, SourceError, SourceFault, SourceHealth
from ordain.agent.errors import Busy, Failure, Unavailable
from ordain.agent.json_codec import from_json
from ordain.agent.model import Generation, Hold, Outcome, Plan, RawDocument, to_json
from ordain.agent.plan.removal_limit import check_removals
from ordain.agent.plan.unit_status import reboots, unit_statuses
from ordain.agent.settings import Settings
from ordain.agent.state.applied_source import read_applied_source, write_applied_source
from ordain.agent.state.boot_record import placed_hash, read_boot_record
from ordain.agent.state.holds import UnreadableHolds
from ordain.agent.state.source_loss_record import read_source_loss
from ordain.agent.status import AgentState, SourceState, Status, StatusCondition, UnitStatus
from ordain.transforms.catalog.machine_catalog import local_transforms
from ordain.transforms.errors import Problem
from ordain.transforms.machine.facts import read_facts
from ordain.transforms.model import Facts, Wanted


class Local:
    """A `Client` over the parts that apply documents and a source.

    ``caller`` is the process that asks, where all that is asked comes from one.
    """

    agent = False

    def __init__(
        self,
        *,
        parts: ApplyParts,
        source: Source,
        settings: Settings,
        problems: tuple[Problem, ...] = (),
        caller: int = 0,
    ) -> None:
        self.parts = parts
        self._caller = caller
        self.source = source
        self.settings = settings
        self.source_state = SourceState(type=source.type, location=source.location)
        self.facts: Facts | None = None
        self.labels: Mapping[str, tuple[str, ...]] = {}
        self.taken = ReleaseReference()
        self._taken_before = b""
        self._believed = False
        self._read_from = source
        self._settings_problems = problems
        self.health: SourceHealth | None = None

    async def texts(self) -> Sequence[RawDocument]:
        """The documents of the source. Raises `Unavailable`; also for none where there were some.

        Losing or emptying the database stops nothing (docs/design/contract.md, rule 2).
        """
        source = self.source
        try:
            self.health = None
            found = await source.read()
            # What lies on this machine is never lost; what was stopped for the loss of another source starts again.
            self.health = SourceHealth(connected=True) if source.type == "directory" else found.health
            # Told of together with what becomes of it: others wait for their turn until this release is applied.
            snapshot, self.taken, self.labels = await asyncio.to_thread(self._take, found)
            if source is not self.source:  # agent.yaml has changed meanwhile
                return await self.texts()
            if not snapshot.texts and self.parts.store.applied().members:
                raise SourceError(f"{self.source.location} holds no documents", code=SourceFault.EMPTY)
        except SourceError as error:
            if source is not self.source:
                return await self.texts()
            self._source(problem=f"{error}; what was applied stays", code=error.code, hint=error.hint)
            raise Unavailable(self.source_state.problem) from None
        self._believed = snapshot.own or snapshot.removals_intended
        self._read_from = source
        health = snapshot.health
        if health is None or health.connected:
            self._source(connected=True, revision=snapshot.revision)
        else:
            problem = f"{health.what}; what was fetched last stays"
            since = datetime.now(UTC) - timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME) - health.since)
            self._source(
                revision=snapshot.revision,
                problem=problem,
                code=health.code,
                hint=health.hint,
                since=since.isoformat(timespec="seconds"),
            )
        return snapshot.texts

    def _take(self, snapshot: Snapshot) -> tuple[Snapshot, ReleaseReference, Mapping[str, tuple[str, ...]]]:
        """What this machine takes of it, see `admit_snapshot`; unsigned documents that are the same are not read
        again."""
        root, trust = self.parts.root, self.settings.trust
        self.facts = read_facts(root)
        seen = repr((snapshot.texts, snapshot.own, trust, self.facts, local_transforms(root)))
        if (digest := hashlib.sha256(seen.encode("utf-8", "surrogateescape")).digest()) == self._taken_before:
            return snapshot, self.taken, self.labels
        admitted, release, labels = self.parts.executor(ADMIT, root, trust, snapshot)
        self._taken_before = b"" if release.number else digest
        return admitted, release, labels

    def _source(self, **state: Any) -> None:
        self.source_state = SourceState(
            type=self.source.type, location=self.source.location, release=self.taken.title, **state
        )

    def believe(self, old: Generation, new: Generation) -> None:
        """What the source may do unasked; see `guard.believe`. Raises `RemovalLimitExceeded`.

        Raises `Busy` for what was read before agent.yaml changed: the labels may be the new ones already.
        """
        if self._read_from is not self.source:
            raise Busy("agent.yaml has changed meanwhile")
        if not self._believed and read_applied_source(self.parts.root) == self.source.location:
            check_removals(old, new, self.settings.max_removal)
        write_applied_source(self.parts.root, self.source.location)

    @property
    def paused(self) -> bool:
        """Whether the source is not followed."""
        return self.parts.decisions.paused

    async def plan(self, documents: Documents | None = None, *, caller: int = 0) -> Plan:
        """See `Client.plan`."""
        texts = await self.texts() if documents is None else documents
        return await self.parts.engine.plan(texts, caller=caller or self._caller)

    async def apply(
        self, documents: Documents | None = None, *, once: bool = False, confirm_sec: int = 0, caller: int = 0
    ) -> Outcome:
        """See `Client.apply`."""
        caller = caller or self._caller
        if documents is not None and not documents:
            raise Failure("no documents were given, and to apply nothing would stop everything")
        if documents is None:
            request = ApplyRequest(texts=await self.texts(), caller=caller, confirm_sec=confirm_sec)
        else:
            request = ApplyRequest(
                texts=documents,
                caller=caller,
                confirm_sec=confirm_sec,
                instead_of=await self._revision(),
                pause=not once,
            )
        return await self.parts.engine.apply(request)

    async def _revision(self) -> str:
        """The revision that the source is at, "" if that cannot be told: then the first that it will have."""
        with contextlib.suppress(Unavailable):
            await self.texts()
        return self.source_state.revision

    async def confirm(self, *, caller: int = 0) -> int:
        """See `Client.confirm`."""
        return await self.parts.rollback.confirm(caller=caller or self._caller)

    async def rollback(self, number: int = 0, *, caller: int = 0) -> Outcome:
        """See `Client.rollback`."""
        return await self.parts.rollback.to(number, await self._revision(), caller=caller or self._caller)

    async def status(self) -> Status:
        """See `Client.status`. Where an apply ends meanwhile, units and state would be of two generations."""
        for _ in range(3):
            before = placed_hash(self.parts.root)
            found = await self._status()
            if placed_hash(self.parts.root) == before:
                break
        return found

    async def _status(self) -> Status:
        generation = await asyncio.to_thread(self.parts.observer.with_kept_out, self.parts.store.applied())
        observed = await look(self.parts.systemd, [member.unit for member in generation.members])
        still = [
            state.name
            for state in observed.units.values()
            if state.name.endswith(".service") and state.active_state == "inactive" and state.invocation_id
        ]
        oneshots = [name for name in still if await self.parts.systemd.property(name, "Type") == "oneshot"]
        troubles: tuple[StatusCondition, ...] = ()
        try:
            observed = await self.parts.observer.with_obstacles(observed, generation, caller=self._caller)
        except UnreadableHolds as failure:
            troubles = (StatusCondition(code="BadHolds", what=str(failure)),)
        placed_by_admin = administrator_files(self.parts.root, (member.unit for member in generation.members))
        rejected = self.parts.decisions.rejected
        unread = {unit for unit, paths in placed_by_admin.items() if await self.parts.systemd.unread(unit, paths)}
        units = unit_statuses(generation, observed, oneshots, placed_by_admin, unread)
        return Status(
            state=self.state_of(units),
            agent=self.agent,
            generation=generation.number,
            hash=generation.hash,
            wanted_generation=rejected.number if rejected else generation.number,
            wanted_hash=rejected.hash if rejected else generation.hash,
            source=self.source_state,
            conditions=(*self.conditions(), *troubles, *reboots(units)),
            units=units,
            drift=tuple(unit.unit for unit in units if not unit.ok),
            taken_over_by=read_takeover(self.parts.root)[0],
        )

    def state_of(self, units: Sequence[UnitStatus], *, degraded: bool = False) -> AgentState:
        """The state, given the units and whether anything else is not as it should be."""
        if self.parts.trials.pending():
            return AgentState.TRIAL
        if self.paused:
            return AgentState.PAUSED
        if self.parts.decisions.rejected:
            return AgentState.ROLLED_BACK
        failed = any(unit.active_state == "failed" for unit in units)
        return AgentState.DEGRADED if failed or degraded else AgentState.CONVERGED

    def conditions(self) -> tuple[StatusCondition, ...]:
        """What the user should know."""
        found = list(map(StatusCondition.of, self._settings_problems))
        source = self.source_state
        if source.code:
            found.append(StatusCondition(code=source.code, what=source.problem, hint=source.hint))
        record = read_boot_record(self.parts.root)
        found += [StatusCondition(code="BootChoice", what=note) for note in record.get("note", ())]
        if stopped := read_source_loss(self.parts.root).stopped:
            what = f"{', '.join(stopped)}: stopped, as the source is lost (on-source-loss)"
            found.append(StatusCondition(code="SourceLost", what=what, hint="they start when it is back"))
        decided = decision_conditions(self.parts.trials, self.parts.decisions)
        return (*found, *self.parts.writer.conditions, *decided, *self.parts.repair.conditions)

    async def explain(self, about: str) -> Mapping[str, Any]:
        """See `Client.explain`: ``unit``, ``state``, ``status``, ``member``, ``artifacts``, ``provenance``, ``last``.

        ``last`` is what the last apply did about it: jobs, notes and verdicts.
        """
        generation = self.parts.store.applied()
        unit = _unit_about(generation, about)
        observed = await look(self.parts.systemd, [unit] if unit else [], closely=[unit])
        member = next((m for m in generation.members if m.unit == unit), None)
        item = member.item if member else "/".join(about.split("/")[:2])
        last = _last(self.parts.root)
        steps = last.get("plan", {})
        return {
            "about": about,
            "unit": unit,
            "item": item,
            "generation": generation.number,
            "member": to_json(member) if member else None,
            "state": to_json(observed.unit(unit)) if unit else None,
            "status": next((to_json(u) for u in (await self.status()).units if u.unit == unit), None)
            if member
            else None,
            "artifacts": [a.path for a in generation.artifacts if item and a.item == item],
            "provenance": {
                pointer: place
                for pointer, place in generation.provenance.items()
                if item and (pointer == item or pointer.startswith(f"{item}/") or item in place.get("items", ()))
            },
            "last": {
                key: [each for each in part.get(key, ()) if each["unit"] == unit]
                for part, key in ((steps, "stops"), (steps, "jobs"), (steps, "notes"), (last, "verdicts"))
            },
        }

    async def hold(self, unit: str, *, unmask: bool = False) -> Hold:
        """See `Client.hold`."""
        return await self.parts.holds.hold(unit, unmask=unmask)

    async def unhold(self, unit: str, *, caller: int = 0) -> Outcome | None:
        """See `Client.unhold`."""
        return await self.parts.holds.unhold(unit, caller=caller or self._caller)

    async def refresh(self) -> None:
        """See `Client.refresh`; without an agent nothing follows the source, so there is nothing to do."""

    async def pause(self) -> None:
        """See `Client.pause`."""
        self.parts.decisions.pause(True)

    async def resume(self) -> None:
        """See `Client.resume`."""
        self.parts.decisions.pause(False)

    async def follow(self) -> None:
        """See `Client.follow`."""
        self.parts.decisions.hold(None)
        await self.resume()

    async def watch(self) -> AsyncIterator[Status]:
        """See `Client.watch`; without an agent nobody tells of changes."""
        yield await self.status()


def _unit_about(generation: Generation, about: str) -> str:
    """The unit a name, a path or a pointer is about; "" if none."""
    if "/" not in about:
        return about if "." in about else f"{about}.service"
    if about.startswith("/"):
        name = about.rpartition("/")[2]
        return name if any(member.unit == name for member in generation.members) else ""
    item = "/".join(about.split("/")[:2])
    members = [member for member in generation.members if member.item == item]
    starters = [member.unit for member in members if member.starter and member.wanted is Wanted.RUNNING]
    return (starters or [member.unit for member in members] or [""])[0]


def last_outcome(root: Path) -> Outcome | None:
    """What the last apply of this boot came to, None if there was none."""
    try:
        return from_json(Outcome, _last(root))
    except (ValueError, TypeError, AttributeError):
        return None


def _last(root: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((root / OUTCOME).read_bytes())
        return found
    except (OSError, ValueError):
        return {}
