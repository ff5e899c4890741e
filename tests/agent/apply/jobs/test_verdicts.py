"""Verdicts on jobs, and the time that jobs are waited for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from ordain.agent.apply.jobs.jobs import GRACE_SEC, LONGEST_SEC, JobResult, run_jobs, timeout_sec
from ordain.agent.apply.jobs.verdicts import SETTLE_SEC, Baseline, _if_it_lasts, _with_blame, job_verdict, judge_jobs
from ordain.agent.model import Generation, Job, Observed, UnitState, UnitVerdict, Verb
from ordain.agent.system.dbus.bus import BusError
from support.machines.stand_in_pid1 import StandIn, make_machine

START = Job(unit="web.service", verb=Verb.START, reason="")
STOP = Job(unit="web.service", verb=Verb.STOP, reason="")


def state(active: str, sub: str = "", *, result: str = "success", condition: bool = True, ran: str = "1") -> UnitState:
    return UnitState(
        name="web.service",
        load_state="loaded",
        active_state=active,
        sub_state=sub,
        result=result,
        condition_result=condition,
        invocation_id=ran,
    )


@pytest.mark.parametrize(
    ("verb", "unit", "waits_for"),
    [
        (Verb.START, "web.service", {"simple", "exec", "forking", "idle"}),
        (Verb.RESTART, "web.service", {"simple", "exec", "forking", "idle"}),
        (Verb.RELOAD, "web.service", {"simple", "exec", "forking", "idle", "notify", "dbus", "oneshot"}),
        (Verb.START, "web.socket", set()),
    ],
)
def test_an_apply_waits_only_for_services_whose_job_does_not_prove_that_they_work(
    verb: Verb, unit: str, waits_for: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def waits(service_type: str) -> bool:
        waited.clear()
        systemd = make_machine(tmp_path / service_type)
        monkeypatch.setattr(systemd, "property", AsyncMock(return_value=service_type))
        job = JobResult(job=Job(unit=unit, verb=verb, reason=""), result="done")
        await judge_jobs(systemd, [job], generation=Generation(), before=Baseline(), invocations={})
        return waited == [SETTLE_SEC]

    monkeypatch.setattr(asyncio, "sleep", sleep)
    types = {"simple", "exec", "forking", "idle", "oneshot", "notify", "notify-reload", "dbus"}
    assert {name for name in types if asyncio.run(waits(name))} == waits_for


@pytest.mark.parametrize(
    ("job", "result", "after", "ok", "words"),
    [
        (START, "done", state("active", "running"), True, "running"),
        (START, "done", state("active", "exited"), True, "exited"),
        (START, "done", state("inactive", "dead"), True, "ended well"),
        (START, "done", state("inactive", "dead", condition=False), True, "conditions are not met"),
        (START, "done", state("failed", "failed", result="exit-code"), False, "failed: exit-code"),
        (START, "done", state("activating", "auto-restart", result="signal"), False, "again and again"),
        (START, "done", state("inactive", "dead", result="exec-condition"), False, "exec-condition"),
        (START, "failed", state("failed", "failed", result="timeout"), False, "timed out"),
        (START, "timeout", state("failed", "failed"), False, "in time"),
        (START, "dependency", state("inactive", "dead"), False, "requires failed"),
        (START, "deadline", state("activating", "start"), False, "PID 1 continues"),
        (START, "canceled", state("inactive", "dead", result="exit-code"), False, "by somebody else meanwhile, and is"),
        (
            START,
            "canceled",
            state("failed", "failed", result="exit-code"),
            False,
            "canceled, by somebody else meanwhile",
        ),
        (START, "canceled", state("active", "running"), True, "replaced ours"),
        (START, "", state("active", "running"), True, "running"),
        (START, "", state("failed", "failed"), False, "failed"),
        (START, "skipped", state("active", "running"), True, "running"),
        (STOP, "done", state("inactive", "dead"), True, "stopped"),
        (STOP, "done", state("failed", "failed", result="signal"), True, "stopped"),
        (STOP, "canceled", state("active", "running"), False, "is active"),
    ],
)
def test_a_verdict_depends_on_the_job_and_on_the_unit(
    job: Job, result: str, after: UnitState, ok: bool, words: str
) -> None:
    found = job_verdict(JobResult(job=job, result=result), after)

    assert found.ok is ok
    assert words in found.what


def test_a_timer_without_a_next_time_is_said_to_have_none() -> None:
    timer = replace(state("active", "elapsed"), name="web.timer")

    assert job_verdict(JobResult(job=START, result="done"), timer).what == "elapsed: no run is due"


def test_a_refusal_of_pid_1_is_reported_in_its_words(tmp_path: Path) -> None:
    def refuse() -> None:
        raise BusError("org.freedesktop.systemd1.NoSuchUnit", "Unit nosuch.service not found.")

    systemd = StandIn(tmp_path)
    systemd.meanwhile = refuse

    (result,) = asyncio.run(run_jobs(systemd, [START], Observed()))
    found = job_verdict(result, state("inactive"))

    assert (found.ok, found.what) == (False, "could not be started: Unit nosuch.service not found")


@pytest.mark.parametrize(
    ("verb", "expected_sec"), [(Verb.START, 30.0), (Verb.STOP, 5.0), (Verb.RESTART, 35.0), (Verb.RELOAD, 30.0)]
)
def test_a_job_may_take_as_long_as_the_timeout_of_its_unit(verb: Verb, expected_sec: float) -> None:
    unit = UnitState(name="web.service", start_timeout_usec=30_000_000, stop_timeout_usec=5_000_000)
    job = Job(unit="web.service", verb=verb, reason="")

    assert timeout_sec([job], Observed(units={"web.service": unit})) == GRACE_SEC + expected_sec


def test_a_job_of_a_unit_without_a_timeout_is_given_up_after_a_while() -> None:
    unit = UnitState(name="web.service", start_timeout_usec=2**64 - 1)

    assert timeout_sec([START], Observed(units={"web.service": unit})) == LONGEST_SEC


NOT_OK = UnitVerdict(unit="web.service", ok=False, what="is failed")


@pytest.mark.parametrize(
    ("verb", "result", "failing", "blamed"),
    [
        (Verb.START, "failed", (), True),
        (Verb.RESTART, "dependency", (), True),
        (Verb.RELOAD, "timeout", (), True),
        (Verb.START, "failed", ("web.service",), False),
        (Verb.START, "failed", ("other.service",), True),
        (Verb.START, "deadline", (), False),
        (Verb.START, "canceled", (), False),
        (Verb.STOP, "failed", (), False),
    ],
)
def test_an_apply_is_blamed_for_the_units_that_it_broke(
    verb: Verb, result: str, failing: tuple[str, ...], blamed: bool
) -> None:
    before = Baseline(failing=frozenset(failing))

    judged = _with_blame(
        JobResult(job=Job(unit="web.service", verb=verb, reason=""), result=result),
        replace(NOT_OK, result=result),
        before,
        state("failed", "failed", result="exit-code"),
    )

    assert judged.blamed is blamed
    assert ("it had failed before, too" in judged.what) is ("web.service" in failing)


@pytest.mark.parametrize(
    ("result", "active_exit_usec", "main_exit_usec", "by_others"),
    [
        ("done", 5_000_000, 5_400_000, True),  # asked to stop, its process ended after that
        ("done", 5_000_100, 5_000_000, False),  # its process ended by itself
        ("failed", 5_000_000, 9_000_000, False),  # the new process never got ready; the old one had been stopped
        ("done", 0, 5_000_000, False),
    ],
)
def test_a_service_that_somebody_else_stopped_after_its_start_is_not_blamed_on_the_apply(
    result: str, active_exit_usec: int, main_exit_usec: int, by_others: bool
) -> None:
    after = replace(
        state("failed", "failed", result="exit-code"), active_exit_usec=active_exit_usec, main_exit_usec=main_exit_usec
    )
    job = JobResult(job=START, result=result)

    verdict = job_verdict(job, after)

    assert ("stopped by somebody else" in verdict.what) is by_others
    assert not verdict.ok
    assert _with_blame(job, verdict, Baseline(), after).blamed is not by_others


@pytest.mark.parametrize(
    ("verb", "invocation", "restarts", "ok"),
    [
        (Verb.RELOAD, "a", 0, True),
        (Verb.RELOAD, "b", 1, False),
        (Verb.RESTART, "b", 0, True),
        (Verb.RESTART, "b", 1, False),
        (Verb.START, "b", 3, False),
    ],
)
def test_an_active_unit_fails_if_its_process_was_replaced_or_restarted(
    verb: Verb, invocation: str, restarts: int, ok: bool
) -> None:
    now = UnitState(name="web.service", active_state="active", invocation_id=invocation, n_restarts=restarts)

    judged = _if_it_lasts(
        JobResult(job=Job(unit="web.service", verb=verb, reason=""), result="done"), replace(NOT_OK, ok=True), now, "a"
    )

    assert judged.ok is ok
