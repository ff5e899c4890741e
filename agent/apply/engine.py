"""From documents to a machine that runs them: compile, plan, and have the plan carried out (`apply_steps`).

    texts ──compile──▶ Generation ──plan──▶ Plan ──ApplySteps──▶ Outcome

The agent uses this engine, and so does ordainctl when no agent runs; the lock keeps them apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ordain.agent.apply.apply_steps import ApplySteps, PlannedApply
from ordain.agent.apply.change_origin import changed_documents, user_of_process
from ordain.agent.apply.connectivity_guard import ConnectivityGuard
from ordain.agent.apply.differences.placed_file_differences import is_mended
from ordain.agent.apply.machine_parts import MachineParts
from ordain.agent.apply.observe import as_it_is
from ordain.agent.apply.place_files import read_reports
from ordain.agent.apply.room import require_room
from ordain.agent.apply.secret_checks import SecretChecks
from ordain.agent.apply.trial import TrialRequest, begin_trial
from ordain.agent.compile.compile_cache import CompileCache
from ordain.agent.compile.executor import Executor
from ordain.agent.errors import AlreadyRejected
from ordain.agent.instruction import Instruction
from ordain.agent.model import (
    NO_CHANGES,
    ChangeCause,
    ChangeOrigin,
    ChangesByUnit,
    Generation,
    NoteReason,
    Observed,
    Outcome,
    PackageChange,
    Plan,
    RawDocument,
)
from ordain.agent.plan.changes.network_changes import without_repairs
from ordain.agent.state.decisions import DecisionState, RejectedGeneration
from ordain.agent.system.apply_lock import locked
from ordain.transforms.errors import Problem, Where, blocked, sorted_problems
from ordain.transforms.model import Wanted
from ordain.transforms.package_set import PackageSet

Units = frozenset[str]
NO_UNITS: Units = frozenset()
NOT_CONFIRMED = "was not confirmed before the machine went down"
BUSY_SEC = 10.0
"""An apply that somebody asked for waits this long until another one has ended."""
RESUME_SEC = 60.0
"""When the agent starts, it waits this long for the lock."""


def _without_network(observed: Observed) -> Observed:
    """Return ``observed`` without devices that somebody has changed: only an administrator has them repaired."""
    return replace(observed, displaced=without_repairs(observed.displaced))


def _package_problems(new: Generation, impossible: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem for each package of ``new`` that cannot be had, or cannot be removed."""
    items = {package.name: package.item for package in new.packages.wanted}
    for name, why in sorted(impossible.items()):
        item = items.get(name, "")
        placed: Mapping[str, Any] = next(
            (place for at, place in new.provenance.items() if f"{at}/".startswith(f"{item}/")), {}
        )
        where = Where(path=placed.get("path", ""), line=placed.get("line", 0), pointer=item)
        hint = "correct the documents, or do it with the package manager"
        yield blocked(item, where, f"{name}: {why}", hint, "PackageFailed")


