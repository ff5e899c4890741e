"""The minders that need no machine: enforced drift, the verdict of the boot, and what is released when idle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.condition import StatusCondition
from ordain.agent.daemon.boot_verdict import CHECK_SEC, COMPLETE, BootVerdict
from ordain.agent.daemon.minders import idle_release, instruction_end, late_installation
from ordain.agent.daemon.minders.drift_enforcement import ENFORCE_SEC, DriftEnforcement
from ordain.agent.daemon.minders.idle_release import IdleRelease
from ordain.agent.daemon.minders.instruction_end import InstructionEnd
from ordain.agent.daemon.minders.late_installation import SETTLE_SEC, LateInstallation
from ordain.agent.daemon.minders.late_writes import AGAIN_SEC, LateWrites
from ordain.agent.daemon.minders.minder import REAPPLY, Work
from ordain.agent.daemon.status.boot_chart import BOOT_GOOD_UNIT
from ordain.agent.errors import Failure
from ordain.agent.instruction import ClockReading, Expiry, Instruction, Terms, instruct
from ordain.agent.model import Generation, Hold
from ordain.agent.state.decisions import Decisions, RejectedGeneration
from ordain.agent.state.history_events import HistoryEvent, read_events, record_event
from ordain.agent.state.holds import read_holds, write_holds
from ordain.agent.status import Status, UnitStatus
from support.samples.status_samples import unit_status


def answer(calls: list[str], name: str, value: object = None) -> Callable[..., Awaitable[Any]]:
    async def call(*_: object) -> object:
        calls.append(name)
        return value

    return call


def enforcement(
    unit: UnitStatus, *, paused: bool = False, stopping: bool = False
) -> tuple[DriftEnforcement, list[str]]:
    calls: list[str] = []
    parts = SimpleNamespace(
        systemd=SimpleNamespace(stopping=answer([], "", stopping)),
        engine=SimpleNamespace(reconcile=answer(calls, "reconcile")),
        decisions=SimpleNamespace(paused=paused),
    )
    made = DriftEnforcement(
        parts=cast(Any, parts),
        status=cast(Any, SimpleNamespace(current=Status(units=(unit,)), refresh=answer(calls, "refresh"))),
    )
    return made, calls


@pytest.mark.parametrize(
    ("ok", "enforced", "paused", "stopping", "calls"),
    [
        (False, True, False, False, ["reconcile", "refresh"]),
        (True, True, False, False, []),
        (False, False, False, False, []),
        (False, True, True, False, []),
        (False, True, False, True, []),
    ],
    ids=["drifted", "as wanted", "not enforced", "paused", "the machine shuts down"],
)
def test_drift_is_undone_where_it_is_enforced(
    ok: bool, enforced: bool, paused: bool, stopping: bool, calls: list[str]
) -> None:
    made, called = enforcement(unit_status(ok=ok, enforced=enforced), paused=paused, stopping=stopping)

    assert asyncio.run(made.tick(1000.0)) is None
    assert called == calls


def test_drift_is_undone_at_a_bounded_pace(tmp_path: Path) -> None:
    made, calls = enforcement(unit_status(ok=False, enforced=True))

    asyncio.run(made.tick(1000.0))
    assert asyncio.run(made.tick(1001.0)) == 1000.0 + ENFORCE_SEC
    asyncio.run(made.tick(1000.0 + ENFORCE_SEC))

    assert calls.count("reconcile") == 2


class Boot:
    """A boot that began with generation ``booted``, and the decisions and marks that come of it."""

    def __init__(self, root: Path, *, booted: str = "good", tried: str = "", applied: str = "good") -> None:
        (root / "run/ordain/boot").mkdir(parents=True)
        (root / "run/ordain/boot/choice").write_text(f"boot_id=\nbooted={booted}\ntried={tried}\n")
        self.started: list[str] = []
        self.marked: list[tuple[str, frozenset[str]]] = []
        self.checking = False
        self.complete = True
        self.decisions = SimpleNamespace(rejected=None)
        self.decisions.reject = lambda value: setattr(self.decisions, "rejected", value)
        self.trial: object = None
        store = SimpleNamespace(
            applied=lambda: Generation(hash=applied, number=3),
            proven=lambda: Generation(hash="good", number=4),
        )
        mark = lambda hash, tried: self.marked.append((hash, frozenset(tried)))  # noqa: E731
        machine = SimpleNamespace(
            systemd=self,
            root=root,
            store=store,
            writer=SimpleNamespace(mark_boot_good=mark),
            decisions=self.decisions,
            trials=SimpleNamespace(pending=lambda: self.trial, confirmed=lambda: None, expired=lambda: None),
        )
        self.verdict = BootVerdict(cast(Any, machine))

    async def start(self, unit: str) -> None:
        self.started.append(unit)

    async def has_job(self, unit: str) -> bool:
        return self.checking

    async def list_units(self, units: list[str]) -> dict[str, SimpleNamespace]:
        return {COMPLETE: SimpleNamespace(active_state="active" if self.complete else "inactive")}

    def tick(self) -> float | None:
        return asyncio.run(self.verdict.tick(1000.0))


def test_a_boot_is_recorded_as_good_once_when_its_checks_have_ended(tmp_path: Path) -> None:
    boot = Boot(tmp_path)
    boot.checking = True
    assert boot.tick() == 1000.0 + CHECK_SEC
    assert boot.marked == []

    boot.checking = False
    assert boot.tick() is None
    assert boot.tick() is None

    assert boot.started == [BOOT_GOOD_UNIT]
    assert boot.marked == [("good", frozenset())]


def test_a_boot_whose_checks_failed_stays_a_failure(tmp_path: Path) -> None:
    boot = Boot(tmp_path)
    boot.complete = False

    for _ in range(2):
        with pytest.raises(Failure, match=f"{COMPLETE} was not reached"):
            boot.tick()

    assert boot.marked == []


def test_a_generation_that_the_generator_passed_over_is_rejected(tmp_path: Path) -> None:
    boot = Boot(tmp_path, booted="older", tried="good", applied="older")

    boot.verdict.reject_passed_over()
    boot.tick()

    assert boot.decisions.rejected == RejectedGeneration(number=4, hash="good", why="3 boots with it did not complete")
    assert boot.marked == [("older", frozenset({"good"}))]


def test_a_rejection_ends_when_the_generator_chose_that_generation_again(tmp_path: Path) -> None:
    boot = Boot(tmp_path)
    boot.decisions.rejected = RejectedGeneration(number=4, hash="good", why="x")

    boot.verdict.reject_passed_over()

    assert boot.decisions.rejected is None


@pytest.mark.parametrize("why", ["was not confirmed before the machine went down", "3 boots with it did not complete"])
def test_a_rejection_by_a_boot_is_an_event_of_the_history_once(tmp_path: Path, why: str) -> None:
    boot = Boot(tmp_path)
    record_event(tmp_path, HistoryEvent(time="2026-01-01T00:00:00+00:00", generation=4, why="on trial"))
    boot.decisions.rejected = RejectedGeneration(number=4, hash="bad", why=why)
    boot.trial = "pending"
    boot.verdict.record_rejection()
    assert len(read_events(tmp_path)) == 1

    boot.trial = None
    boot.verdict.record_rejection()
    boot.verdict.record_rejection()

    _, event = read_events(tmp_path)
    assert (event.generation, event.rejected, event.exit_status, event.why) == (3, 4, 4, why)


def test_a_rejection_by_an_apply_is_in_the_history_already(tmp_path: Path) -> None:
    boot = Boot(tmp_path)
    record_event(tmp_path, HistoryEvent(time="2026-01-01T00:00:00+00:00", generation=3, rejected=4, why="x"))
    boot.decisions.rejected = RejectedGeneration(number=4, hash="bad", why="x")

    boot.verdict.record_rejection()

    assert len(read_events(tmp_path)) == 1


def test_the_compiling_process_is_dismissed_some_time_after_the_last_work(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(idle_release, "trim_memory", lambda: calls.append("give back"))

    async def test() -> None:
        now = 100.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)

        async def wait(share: float) -> None:
            nonlocal now
            now += share * idle_release.LINGER_SEC
            for _ in range(3):  # the loop runs what is due
                await asyncio.sleep(0)

        idle = IdleRelease(lambda: calls.append("dismiss"))
        for _ in range(3):
            idle.rest()
        assert calls == ["give back"]
        await wait(0.6)
        idle.used()
        idle.rest()
        await wait(0.6)
        assert calls == ["give back", "give back"]
        await wait(0.6)
        assert calls == ["give back", "give back", "dismiss"]

    asyncio.run(test())


def test_a_unit_is_started_once_its_package_is_installed() -> None:
    released: list[frozenset[str]] = []

    async def reconcile(*, released: frozenset[str], into: list[frozenset[str]] = released) -> None:
        into.append(released)

    publisher = SimpleNamespace(current=Status(), refresh=answer([], ""), listen=lambda _: None)
    parts = SimpleNamespace(
        systemd=None,
        root=Path("/nonexistent"),
        engine=SimpleNamespace(reconcile=reconcile),
        decisions=SimpleNamespace(paused=False),
    )
    minder = LateInstallation(parts=cast(Any, parts), status=cast(Any, publisher))
    down = unit_status("new.service", ok=False, active_state="inactive")
    stopped = unit_status("stopped.service", ok=False, active_state="inactive")
    missing = replace(down, load_state="not-found")

    publisher.current = Status(units=(missing, stopped))
    assert asyncio.run(minder.tick(0.0)) is None
    publisher.current = Status(units=(down, stopped))
    assert asyncio.run(minder.tick(1.0)) == 1.0 + SETTLE_SEC
    assert released == []
    assert asyncio.run(minder.tick(1.0 + SETTLE_SEC)) is None
    assert asyncio.run(minder.tick(100.0)) is None
    assert released == [frozenset({"new.service"})]


@pytest.mark.parametrize(
    ("state", "due", "restarted"), [("inactive", 1.0 + SETTLE_SEC, []), ("active", None, [{"web.service"}])]
)
def test_a_unit_is_taken_up_once_no_file_of_somebody_else_hides_it(
    state: str, due: float | None, restarted: list[set[str]]
) -> None:
    rotations: list[set[str]] = []

    async def reconcile(*, released: object = None, rotated: dict[str, object]) -> None:
        rotations.append({*rotated})

    publisher = SimpleNamespace(current=Status(), refresh=answer([], ""), listen=lambda _: None)
    parts = SimpleNamespace(
        systemd=None,
        root=Path("/nonexistent"),
        engine=SimpleNamespace(reconcile=reconcile),
        decisions=SimpleNamespace(paused=False),
    )
    minder = LateInstallation(parts=cast(Any, parts), status=cast(Any, publisher))
    unit = unit_status("web.service", ok=state == "active", active_state=state)
    hidden = StatusCondition(code="Overridden", what="", item="web.service", fault=True)

    publisher.current = Status(units=(unit,), conditions=(hidden,))
    assert asyncio.run(minder.tick(0.0)) is None
    publisher.current = Status(units=(unit,))
    assert asyncio.run(minder.tick(1.0)) == due
    assert rotations == restarted


@pytest.mark.parametrize("enforced", [True, False])
def test_an_enforced_file_is_placed_again(enforced: bool) -> None:
    changed = StatusCondition(code="FileChanged", what="", fault=True, enforced=enforced)
    minder, calls = enforcement(unit_status("web.service", ok=True))
    cast(Any, minder)._status.current = Status(conditions=(changed,))

    asyncio.run(minder.tick(0.0))
    assert calls == ["reconcile", "refresh"] * enforced


def test_a_unit_that_was_missing_in_a_status_between_two_looks_is_taken_up() -> None:
    listeners: list[Callable[[Status], None]] = []
    publisher = SimpleNamespace(current=Status(), refresh=answer([], ""), listen=listeners.append)
    parts = SimpleNamespace(
        systemd=None,
        root=Path("/nonexistent"),
        engine=None,
        decisions=SimpleNamespace(paused=False),
    )
    minder = LateInstallation(parts=cast(Any, parts), status=cast(Any, publisher))
    down = unit_status("new.service", ok=False, active_state="inactive")

    for listener in listeners:
        listener(Status(units=(replace(down, load_state="not-found"),)))
    publisher.current = Status(units=(down,))
    assert asyncio.run(minder.tick(0.0)) == SETTLE_SEC


@pytest.mark.parametrize(("active_state", "forgotten"), [("inactive", True), ("active", False), ("failed", False)])
def test_a_transient_unit_that_has_ended_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, active_state: str, forgotten: bool
) -> None:
    calls: list[str] = []
    ran: list[tuple[str, ...]] = []

    async def run(_systemd: object, _unit: str, _what: str, commands: tuple[tuple[str, ...]], **_: object) -> str:
        ran.extend(commands)
        return ""

    monkeypatch.setattr(late_installation, "run", run)
    path = tmp_path / "run/systemd/transient/web.service"
    path.parent.mkdir(parents=True)
    path.touch()
    hidden = StatusCondition(code="Overridden", what="", item="web.service", fault=True)
    unit = unit_status("web.service", ok=False, active_state=active_state)
    publisher = SimpleNamespace(
        current=Status(units=(unit,), conditions=(hidden,)), refresh=answer(calls, "refresh"), listen=lambda _: None
    )
    parts = SimpleNamespace(
        systemd=SimpleNamespace(reload=answer(calls, "reload")),
        root=tmp_path,
        engine=None,
        decisions=SimpleNamespace(paused=False),
    )
    minder = LateInstallation(parts=cast(Any, parts), status=cast(Any, publisher))
    asyncio.run(minder.tick(0.0))

    assert ran == [("/bin/rm", "--force", "/run/systemd/transient/web.service")] * forgotten
    assert calls == ["reload", "refresh"] * forgotten


BOOT = "11111111-2222-3333-4444-555555555555"


class Ends:
    """A machine with holds and a pause, on which `InstructionEnd` looks at clocks that the test sets."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (root / "proc/sys/kernel/random").mkdir(parents=True)
        (root / "proc/sys/kernel/random/boot_id").write_text(f"{BOOT}\n")
        self.root = root
        self.wall_sec, self.boot_sec, self.synchronized, self.trial = 1_800_000_000.0, 1000.0, True, False
        self.released: list[str] = []
        self.requested: list[Work] = []
        self.decisions = Decisions(root)
        monkeypatch.setattr(instruction_end, "clock_now", self.clock)
        monkeypatch.setattr(instruction_end, "is_synchronized", self.is_synchronized)
        monkeypatch.setattr(instruction_end, "pid_1_started_sec", answer([], "", 0.0))
        parts = SimpleNamespace(
            root=root,
            systemd=SimpleNamespace(bus=None),
            decisions=self.decisions,
            holds=self,
            trials=SimpleNamespace(pending=lambda: self.trial),
            store=SimpleNamespace(applied=lambda: Generation(number=4)),
        )
        self.end = InstructionEnd(parts=cast(Any, parts), request=self.requested.append)

    async def is_synchronized(self, _bus: object) -> bool:
        return self.synchronized

    def clock(self, boot: str, *, synchronized: bool, started_sec: float = 0.0) -> ClockReading:
        return ClockReading(
            wall_sec=self.wall_sec,
            boot_sec=self.boot_sec,
            up_sec=self.boot_sec,
            boot=boot,
            synchronized=synchronized,
        )

    async def unhold(self, unit: str, *, why: str) -> None:
        self.released.append(unit)
        write_holds(self.root, {name: hold for name, hold in read_holds(self.root).items() if name != unit})

    async def recount(self, ends: dict[str, Expiry]) -> None:
        write_holds(self.root, {u: replace(hold, end=ends.get(u)) for u, hold in read_holds(self.root).items()})

    def ending(self, lasts_sec: int) -> Instruction:
        clock = self.clock(BOOT.replace("-", ""), synchronized=self.synchronized)
        return instruct(Terms(why="x", lasts_sec=lasts_sec), "alice", clock)

    def pass_sec(self, seconds: float) -> None:
        self.wall_sec += seconds
        self.boot_sec += seconds

    def tick(self) -> float | None:
        return asyncio.run(self.end.tick(0.0))


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ends:
    return Ends(tmp_path, monkeypatch)


