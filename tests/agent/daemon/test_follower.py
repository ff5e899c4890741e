"""The loop of the agent: requests, retries and minders, on parts that only record what is asked of them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.apply.differences.placed_file_differences import PlacedFiles
from ordain.agent.daemon import follower as module
from ordain.agent.daemon.follower import RELOADS, ROUNDS, Follower
from ordain.agent.daemon.minders.minder import REAPPLY, Work
from ordain.agent.daemon.status.source_reader import SourceReader
from ordain.agent.daemon.status.status_reader import AgentPhase, StatusReader
from ordain.agent.delivery.protocol import ReleaseReference, Snapshot, ignore
from ordain.agent.errors import AlreadyRejected, Busy, Failure, RemovalLimitExceeded
from ordain.agent.model import Generation, Job, Outcome, Plan, UnitVerdict, Verb
from ordain.agent.settings import Settings
from ordain.agent.status import AgentState, Status
from ordain.transforms.errors import Problem, Refused, Severity, Where
from ordain.transforms.model import Member, Wanted

DOCUMENTS = (("a.yaml", b"a"),)
WORK = Plan(reload=True, jobs=(Job(unit="a.service", verb=Verb.START, reason="it is new"),))


class Source:
    type = "directory"
    location = "/docs"

    def __init__(self) -> None:
        self.revision = "1"
        self.texts: tuple[tuple[str, bytes], ...] = DOCUMENTS
        self.burst = asyncio.Event()

    async def read(self) -> Snapshot:
        return Snapshot(texts=self.texts, revision=self.revision, own=True)

    async def changes(self, begun: Callable[[], None] = ignore) -> Any:
        await self.burst.wait()
        begun()
        await asyncio.Event().wait()
        yield


class Machine:
    """A follower, the calls that reached its parts, and the answers they give."""

    def __init__(self, root: Path) -> None:
        self.calls: list[str] = []
        self.answers: dict[str, list[object]] = {}
        self.source = Source()
        self.store = store = SimpleNamespace(
            applied=lambda: Generation(hash="1", number=1), proven=lambda: None, release_memory=lambda: None
        )
        self.decisions = SimpleNamespace(paused=False, rejected=None, pin=None, reject=lambda _: None)
        self.trials = SimpleNamespace(pending=lambda: None)
        parts = SimpleNamespace(
            root=root,
            systemd=SimpleNamespace(
                watch=self._answer("watch"), start=self._answer("good"), has_job=self._answer("job")
            ),
            store=store,
            writer=SimpleNamespace(mark_boot_good=lambda hash, tried: None),
            decisions=self.decisions,
            trials=self.trials,
            observer=SimpleNamespace(
                read_back=SimpleNamespace(files=PlacedFiles(root)), packages=SimpleNamespace(concern=lambda _: False)
            ),
            repair=SimpleNamespace(heal=self._answer("repair")),
            executor=None,
            engine=SimpleNamespace(
                observes_facts=False,
                facts_digest=lambda: b"",
                machine_digest=self._digest,
                apply=self._answer("apply"),
                resume=self._answer("resume"),
                reconcile=self._answer("reconcile"),
            ),
            rollback=SimpleNamespace(recover=self._answer("recover")),
        )
        reader = SourceReader(
            source=self.source,
            settings=Settings(),
            root=root,
            executor=admit_all,
            store=cast(Any, store),
        )
        self.prepared = threading.Event()
        self.follower = Follower(parts=cast(ApplyParts, parts), source=reader, prepare=self.prepared.set)
        self.follower._minders = (self,)
        self.machines = [b"same"]
        self.ticks: asyncio.Queue[float] = asyncio.Queue()
        self.due: list[float | None] = []

    async def _digest(self) -> bytes:
        """Return the machine after so many applies."""
        return self.machines[min(self.calls.count("apply"), len(self.machines) - 1)]

    def _answer(self, call: str) -> Callable[..., Awaitable[object]]:
        async def answer(*_: object, **__: object) -> object:
            self.calls.append(call)
            answers = self.answers.get(call)
            value = answers.pop(0) if answers else None
            if isinstance(value, Exception):
                raise value
            return outcome() if call == "apply" and value is None else value

        return answer

    async def tick(self, now: float) -> float | None:
        """Stand in for all minders: each pass of the loop ends here."""
        self.ticks.put_nowait(now)
        await self.follower.status.refresh()
        after = self.due.pop(0) if self.due else None
        return None if after is None else now + after

    async def passes(self, count: int) -> list[float]:
        """Wait until the loop has made so many passes; the times, in seconds."""
        return [await asyncio.wait_for(self.ticks.get(), 5) for _ in range(count)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    async def read(reader: StatusReader) -> Status:
        assert reader._view
        view = reader._view()
        return Status(
            agent=True,
            conditions=view.conditions,
            state=AgentState.DEGRADED if any(c.fault for c in view.conditions) else AgentState.CONVERGED,
        )

    monkeypatch.setattr(StatusReader, "read", read)
    monkeypatch.setattr(module, "LOOK_SEC", 0.0)
    monkeypatch.setattr(module, "RETRY_SEC", 0.01)
    return Machine(tmp_path)


def admit_all(function: str, /, *arguments: object) -> Any:
    return arguments[-1], ReleaseReference(), {}


def outcome(plan: Plan = WORK, verdicts: tuple[UnitVerdict, ...] = ()) -> Outcome:
    return Outcome(generation=2, hash="2", plan=plan, verdicts=verdicts)


def run(machine: Machine, test: Callable[[], Awaitable[None]]) -> None:
    """Run ``test`` while the machine is followed."""

    async def both() -> None:
        following = asyncio.create_task(machine.follower.run())
        try:
            await test()
            assert not following.done()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    asyncio.run(both())


def codes(machine: Machine) -> list[str]:
    return [condition.code for condition in machine.follower.status.current.conditions]


def test_an_agent_finishes_the_work_of_an_earlier_one_before_it_applies_documents(machine: Machine) -> None:
    async def test() -> None:
        await machine.passes(1)
        assert machine.calls == ["watch", "resume", "recover", "apply"]

    run(machine, test)


def test_documents_that_have_not_changed_are_applied_once(machine: Machine) -> None:
    async def test() -> None:
        await machine.passes(1)
        machine.follower.request(Work.READ)
        await machine.passes(1)
        assert machine.calls.count("apply") == 1
        machine.source.revision = "2"
        machine.follower.request(Work.READ)
        await machine.passes(1)
        assert machine.calls.count("apply") == 2
        machine.follower.request(REAPPLY)
        await machine.passes(1)
        assert machine.calls.count("apply") == 3

    run(machine, test)


def test_a_reload_is_repaired_before_documents_are_applied(machine: Machine) -> None:
    async def test() -> None:
        await machine.passes(1)
        machine.calls.clear()
        machine.follower.request(REAPPLY)
        machine.follower.request(Work.REPAIR)
        await machine.passes(1)
        assert machine.calls == ["repair", "apply"]

    run(machine, test)


def test_documents_to_be_applied_again_count_as_an_apply_at_once(machine: Machine) -> None:
    async def test() -> None:
        await machine.passes(1)
        await asyncio.sleep(0)
        assert machine.follower._view().phase is AgentPhase.FOLLOWING
        machine.follower.request(REAPPLY)  # `ordainctl follow` asks for the status right afterwards
        assert machine.follower._view().phase is AgentPhase.APPLYING
        await machine.passes(1)
        await asyncio.sleep(0)
        assert machine.follower._view().phase is AgentPhase.FOLLOWING

    run(machine, test)


@pytest.mark.parametrize("reason", ["paused", "trial"])
def test_documents_are_not_applied_while_the_agent_is_paused_or_a_trial_is_pending(
    machine: Machine, reason: str
) -> None:
    machine.decisions.paused = reason == "paused"
    machine.trials.pending = lambda: reason == "trial"

    async def test() -> None:
        await machine.passes(1)
        assert "apply" not in machine.calls
        assert machine.follower.source.health is None

    run(machine, test)


@pytest.mark.parametrize("failure", [Busy("another apply runs"), OSError(28, "No space left on device", "/run/x")])
def test_a_step_that_cannot_be_done_now_is_tried_again_and_shown_until_it_succeeds(
    machine: Machine, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    machine.answers["apply"] = [failure, failure]

    async def test() -> None:
        await machine.passes(1)
        await asyncio.sleep(0)
        assert codes(machine) == [type(failure).__name__]
        if isinstance(failure, OSError):
            (condition,) = machine.follower.status.current.conditions
            assert condition.what == "/run/x: No space left on device"
            assert condition.hint == "free some space there: `df` shows how much is left; the agent tries again"
        assert machine.follower.status.current.state is AgentState.DEGRADED
        await machine.passes(2)
        await asyncio.sleep(0)
        assert machine.calls.count("apply") == 3
        assert codes(machine) == []

    with caplog.at_level(logging.WARNING):
        run(machine, test)
    assert caplog.text.count("trying again") == 1, "the same failure is logged once"


def test_a_minder_that_fails_is_called_again_and_the_others_go_on(machine: Machine) -> None:
    calls: list[float] = []

    class Failing:
        async def tick(self, now: float) -> float | None:
            calls.append(now)
            raise Busy("wait")

    machine.follower._minders = (Failing(), machine)

    async def test() -> None:
        await machine.passes(3)
        assert len(calls) == 3

    run(machine, test)


def test_the_loop_sleeps_until_the_first_minder_is_due(machine: Machine) -> None:
    machine.due = [0.2, None]

    async def test() -> None:
        first, second = await machine.passes(2)
        assert second - first >= 0.2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(machine.passes(1), 0.3)

    run(machine, test)


REFUSAL = Problem(where=Where(path="a.yaml", line=1), what="unknown key")


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Refused([REFUSAL]), "Refused"),
        (RemovalLimitExceeded("it removes 9 of 10 services"), RemovalLimitExceeded.code),
        (Failure("PID 1 refused"), "NotApplied"),
        (ZeroDivisionError("a defect"), "Internal"),
        (AlreadyRejected("generation 2 failed before"), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_documents_that_are_not_applied_are_shown_with_the_reason_and_the_agent_goes_on(
    machine: Machine, failure: Exception, code: str
) -> None:
    machine.answers["apply"] = [failure]

    async def test() -> None:
        await machine.passes(1)
        await asyncio.sleep(0)
        assert codes(machine) == ([code] if code else [])
        machine.source.revision = "2"
        machine.follower.request(Work.READ)
        await machine.passes(1)
        await asyncio.sleep(0)
        assert codes(machine) == []

    run(machine, test)


def test_refused_documents_are_forgotten_when_the_source_is_empty(machine: Machine) -> None:
    machine.answers["apply"] = [Refused([REFUSAL])]
    member = Member(unit="a.service", item="services/a", ours=True, wanted=Wanted.RUNNING)
    machine.store.applied = lambda: Generation(hash="1", number=1, members=(member,))

    async def test() -> None:
        await machine.passes(1)
        await asyncio.sleep(0)
        assert codes(machine) == ["Refused"]
        machine.source.revision, machine.source.texts = "2", ()
        machine.follower.request(Work.READ)
        await machine.passes(1)
        await asyncio.sleep(0)
        assert "Refused" not in codes(machine)
        machine.source.revision, machine.source.texts = "1", DOCUMENTS
        machine.follower.request(Work.READ)
        await machine.passes(1)
        assert machine.calls.count("apply") == 2

    run(machine, test)


def test_blocked_items_are_shown(machine: Machine) -> None:
    blocked = Problem(where=Where(path="a.yaml"), what="not installed", code="NotInstalled", severity=Severity.BLOCKED)
    machine.answers["apply"] = [outcome(plan=Plan(problems=(blocked,)))]

    async def test() -> None:
        await machine.passes(1)
        await asyncio.sleep(0)
        assert codes(machine) == ["NotInstalled"]
        assert machine.follower.status.current.state is AgentState.DEGRADED

    run(machine, test)


def test_documents_that_change_all_the_time_cause_a_bounded_number_of_reloads(machine: Machine) -> None:
    async def test() -> None:
        await machine.passes(1)
        for revision in range(RELOADS + 3):
            machine.source.revision = f"next {revision}"
            machine.follower.request(Work.READ)
            await machine.passes(1)
        assert machine.calls.count("apply") == RELOADS

    run(machine, test)


@pytest.mark.parametrize("applies", [1, RELOADS], ids=["at once", "deferred by the limit of reloads"])
def test_documents_of_a_new_revision_are_never_called_applied_before_they_are(machine: Machine, applies: int) -> None:
    """The status shows the revision of the source, so a reader takes any other phase than APPLYING for its result."""
    too_early: list[str] = []

    async def slow_digest() -> bytes:
        for _ in range(5):  # looking at the machine takes a while, in which others read the status
            await asyncio.sleep(0)
        return b"same"

    async def read_status_all_the_time() -> None:
        while True:
            follower, revision = machine.follower, machine.source.revision
            called_applied = (
                follower.source.state.revision == revision and follower._view().phase is not AgentPhase.APPLYING
            )
            if called_applied and follower._applied_revision != revision:
                too_early.append(revision)
            await asyncio.sleep(0)

    async def test() -> None:
        await machine.passes(1)
        cast(Any, machine.follower._parts.engine).machine_digest = slow_digest
        reading = asyncio.create_task(read_status_all_the_time())
        for number in range(applies):
            machine.source.revision = f"next {number}"
            machine.follower.request(Work.READ)
            await machine.passes(1)
        reading.cancel()
        assert machine.calls.count("apply") == min(1 + applies, RELOADS)
        assert too_early == []

    run(machine, test)


def test_the_compiling_process_is_prepared_while_a_burst_of_changes_lasts(machine: Machine) -> None:
    async def test() -> None:
        await machine.passes(1)
        assert not machine.prepared.is_set()
        machine.source.burst.set()
        assert await asyncio.to_thread(machine.prepared.wait, 30)
        assert machine.calls.count("apply") == 1  # of the start; the burst has not ended

    run(machine, test)


def test_other_settings_cause_another_source_to_be_applied_at_once(machine: Machine) -> None:
    other = Source()
    other.location = "/other"

    async def test() -> None:
        await machine.passes(1)
        machine.follower.adopt(Settings(max_removal=1), other)
        await machine.passes(1)
        assert machine.calls.count("apply") == 2
        assert machine.follower.source.state.location == "/other"

    run(machine, test)


def test_a_bad_verdict_is_remembered_when_a_later_apply_had_nothing_to_do(machine: Machine) -> None:
    bad = UnitVerdict(unit="a.service", ok=False, what="failed")
    machine.answers["apply"] = [outcome(verdicts=(bad,)), outcome(plan=Plan())]

    async def test() -> None:
        await machine.passes(1)
        machine.follower.request(REAPPLY)
        await machine.passes(1)
        last = machine.follower._log.last
        assert last
        assert last.verdicts == (bad,)

    run(machine, test)


def test_documents_are_compiled_again_until_they_no_longer_change_the_machine(machine: Machine) -> None:
    machine.machines = [b"old name", b"new name"]

    async def test() -> None:
        await machine.passes(2)
        await asyncio.sleep(0)
        assert machine.calls.count("apply") == 2
        assert codes(machine) == []
        machine.follower.request(Work.READ)
        await machine.passes(1)
        assert machine.calls.count("apply") == 2

    run(machine, test)


def test_documents_that_never_come_to_rest_are_compiled_a_bounded_number_of_times(machine: Machine) -> None:
    machine.machines = [str(number).encode() for number in range(ROUNDS + 1)]

    async def test() -> None:
        await machine.passes(ROUNDS)
        await asyncio.sleep(0)
        assert machine.calls.count("apply") == ROUNDS
        assert codes(machine) == ["Unstable"]
        machine.machines = [b"rest"]
        machine.source.revision = "2"
        machine.follower.request(Work.READ)
        await machine.passes(1)
        await asyncio.sleep(0)
        assert codes(machine) == []

    run(machine, test)


def test_a_package_that_is_installed_causes_the_documents_to_be_compiled_again(machine: Machine) -> None:
    async def test() -> None:
        await machine.passes(1)
        machine.machines = [b"another"]
        machine.follower.request(Work.READ)
        await machine.passes(1)
        assert machine.calls.count("apply") == 2

    run(machine, test)