def accept_any(old: Generation, new: Generation) -> None:
    """Accept every change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyRequest:
    """Documents to apply, who asked for it, and what is recorded about the source afterwards.

    ``caller``: the process that asked, 0 if nobody did. ``by_administrator``: a generation that was rolled back is
    tried again; without it, `AlreadyRejected` is raised. ``patience_sec``: how long to wait for another apply.
    ``confirm_sec``: if not 0, the apply is a trial, and is rolled back unless it is confirmed in that time.
    ``instead_of``: the documents are not those of the source, and stay while that has this revision ("": not known
    yet); with ``pause``, they stay when it changes, too. ``cause``, ``revision`` and ``why``, the reason that somebody
    gave, are for the history. ``check`` gets the generation in force and the new one, and raises a `Failure` to refuse
    the change.
    """

    texts: Sequence[RawDocument]
    caller: int = 0
    by_administrator: bool = True
    patience_sec: float = BUSY_SEC
    confirm_sec: int = 0
    instead_of: str | None = None
    pause: bool = False
    cause: ChangeCause = ChangeCause.UNKNOWN
    revision: str = ""
    why: str = ""
    check: Callable[[Generation, Generation], None] = accept_any


class Engine:
    """Applies documents to the machine below ``root``."""

    def __init__(
        self,
        machine: MachineParts,
        *,
        executor: Executor,
        guard: ConnectivityGuard,
        steps: ApplySteps,
    ) -> None:
        self._machine = machine
        self._compiler = CompileCache(machine.root, executor)
        self._guard = guard
        self._steps = steps
        self._packages = machine.observer.packages
        self.secrets = SecretChecks(machine.systemd, machine.root)

    async def plan(self, texts: Sequence[RawDocument], *, caller: int = 0) -> Plan:
        """Return the plan that `apply` would carry out now. Raises `Refused`."""
        new, problems = await self._compile(texts, caller)
        old = self._machine.store.applied()
        planned, _ = await self._machine.observer.plan(old, new, caller=caller)
        packages, impossible = await self._packages.preview(new.packages)
        problems = sorted_problems((*problems, *_package_problems(new, impossible)))
        return replace(planned, problems=problems, packages=packages)

    async def apply(self, request: ApplyRequest) -> Outcome:
        """Apply documents. Raises `Refused`, or a `Failure` if nothing was changed.

        If an administrator has asked for it, the packages are installed before, and removed afterwards; else the agent
        does both beside it (`daemon.minders.package_installation`), as nothing may wait for a repository.
        """
        if not request.by_administrator:
            return await self._apply(request)
        installed = await self._install_packages(request)
        outcome = await self._apply(request)
        return await self._remove_packages(outcome, request, installed)

    async def settle_packages(self, packages: PackageSet, *, asked: bool, removes: bool) -> tuple[PackageChange, ...]:
        """Settle packages (`MachinePackages.settle`), and stop services that they started against the documents."""
        members = self._machine.store.applied().members
        stopped = [member.unit for member in members if member.wanted is Wanted.STOPPED]
        before = await self._machine.systemd.list_units(stopped)
        changes = await self._packages.settle(packages, asked=asked, removes=removes)
        after = await self._machine.systemd.list_units(stopped) if changes else {}
        started = frozenset(unit for unit, state in after.items() if state.running and not before[unit].running)
        if started:
            await self.reconcile(released=started)
        return changes

    async def _install_packages(self, request: ApplyRequest) -> tuple[PackageChange, ...]:
        """Install the packages that the documents want, if the boot is complete, and return what was changed."""
        self._machine.trials.require_none()
        new, _ = await self._compile(request.texts, request.caller, keep=True)
        if not new.packages or not await self._machine.systemd.boot_complete():
            return ()
        return await self.settle_packages(new.packages, asked=True, removes=False)

    async def _remove_packages(
        self, outcome: Outcome, request: ApplyRequest, changes: tuple[PackageChange, ...]
    ) -> Outcome:
        """Remove packages that no document wants any more, and return the outcome with all ``changes`` of packages.

        They are removed last, once the services that used them have stopped.
        """
        applied = self._machine.store.applied()
        in_force = not outcome.rejected and not outcome.confirm_by
        if in_force and self._packages.concern(applied.packages) and await self._machine.systemd.boot_complete():
            removed = await self.settle_packages(applied.packages, asked=False, removes=True)
            changes += removed
            if removed:
                outcome = await self._steps.compared(outcome, applied, caller=request.caller)
        return replace(outcome, plan=replace(outcome.plan, packages=changes)) if changes else outcome

    async def _apply(self, request: ApplyRequest) -> Outcome:
        async with locked(self._machine.root, request.patience_sec, caller=request.caller):
            await self._steps.resume(caller=request.caller)
            self._machine.trials.require_none()
            if request.by_administrator:
                self.secrets.forget()
            new, problems = await self._compile(request.texts, request.caller)
            old = self._guard.rollback_target(self._machine.store.applied(), new)
            request.check(old, new)
            self._refuse_rejected(request, new)
            adjust = as_it_is if request.by_administrator else _without_network
            planned, observed = await self._machine.observer.plan(old, new, caller=request.caller, adjust=adjust)
            planned = replace(planned, problems=problems)
            require_room(self._machine.root, (file.path for file in planned.files))
            self._machine.decisions.reject(None)
            before = self._machine.decisions.now
            if not request.by_administrator:  # the source has changed, and with that the pin is over
                before = replace(before, pin=None)
            if self._is_in_force(planned, old, new):
                self._machine.decisions.restore(self._decided(request, old))
                outcome = Outcome(generation=old.number, hash=old.hash, plan=planned)
                return await self._steps.compared(outcome, old, caller=request.caller)
            if old.members and not old.number:  # made in this boot: from now on it can be rolled back to
                await asyncio.to_thread(self._machine.writer.save, old)
            new = await asyncio.to_thread(self._machine.writer.save, new)
            await self._decide(request, planned, observed, new)
            origin = ChangeOrigin(
                cause=request.cause,
                by=user_of_process(request.caller),
                why=request.why,
                revision=request.revision,
                documents=changed_documents(planned, self._machine.root),
            )
            return await self._steps.start(
                PlannedApply(
                    plan=planned, new=new, observed=observed, decided=before, caller=request.caller, origin=origin
                )
            )

    async def reconcile(
        self,
        *,
        released: Units = NO_UNITS,
        overdue: Units = NO_UNITS,
        rotated: ChangesByUnit = NO_CHANGES,
        caller: int = 0,
    ) -> Outcome | None:
        """Bring the machine back to the generation in force; return None if there is nothing to do.

        ``released`` units are started or stopped although somebody else did the opposite, ``overdue`` units are stopped
        as they lost their source, and units with ``rotated`` credentials restart. Placed files that others have changed
        are placed again if one has `drift: enforce`, or if a ``released`` unit uses it.
        """
        async with locked(self._machine.root, BUSY_SEC, caller=caller):
            await self._steps.resume(caller=caller)
            now = self._machine.store.applied()

            def adjust(observed: Observed) -> Observed:
                # The units that place files place all of them: if one is to be mended, all are, with their services.
                stuck = read_reports(
                    self._machine.root, "problems"
                )  # what could not be placed is left to an administrator
                mended = any(is_mended(path, now, released) for path in observed.displaced if path not in stuck)
                displaced = without_repairs(observed.displaced) if mended else {}
                waiting = {
                    unit: wanted
                    for unit, changes in observed.waits.items()
                    if (wanted := tuple(c for c in changes if unit in released or c.key in displaced))
                }
                return replace(
                    observed,
                    displaced=displaced,
                    left_over=observed.left_over if mended else NO_UNITS,
                    waits=waiting | rotated,
                    released=released,
                    overdue=overdue,
                )

            planned, observed = await self._machine.observer.plan(now, now, caller=caller, adjust=adjust)
            if not planned:
                return None
            cause = ChangeCause.FOLLOW if released else ChangeCause.UPKEEP
            origin = ChangeOrigin(cause=cause, by=user_of_process(caller))
            decided = self._machine.decisions.now
            return await self._steps.start(
                PlannedApply(plan=planned, new=now, observed=observed, decided=decided, caller=caller, origin=origin)
            )

    def facts_digest(self) -> bytes:
        """Return a hash of the observed facts that the documents use (`CompileCache.facts_digest`)."""
        return self._compiler.facts_digest()

    @property
    def observes_facts(self) -> bool:
        """True if the documents use facts that the agent must observe."""
        return self._compiler.observes_facts

    async def machine_digest(self) -> bytes:
        """Return a hash of everything on the machine that documents may depend on (`CompileCache.machine_digest`)."""
        return await asyncio.to_thread(self._compiler.machine_digest)

    async def resume(self) -> Outcome | None:
        """Finish the apply in which an earlier agent was killed; return None if there is none."""
        async with locked(self._machine.root, RESUME_SEC, caller=self._steps.unfinished_caller()):
            return await self._steps.resume()

    async def _compile(
        self, texts: Sequence[RawDocument], caller: int, *, keep: bool = False
    ) -> tuple[Generation, tuple[Problem, ...]]:
        """Return the generation of the texts, from `CompileCache`; in a thread, as a thousand services take seconds.

        ``keep``: the same texts are about to be compiled again. Items that need a secret which this machine cannot open
        are left out, or stay as they are.
        """
        last = self._machine.store.applied()
        self.secrets.refresh()
        compiled = partial(self._compiler.compile, texts, last, keep=keep)
        new, problems = await asyncio.to_thread(compiled, self.secrets.unopened)
        if await self.secrets.try_new(new):
            new, problems = await asyncio.to_thread(compiled, self.secrets.unopened)
        return await self._machine.observer.with_removed_units(new, last, caller=caller), problems

    def _refuse_rejected(self, request: ApplyRequest, new: Generation) -> None:
        bad = self._machine.decisions.rejected
        if bad and bad.hash == new.hash and not request.by_administrator:
            raise AlreadyRejected(f"generation {bad.number} is not tried again while the documents are the same")

    def _is_in_force(self, planned: Plan, old: Generation, new: Generation) -> bool:
        """Return whether there is nothing to do, the next boot starts with ``new`` as well, and the history has it.

        A generation without a number came with the boot or the image: it is neither in the history nor proven. On a
        clone of a machine, the generations of the history are not proven either until a boot could start with one.
        """
        proven = self._machine.store.proven_hash()
        # One that could not be written, or of which a unit had failed, is proven now that nothing is wrong any more.
        failed = any(note.why is NoteReason.FAILED for note in planned.notes)
        stays_proven = proven == new.hash or (bool(proven) and failed)
        in_history = self._machine.store.has_whole(new.hash)
        return not planned and old.hash == new.hash and bool(old.number) and stays_proven and in_history

    def _decided(self, request: ApplyRequest, new: Generation) -> DecisionState:
        """Return the decisions that apply once ``new`` is in force."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        asked = Instruction(since=now, by=user_of_process(request.caller), why=request.why)
        return self._machine.decisions.after_apply(new, request.instead_of, pause=request.pause, asked=asked)

    async def _decide(self, request: ApplyRequest, planned: Plan, observed: Observed, new: Generation) -> None:
        """Record whether the source is followed from now on; of a trial, when it is confirmed."""
        decided = self._decided(request, new)
        if not request.confirm_sec:
            # Before the first effect: an agent that is killed resumes the apply, and must not follow the source then.
            self._machine.decisions.restore(decided)
            return
        trial = TrialRequest(
            plan=planned, observed=observed, number=new.number, seconds=request.confirm_sec, decided=decided
        )
        await begin_trial(self._machine.systemd, self._machine.trials, trial)
        # A power cut ends the trial, too: the next boot starts with the proven generation, and must not go on to this.
        self._machine.decisions.reject(RejectedGeneration(number=new.number, hash=new.hash, why=NOT_CONFIRMED))