def test_holds_and_a_pause_end_when_their_time_is_over(ends: Ends) -> None:
    holds = {
        "a.service": Hold(end=ends.ending(30).end),
        "b.service": Hold(end=ends.ending(90).end),
        "c.service": Hold(),
    }
    write_holds(ends.root, holds)
    ends.decisions.pause(ends.ending(60))

    assert (ends.tick(), ends.released, ends.decisions.paused) == (30.0, [], True)
    ends.pass_sec(30)
    ends.tick()
    assert (ends.released, ends.decisions.paused) == (["a.service"], True)
    ends.pass_sec(60)
    ends.tick()
    assert (ends.released, ends.decisions.paused) == (["a.service", "b.service"], False)
    assert ends.requested == [REAPPLY, REAPPLY]
    assert ends.tick() is None
    assert list(read_holds(ends.root)) == ["c.service"]
    assert [(event.subject, event.origin.why) for event in read_events(ends.root)] == [("source", "its time was over")]


def test_nothing_ends_during_a_trial(ends: Ends) -> None:
    ends.decisions.pause(ends.ending(10))
    ends.pass_sec(10)
    ends.trial = True

    assert ends.tick() == instruction_end.TRIAL_SEC
    assert ends.decisions.paused


def test_the_remaining_time_is_written_down_for_the_next_boot(ends: Ends) -> None:
    ends.decisions.pause(ends.ending(3600))
    ends.tick()
    ends.pass_sec(instruction_end.COUNT_SEC)
    ends.tick()

    end = Decisions(ends.root).now.pause.end
    assert end is not None
    assert (end.left_sec, end.at_sec) == (3600 - instruction_end.COUNT_SEC, 1000 + instruction_end.COUNT_SEC)


