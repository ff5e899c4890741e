"""The agent's loop: follow the source, mend what reloads broke, tell of what changed.

source, PID 1, callers ──wake──▶ one task: heal, converge, look ──▶ listeners
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.apply.parts import ApplyParts
from ordain.agent.daemon.boot_verdict import ThisBoot
from ordain.agent.daemon.client import Documents
from ordain.agent.daemon.credential_rotation import Rotation
from ordain.agent.daemon.drift_enforcement import Enforcement
from ordain.agent.daemon.in_process import Local, last_outcome
from ordain.agent.daemon.source_loss import SourceLoss
from ordain.agent.daemon.source_watch import Hearing
from ordain.agent.delivery.protocol import Source
from ordain.agent.errors import AlreadyRejected, Busy, Failure, RemovalLimitExceeded, Unavailable
from ordain.agent.model import Hold, Outcome, Plan
from ordain.agent.plan.outcome import ROLLED_BACK, summary
from ordain.agent.settings import Settings
from ordain.agent.status import AgentState, SourceState, Status, StatusCondition, UnitStatus
from ordain.agent.system.malloc_trim import trim_memory
from ordain.agent.system.rate_limit import RateLimit
from ordain.transforms.errors import NOWHERE, Problem, Refused, Severity

log = logging.getLogger(__name__)
REFUSED = "Refused"
LOOK_SEC = 0.5
"""A burst of unit changes is looked at once, this long after its first."""
RETRY_SEC = 5.0
RELOADS, RELOADS_SEC = 5, 10.0
"""Documents that go on changing are followed with so many reloads of the manager in that time, the latest first."""
LINGER_SEC = 30.0
"""How long what compiles is kept for the next change: one seldom comes alone."""


class Follower(Local):
    """The `Client` that the agent serves: `Local`, and it follows."""

    agent = True

    def __init__(
        self,
        *,
        parts: ApplyParts,
        source: Source,
        settings: Settings,
        problems: tuple[Problem, ...] = (),
        dismiss: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(parts=parts, source=source, settings=settings, problems=problems)
        self._dismiss = dismiss
        self._dismissal: asyncio.TimerHandle | None = None
        self.current = Status(agent=True, source=self.source_state)
        self._units: frozenset[str] = frozenset()
        self._applying = False
        self._started = False
        self._this_boot = ThisBoot(
            systemd=parts.systemd, root=parts.root, store=parts.store, decisions=parts.decisions, trials=parts.trials
        )
        self._taken = ""
        self._wanted: Outcome | None = None
        self._refused: tuple[Problem, ...] = ()
        self._troubles: dict[str, StatusCondition] = {}
        self._wake = asyncio.Event()
        self._loss = SourceLoss(systemd=parts.systemd, root=parts.root, store=parts.store, engine=parts.engine)
        self._rotation = Rotation(
            systemd=parts.systemd, root=parts.root, store=parts.store, engine=parts.engine, wake=self._wake.set
        )
        self._until: asyncio.TimerHandle | None = None
        self._read = True
        self._reloaded = False
        self._enforcement = Enforcement(systemd=parts.systemd, engine=parts.engine, wake=self._wake.set)
        self._reloads = RateLimit(RELOADS, RELOADS_SEC)
        self._worked = True
        self._looking = asyncio.Lock()
        self._listeners: list[Callable[[Status], None]] = []
        self._hearing = Hearing(self._on_source)

    async def run(self) -> None:
        """Follow for ever."""
        await self.parts.systemd.watch(reloaded=self._on_reloaded, changed=self._on_changed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hearing.run(lambda: self.source))
            tasks.create_task(self._rotation.run())
            tasks.create_task(self._loop())

    def adopt(self, settings: Settings, source: Source) -> None:
        """Go by other settings, and follow ``source``, from now on."""
        self.settings, self.source = settings, source
        self.source_state = SourceState(type=source.type, location=source.location)
        self._taken = ""
        self._again()
        self._hearing.switch()

    def tell(self, problems: tuple[Problem, ...]) -> None:
        """Show what is wrong with agent.yaml."""
        self._settings_problems = problems
        self._wake.set()

    def _on_source(self) -> None:
        self._read = True
        self._wake.set()

    def _on_reloaded(self) -> None:
        self._reloaded = True
        self._wake.set()

    def _on_changed(self, unit: str) -> None:
        if unit in self._units:
            self._wake.set()

    async def _loop(self) -> None:
        await self._attempt(self._resume)
        self._this_boot.learn()
        while True:
            self._wake.clear()
            if self._reloaded:
                self._reloaded = False
                await self._attempt(self._heal)
            if self._read:
                self._read = False
                await self._attempt(self._converge)
            self._started = True
            if not self._this_boot.ended:
                await self._attempt(self._boot_is_good)
            await self._attempt(self._mind_the_loss)
            await self._attempt(self._rotate)
            await self._attempt(self.look)
            await self._attempt(self._enforce)
            self.parts.store.rest()
            if self._worked:
                self._worked = False
                trim_memory()
                if self._dismissal:
                    self._dismissal.cancel()
                self._dismissal = asyncio.get_running_loop().call_later(LINGER_SEC, self._dismiss)
            await self._wake.wait()
            if not self._read and not self._reloaded:
                await asyncio.sleep(LOOK_SEC)

    async def _attempt(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """One step; what PID 1, a disk or another apply keeps from being done now is tried again later."""
        try:
            await step()
            self._troubles.pop(step.__name__, None)
        except (Busy, Unavailable, OSError) as failure:
            log.warning("%s; trying again", failure)
            self._troubles[step.__name__] = StatusCondition(code=type(failure).__name__, what=str(failure))
            asyncio.get_running_loop().call_later(RETRY_SEC, self._again)
        except Failure as failure:
            log.error("%s", failure)
            self._troubles[step.__name__] = StatusCondition(code=type(failure).__name__, what=str(failure))

    def _again(self) -> None:
        self._read = self._reloaded = True
        self._wake.set()

    async def _resume(self) -> None:
        before = last_outcome(self.parts.root)  # of an agent before this one
        self._wanted = summary(before, before.verdicts) if before else None
        outcome = await self.parts.engine.resume()
        if outcome is not None:
            log.info("brought the apply of generation %d to its end", outcome.generation)
            self._report(outcome)
        undone = await self.parts.rollback.recover()
        if undone is not None:
            self._report(undone)

    async def _enforce(self) -> None:
        if not self.paused and await self._enforcement.tick(self.current.units):
            await self.look()

    async def _mind_the_loss(self) -> None:
        if self._until:
            self._until.cancel()
        left_sec = await self._loss.tick(self.health)
        self._until = None if left_sec is None else asyncio.get_running_loop().call_later(left_sec, self._wake.set)

    async def _rotate(self) -> None:
        if self.paused or self.parts.trials.pending():
            return
        if outcome := await self._rotation.tick():
            self._report(outcome)
        if self._rotation.came(self._wanted.plan.problems if self._wanted else ()):
            self._taken = ""
            self._read = True
            self._wake.set()

    async def _heal(self) -> None:
        if await self.parts.repair.heal():
            log.warning("a reload lost units of generation %d; reloaded again", self.parts.store.applied().number)

    async def _converge(self) -> None:
        """Make the documents real, if they are others than last time."""
        if self.paused or self.parts.trials.pending():
            self.health = None  # what is not followed is not missed
            return
        try:
            texts = await self.texts()
        except Unavailable as failure:
            log.warning("%s", failure)
            return
        revision = self.source_state.revision
        if not texts or revision == self._taken or self._pinned(revision):
            return
        loop = asyncio.get_running_loop()
        if (left_sec := self._reloads.left(loop.time())) > 0:
            loop.call_later(left_sec, self._on_source)
            return
        self._taken = revision
        await self._apply(texts)

    def _pinned(self, revision: str) -> bool:
        """Whether a generation chosen by hand stays, as the documents are those it was chosen over."""
        pin = self.parts.decisions.pin
        if pin and not pin.revision:
            self.parts.decisions.hold(replace(pin, revision=revision))
        return pin is not None and pin.revision in ("", revision)

    async def _apply(self, texts: Documents) -> None:
        """Apply what the source holds; whatever comes of it, the agent goes on and what was applied stays."""
        try:
            with self._applies():
                request = ApplyRequest(texts=texts, by_administrator=False, patience_sec=60.0, check=self.believe)
                outcome = await self.parts.engine.apply(request)
            if outcome.plan.reload:
                self._reloads.done(asyncio.get_running_loop().time())
            self._report(outcome)
        except AlreadyRejected as rejected:
            self._refused = ()
            log.info("%s", rejected)
        except RemovalLimitExceeded as withheld:
            self._refused = (Problem(where=NOWHERE, what=str(withheld), hint=withheld.hint, code=withheld.code),)
            log.error("%s", withheld)
        except Refused as refused:
            self._refused = refused.problems
            for problem in refused.problems:
                log.error("%s", problem)
            log.error("the documents are refused; what was applied stays")
        except (Busy, Unavailable, OSError):
            self._taken = ""
            raise
        except Failure as failure:
            self._refused = (Problem(where=NOWHERE, what=str(failure), code="NotApplied"),)
            log.error("%s", failure)
        except Exception as error:  # a bug of ours: without the agent, nobody would hear of it
            self._refused = (Problem(where=NOWHERE, what=f"internal error: {error!r}", code="Internal"),)
            log.exception("internal error; what was applied stays")

    @contextlib.contextmanager
    def _applies(self) -> Iterator[None]:
        self._applying = True
        self._tell(replace(self.current, state=AgentState.APPLYING, source=self.source_state))
        try:
            yield
        finally:
            self._applying = False

    async def _boot_is_good(self) -> None:
        if not await self._this_boot.end():
            asyncio.get_running_loop().call_later(RETRY_SEC, self._wake.set)

    def _report(self, outcome: Outcome) -> None:
        # Where nothing was left to do, what an earlier apply left undone may be so still.
        earlier = self._wanted.verdicts if self._wanted and self._wanted.hash == outcome.hash else ()
        self._wanted = summary(outcome, outcome.verdicts if outcome.plan else earlier)
        self._refused = ()
        for verdict in outcome.verdicts:
            log.log(logging.INFO if verdict.ok else logging.ERROR, "%s: %s", verdict.unit, verdict.what)
        for problem in outcome.plan.problems:
            log.warning("%s", problem)
        if outcome.plan:
            self._worked = True
            ended = "converged" if outcome.exit_status == 0 else "degraded"
            if outcome.rejected:
                log.error("generation %d failed: %s", outcome.rejected, outcome.why)
                ended = "rolled back to" if outcome.exit_status == ROLLED_BACK else "rolled back to in part"
            log.info("generation %d: %s after %d ms", outcome.generation, ended, outcome.usec // 1000)

    async def look(self) -> None:
        """Observe, and tell the listeners of what changed; one at a time, or the older of two would be told last."""
        async with self._looking:
            self._tell(await self.status())

    def _tell(self, status: Status) -> None:
        if status != self.current:
            self.current = status
            self._units = frozenset(unit.unit for unit in status.units)
            for listener in self._listeners:
                listener(status)

    def listen(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Have ``listener`` called with every new status; call the result to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def status(self) -> Status:
        """See `Client.status`."""
        found = await super().status()
        if self._wanted is not None and not self._wanted.rejected:
            found = replace(found, wanted_generation=self._wanted.generation, wanted_hash=self._wanted.hash)
        return found

    def state_of(self, units: Sequence[UnitStatus], *, degraded: bool = False) -> AgentState:
        """See `Local.state_of`; also what the last apply held back, or left undone that is so still."""
        if self._applying:
            return AgentState.APPLYING
        if not self._started:
            return AgentState.STARTING
        well = {unit.unit for unit in units if unit.ok}
        undone = self._wanted is not None and any(verdict.unit not in well for verdict in self._wanted.verdicts)
        return super().state_of(units, degraded=degraded or undone or bool(self._blocked() or self._troubles))

    def _blocked(self) -> list[Problem]:
        """What the last documents say and this machine cannot have."""
        return [p for p in self._wanted.plan.problems if p.severity is Severity.BLOCKED] if self._wanted else []

    def conditions(self) -> tuple[StatusCondition, ...]:
        """See `Local.conditions`; also what the last documents hold back, or why they were refused."""
        blocked = map(StatusCondition.of, self._blocked())
        refused = (StatusCondition.of(p, "" if p.where is NOWHERE else REFUSED) for p in self._refused)
        return (*super().conditions(), *self._troubles.values(), *blocked, *refused)

    async def plan(self, documents: Documents | None = None, *, caller: int = 0) -> Plan:
        """See `Client.plan`."""
        try:
            return await super().plan(documents, caller=caller)
        finally:
            self._worked = True
            self._wake.set()

    async def apply(
        self, documents: Documents | None = None, *, once: bool = False, confirm_sec: int = 0, caller: int = 0
    ) -> Outcome:
        """See `Client.apply`."""
        with self._applies():
            outcome = await super().apply(documents, once=once, confirm_sec=confirm_sec, caller=caller)
        self._report(outcome)
        self._wake.set()
        return outcome

    async def hold(self, unit: str, *, unmask: bool = False) -> Hold:
        """See `Client.hold`."""
        found = await super().hold(unit, unmask=unmask)
        self._wake.set()
        return found

    async def unhold(self, unit: str, *, caller: int = 0) -> Outcome | None:
        """See `Client.unhold`. What came while it was held, or goes with it, is the source's to say."""
        outcome = await super().unhold(unit, caller=caller)
        await self.refresh()
        return outcome

    async def confirm(self, *, caller: int = 0) -> int:
        """See `Client.confirm`."""
        number = await super().confirm(caller=caller)
        self._read = True
        self._wake.set()
        return number

    async def rollback(self, number: int = 0, *, caller: int = 0) -> Outcome:
        """See `Client.rollback`."""
        with self._applies():
            outcome = await super().rollback(number, caller=caller)
        self._report(outcome)
        self._read = True
        self._wake.set()
        return outcome

    async def follow(self) -> None:
        """See `Client.follow`."""
        await super().follow()
        await self.refresh()

    async def refresh(self) -> None:
        """See `Client.refresh`."""
        self._taken = ""
        self._read = True
        self._wake.set()

    async def resume(self) -> None:
        """See `Client.resume`."""
        await super().resume()
        await self.refresh()

    async def watch(self) -> AsyncIterator[Status]:
        """See `Client.watch`."""
        queue: asyncio.Queue[Status] = asyncio.Queue()
        end = self.listen(queue.put_nowait)
        try:
            yield self.current
            while True:
                yield await queue.get()
        finally:
            end()
