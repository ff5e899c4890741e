"""The agent's loop: follow the source, repair after reloads, look after the machine between applies.

    source changes ──┐
    PID 1 reloaded ──┤                       ┌─ 1. the requested Work: RESUME, REPAIR, READ
    unit changed ────┼─request─▶ one pass of ┤
    administrator ───┤    ▲      the loop    └─ 2. every Minder: boot verdict, source loss, credentials, status, drift
    agent.yaml ──────┘    │                                  │
                          └── the first Minder is due again ─┘

One task does all of this, one step at a time. A step that fails because PID 1, a disk or another apply is busy is tried
again. Whatever becomes of a step, the agent goes on, and what was applied stays.

Four tasks run beside the loop and only make requests: `SourceWatch`, `FileWatch`, the watch on credentials, and
`SettingsReload`, since a change of agent.yaml must not wait until an apply has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.apply.deviations.stale_overrides import look_for_stale
from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.condition import StatusCondition
from ordain.agent.daemon.boot_verdict import BootVerdict
from ordain.agent.daemon.clients.client import Documents
from ordain.agent.daemon.file_watch import FileWatch
from ordain.agent.daemon.minders.credential_rotation import CredentialRotation
from ordain.agent.daemon.minders.drift_enforcement import DriftEnforcement
from ordain.agent.daemon.minders.fact_observer import FactObserver
from ordain.agent.daemon.minders.idle_release import IdleRelease
from ordain.agent.daemon.minders.instruction_end import InstructionEnd
from ordain.agent.daemon.minders.late_installation import LateInstallation
from ordain.agent.daemon.minders.late_writes import LateWrites
from ordain.agent.daemon.minders.minder import REAPPLY, Minder, Work
from ordain.agent.daemon.minders.network_boot import NetworkBoot
from ordain.agent.daemon.minders.outcome_log import OutcomeLog
from ordain.agent.daemon.minders.package_installation import PackageInstallation
from ordain.agent.daemon.minders.source_loss import SourceLoss
from ordain.agent.daemon.source_watch import SourceWatch
from ordain.agent.daemon.status.source_reader import SourceReader
from ordain.agent.daemon.status.status_publisher import StatusPublisher
from ordain.agent.daemon.status.status_reader import AgentPhase, AgentView, StatusReader
from ordain.agent.delivery.protocol import Source, SourceFault, ignore
from ordain.agent.errors import AlreadyRejected, Busy, Failure, RemovalLimitExceeded, Unavailable
from ordain.agent.model import RUNNING, ChangeCause, Outcome
from ordain.agent.settings import Settings
from ordain.agent.state.last_outcome import read_last_outcome
from ordain.agent.state.override_record import read_override_record
from ordain.agent.status import AgentState, Status
from ordain.agent.system import atomic_files
from ordain.agent.system.dbus.rate_limit import RateLimit
from ordain.transforms.errors import NOWHERE, Problem, Refused
from ordain.transforms.machine.rootfs import UnsafeFile

log = logging.getLogger(__name__)
LOOK_SEC = 0.5
"""The wait for more after a unit has changed: a burst of changes is observed once."""
RETRY_SEC = 5.0
"""The wait before a step that failed is tried again."""
PATIENCE_SEC = 60.0
"""The longest wait for an apply that somebody else has begun."""
ROUNDS = 4
"""Documents that match on, or print, what they themselves set are compiled this often until nothing changes."""
UNSTABLE = StatusCondition(
    code="Unstable",
    what=f"the documents still change the machine that they depend on after {ROUNDS} rounds",
    hint="look for a `match` or a template that uses a value which the documents set, such as the host name",
    fault=True,
)
RELOADS, RELOADS_SEC = 5, 10.0
"""Documents that change all the time cause so many reloads of the manager in that time at most."""


class Follower:
    """Follows the documents on one machine.

    ``prepare`` starts the process that compiles, in a thread, while a burst of changes is not over yet; ``dismiss``
    ends it, see `IdleRelease`.
    """

    def __init__(
        self,
        *,
        parts: ApplyParts,
        source: SourceReader,
        settings_problems: tuple[Problem, ...] = (),
        prepare: Callable[[], None] = ignore,
        dismiss: Callable[[], None] = ignore,
    ) -> None:
        self.source = source
        self.status_reader = StatusReader(
            parts=parts, source=source, settings_problems=settings_problems, view=self._view
        )
        self.status = StatusPublisher(self.status_reader, Status(agent=True, source=source.state))
        self._parts = parts
        self._pending = Work.READ
        self._wake = asyncio.Event()
        self._started = False
        self._applies = 0
        self._applied_revision = ""
        self._applied_machine = b""
        self._rounds = 0
        self._deferred = False
        self._anew = False
        self._overridden = False
        self._failures: dict[object, StatusCondition] = {}
        self._reloads = RateLimit(RELOADS, RELOADS_SEC)
        self._prepare = prepare
        self._idle = IdleRelease(dismiss)
        self._log = OutcomeLog(self._idle.used)
        self._source_watch = SourceWatch(lambda: self.request(Work.READ), self._on_begun)
        files = parts.observer.read_back.files
        self._file_watch = FileWatch(files.paths, parts.root, lambda: self.request(Work.LOOK), files.reads)
        self._boot = BootVerdict(parts)
        self._loss = SourceLoss(parts=parts, source=source)
        self._credentials = CredentialRotation(parts=parts, log=self._log, request=self.request)
        self._drift = DriftEnforcement(parts=parts, status=self.status)
        self._facts = FactObserver(parts=parts, request=self.request)
        self._minders: tuple[Minder, ...] = (
            self._boot,
            NetworkBoot(parts.root, lambda: self._boot.is_good),
            self._loss,
            self._facts,
            self._credentials,
            self.status,
            self._drift,
            InstructionEnd(parts=parts, request=self.request),
            LateInstallation(parts=parts, status=self.status),
            LateWrites(parts=parts, status=self.status),
            PackageInstallation(parts=parts, status=self.status, request=self.request),
        )

    async def run(self) -> None:
        """Follow for ever."""
        # After a reload, other units may be installed, so the documents may mean something else.
        await self._parts.systemd.watch(
            reloads=self._on_reload,
            reloaded=lambda: self.request(Work.REPAIR | Work.READ),
            changed=self._on_changed,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._source_watch.run(lambda: self.source.source))
            tasks.create_task(self._file_watch.run())
            tasks.create_task(self._credentials.watch())
            tasks.create_task(self._loop())

    # Requests

    def request(self, work: Work) -> None:
        """Have ``work`` done as soon as possible."""
        self._pending |= work
        self._anew |= Work.ANEW in work
        self._wake.set()

    def adopt(self, settings: Settings, source: Source) -> None:
        """Use other settings, and follow ``source``, from now on."""
        self.source.adopt(settings, source)
        self.request(REAPPLY | Work.REPAIR)
        self._source_watch.switch()

    def show_settings_problems(self, problems: tuple[Problem, ...]) -> None:
        """Have the status show what is wrong with agent.yaml."""
        self.status_reader.settings_problems = problems
        self.request(Work.LOOK)

    def used(self) -> None:
        """Note that somebody has worked with documents: afterwards there is memory to be given back."""
        self._idle.used()
        self.request(Work.LOOK)

    @contextlib.contextmanager
    def applying(self) -> Iterator[None]:
        """Show that an apply is under way."""
        self._applies += 1
        self.status.publish(replace(self.status.current, state=AgentState.APPLYING, source=self.source.state))
        try:
            yield
        finally:
            self._applies -= 1

    def record(self, outcome: Outcome) -> None:
        """Log the outcome of an apply, and keep it for the status."""
        self._log.record(outcome)

    def _on_begun(self) -> None:
        """Have the compiling process loaded by the time the burst of changes has ended."""
        self._idle.used()
        asyncio.get_running_loop().run_in_executor(None, self._prepare)

    def _on_reload(self) -> None:
        """Tell the repair what ran before the reload; after it, units that the generator left out may be down."""
        units = self.status.current.units
        self._parts.repair.reloading([unit.unit for unit in units if unit.active_state in RUNNING - {"activating"}])

    def _on_changed(self, unit: str) -> None:
        if self.status.shows(unit):
            # PID 1 forgets the drop-ins of its process at the next reload.
            self._overridden |= unit in read_override_record(self._parts.root)
            self.request(Work.LOOK)

    # The loop

    async def _loop(self) -> None:
        self._log.restore(read_last_outcome(self._parts.root))
        await self._attempt(self._resume, Work.RESUME)
        await self._attempt(self._facts.prime, Work.LOOK)
        self._boot.reject_passed_over()
        self._boot.record_rejection()
        while True:
            self._wake.clear()
            work, self._pending = self._pending, Work.LOOK
            due = await self._do(work)
            self._parts.store.release_memory()
            self._idle.rest()
            self._file_watch.update()
            await self._sleep(due)

    async def _do(self, work: Work) -> float | None:
        """Do ``work``, then have each minder look. Return when the first minder is due again."""
        self._overridden = False
        await self._attempt(self._note_overrides, Work.LOOK)
        for flag, step, again in (
            (Work.RESUME, self._resume, Work.RESUME),
            (Work.REPAIR, self._repair, Work.REPAIR),
            (Work.READ, self._converge, Work.READ | Work.REPAIR),
        ):
            if flag in work:
                if flag is Work.READ and Work.ANEW in work:
                    self._applied_revision = ""
                await self._attempt(step, again)
                if flag is Work.READ:
                    self._anew = Work.ANEW in self._pending
        self._started = True
        due = [await self._attempt(minder.tick, Work.LOOK) for minder in self._minders]
        return min((time for time in due if time is not None), default=None)

    async def _sleep(self, due: float | None) -> None:
        """Wait until there is work, or until the time ``due``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._wake.wait()
        if not (self._pending or self._overridden):
            await asyncio.sleep(LOOK_SEC)

    async def _attempt(self, step: Callable[[float], Awaitable[float | None]], again: Work) -> float | None:
        """Take one step, and return when it is due again. If it cannot be done now, request ``again`` later."""
        loop = asyncio.get_running_loop()
        try:
            due = await step(loop.time())
        except (Busy, Unavailable, OSError) as failure:
            self._note(step, failure, logging.WARNING, "%s; trying again")
            loop.call_later(RETRY_SEC, self.request, again)
        except Failure as failure:
            self._note(step, failure, logging.ERROR, "%s")
        else:
            self._failures.pop(step, None)
            return due
        return None

    def _note(self, step: object, failure: Exception, level: int, text: str) -> None:
        """Keep the failure of a step for the status until the step succeeds, and log it if it is news."""
        kind = OSError if isinstance(failure, OSError) and not isinstance(failure, UnsafeFile) else type(failure)
        what, hint = str(failure), ""
        if kind is OSError and isinstance(failure, OSError) and failure.errno:
            reason = os.strerror(failure.errno)
            what = f"{failure.filename}: {reason}" if failure.filename else reason
            hint = f"{atomic_files.REMEDIES.get(failure.errno, 'correct the cause')}; the agent tries again"
        condition = StatusCondition(code=kind.__name__, what=what, hint=hint, fault=True)
        if self._failures.get(step) != condition:
            log.log(level, text, what)
        self._failures[step] = condition

    async def _resume(self, now: float) -> None:
        """Finish what an earlier agent left undone."""
        outcome = await self._parts.engine.resume()
        if outcome is not None:
            log.info("brought the apply of generation %d to its end", outcome.generation)
            self._log.record(outcome)
        undone = await self._parts.rollback.recover()
        if undone is not None:
            self._log.record(undone)

    async def _note_overrides(self, now: float) -> None:
        """Note the drop-ins of administrators that PID 1 has read, before anything that takes time."""
        await look_for_stale(self._parts.systemd, self._parts.root, self._parts.store.applied())

    async def _repair(self, now: float) -> None:
        """Repair what a reload of the manager lost."""
        if await self._parts.repair.heal():
            log.warning("a reload lost units of generation %d; reloaded again", self._parts.store.applied().number)

    async def _converge(self, now: float) -> None:
        """Apply the documents if they, or the machine that they depend on, are not those of the last apply."""
        self._deferred = False
        if self._parts.decisions.paused or self._parts.trials.pending():
            self.source.health = None  # a source that is not followed cannot be lost
            return
        # Before the source: nothing may wait between the new revision in the status and the apply of its documents, or
        # the status would call documents converged that are not applied.
        machine = await self._parts.engine.machine_digest()
        try:
            texts = await self.source.read()
        except Unavailable as failure:
            log.warning("%s", failure)
            if self.source.state.code == SourceFault.EMPTY:  # so are those that were refused before
                self._applied_revision, self._log.refused = "", ()
            return
        revision = self.source.state.revision
        if not texts:  # nothing is in force: the documents that were refused before are gone as well
            self._applied_revision, self._log.refused = "", ()
        if not texts or self._pinned(revision):
            return
        if (revision, machine) == (self._applied_revision, self._applied_machine):
            return
        if (left_sec := self._reloads.wait_sec(now)) > 0:
            self._deferred = True
            asyncio.get_running_loop().call_later(left_sec, self.request, Work.READ)
            return
        if revision != self._applied_revision or self._rounds >= ROUNDS:
            self._rounds = 0
        self._applied_revision, self._applied_machine = revision, machine
        await self._apply(texts)
        if self._applied_revision:
            await self._compile_again(machine)

    async def _compile_again(self, machine: bytes) -> None:
        """Request another compile if the apply has changed what the documents depend on, `ROUNDS` times at most."""
        after = await self._parts.engine.machine_digest()
        self._rounds = 0 if after == machine else self._rounds + 1
        if self._rounds >= ROUNDS:
            log.error("%s; %s", UNSTABLE.what, UNSTABLE.hint)
            self._applied_machine = after
        elif self._rounds:
            self.request(Work.READ)

    def _pinned(self, revision: str) -> bool:
        """Return whether a generation that an administrator chose stays, as the documents have not changed since."""
        pin = self._parts.decisions.pin
        if pin and not pin.revision:
            self._parts.decisions.set_pin(replace(pin, revision=revision))
        return pin is not None and pin.revision in ("", revision)

    async def _apply(self, texts: Documents) -> None:
        """Apply the documents of the source. Whatever comes of it, the agent goes on, and what was applied stays."""
        try:
            with self.applying():
                check = self.source.check_removals
                request = ApplyRequest(
                    texts=texts,
                    by_administrator=False,
                    patience_sec=PATIENCE_SEC,
                    check=check,
                    cause=ChangeCause.DOCUMENTS,
                    revision=self.source.public_revision,
                )
                outcome = await self._parts.engine.apply(request)
        except (Busy, Unavailable, OSError):
            self._applied_revision = ""
            raise
        except AlreadyRejected as rejected:
            self._log.refused = ()
            log.info("%s", rejected)
        except RemovalLimitExceeded as exceeded:
            self._refuse(str(exceeded), exceeded.code, exceeded.hint)
        except Refused as refused:
            self._log.refuse(refused.problems)
            log.error("the documents are refused; what was applied stays")
        except Failure as failure:
            self._refuse(str(failure), "NotApplied")
        except Exception as error:  # a defect of ours: if the agent ended, nobody would learn of it
            log.exception("internal error; what was applied stays")
            self._refuse(f"internal error: {error!r}", "Internal")
        else:
            if outcome.plan.reload:
                self._reloads.record(asyncio.get_running_loop().time())
            self.record(outcome)

    def _refuse(self, what: str, code: str, hint: str = "") -> None:
        self._log.refuse([Problem(where=NOWHERE, what=what, hint=hint, code=code)])

    def _view(self) -> AgentView:
        """Return what the agent adds to the status."""
        return AgentView(
            phase=AgentPhase.APPLYING
            if self._applies or self._deferred or self._anew
            else AgentPhase.FOLLOWING
            if self._started
            else AgentPhase.STARTING,
            wanted=self._log.last,
            conditions=(
                *self._failures.values(),
                *self._log.conditions,
                *self._facts.conditions,
                *((UNSTABLE,) if self._rounds >= ROUNDS else ()),
            ),
        )