def test_a_clock_that_jumps_forward_when_it_is_synchronized_ends_nothing(ends: Ends) -> None:
    ends.wall_sec, ends.synchronized = 5.0, False
    ends.decisions.pause(ends.ending(3600))
    ends.tick()
    ends.wall_sec, ends.synchronized = 1_800_000_000.0, True
    ends.tick()

    end = Decisions(ends.root).now.pause.end
    assert ends.decisions.paused
    assert end is not None
    assert (end.until, end.synchronized) == ("2027-01-15T09:00:00+00:00", True)


def test_a_generation_that_could_not_be_written_is_tried_again_until_it_is(tmp_path: Path) -> None:
    calls: list[str] = []
    writer = SimpleNamespace(conditions=(), retry=lambda: calls.append("retry"))
    parts = cast(Any, SimpleNamespace(writer=writer, root=tmp_path))
    late = LateWrites(parts=parts, status=cast(Any, SimpleNamespace(refresh=answer(calls, "refresh"))))

    async def test() -> None:
        assert await late.tick(100) is None
        writer.conditions = ("NotInHistory",)
        assert await late.tick(100) == 100 + AGAIN_SEC
        assert await late.tick(110) == 100 + AGAIN_SEC
        assert calls == []
        assert await late.tick(100 + AGAIN_SEC) == 100 + 2 * AGAIN_SEC
        assert calls == ["retry"]
        writer.retry = lambda: setattr(writer, "conditions", ())
        assert await late.tick(100 + 2 * AGAIN_SEC) is None
        assert calls == ["retry", "refresh"]

    asyncio.run(test())
