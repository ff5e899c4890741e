"""The state in the status follows from its conditions; the first reason in the order of the table decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.apply.rollback import decision_conditions
from ordain.agent.apply.trial import Trial, Trials
from ordain.agent.condition import StatusCondition
from ordain.agent.daemon.status.status_reader import (
    AGENT_DOWN,
    AgentPhase,
    AgentView,
    StatusReader,
    settings_conditions,
)
from ordain.agent.delivery.protocol import ReleaseReference, SourceFault
from ordain.agent.model import ChangeCause, Generation, Outcome, Plan, UnitVerdict
from ordain.agent.plan.unit_status import differences, left_undone
from ordain.agent.settings import read_settings
from ordain.agent.state.apply_journal import ApplyJournal, ApplyPhase, JournalEntry
from ordain.agent.state.decisions import Decisions, RejectedGeneration
from ordain.agent.status import AgentState, SourceState, Status
from ordain.transforms.machine.agent_yaml import IN_FORCE, PATH
from support.samples.status_samples import unit_status

FAULT = StatusCondition(code="Drift", what="a.service", fault=True)
NOTE = StatusCondition(code="Pinned", what="generation 2")
ROLE, FACT_AS_LABEL = b"labels: {role: web}\n", b"labels: {hostname: x}\n"
REJECTED = RejectedGeneration(number=2, hash="2", why="x")


def view(phase: AgentPhase = AgentPhase.FOLLOWING, **fields: Any) -> AgentView:
    return AgentView(phase=phase, **fields)


@pytest.mark.parametrize(
    ("trial", "stays", "rejected", "conditions", "agent", "state"),
    [
        (True, "paused", REJECTED, (FAULT,), view(AgentPhase.APPLYING), AgentState.APPLYING),
        (True, "paused", REJECTED, (FAULT,), view(AgentPhase.STARTING), AgentState.STARTING),
        (True, "paused", REJECTED, (FAULT,), view(), AgentState.TRIAL),
        (False, "paused", REJECTED, (FAULT,), view(), AgentState.PAUSED),
        (False, "pinned", REJECTED, (FAULT,), view(), AgentState.ROLLED_BACK),
        (False, "pinned", None, (NOTE, FAULT), view(), AgentState.DEGRADED),
        (False, "pinned", None, (NOTE,), view(), AgentState.PAUSED),
        (False, "", REJECTED, (FAULT,), view(), AgentState.ROLLED_BACK),
        (False, "", None, (NOTE, FAULT), view(), AgentState.DEGRADED),
        (False, "", None, (AGENT_DOWN,), None, AgentState.DEGRADED),
        (False, "", None, (NOTE,), view(), AgentState.CONVERGED),
        (False, "", None, (), view(), AgentState.CONVERGED),
    ],
)
def test_the_state(
    trial: bool,
    stays: str,
    rejected: RejectedGeneration | None,
    conditions: tuple[StatusCondition, ...],
    agent: AgentView | None,
    state: AgentState,
) -> None:
    parts = SimpleNamespace(
        trials=SimpleNamespace(pending=lambda: trial),
        decisions=SimpleNamespace(paused=stays == "paused", pin=stays == "pinned", rejected=rejected),
    )
    reader = StatusReader(parts=cast(Any, parts), source=cast(Any, None))

    assert reader._state(conditions, agent) is state


def test_during_an_apply_and_its_rollback_the_documents_want_the_new_generation(tmp_path: Path) -> None:
    machine = SimpleNamespace(root=tmp_path, decisions=SimpleNamespace(rejected=None))
    reader = StatusReader(parts=cast(Any, machine), source=cast(Any, None))
    old, new = Generation(number=5, hash="5"), Generation(number=6, hash="6")
    forward = JournalEntry(phase=ApplyPhase.PLACE, number=6, plan=Plan(from_hash="5", to_hash="6"))
    failed = Outcome(generation=6, hash="6", plan=forward.plan)
    back = replace(forward, number=5, plan=Plan(from_hash="6", to_hash="5"), failed=failed)
    journal = ApplyJournal(tmp_path)
    last = view(AgentPhase.APPLYING, wanted=Outcome(generation=5, hash="5", plan=Plan()))
    for entry in (forward, back):
        journal.begin(entry)
        for in_force in (old, new):
            assert reader._wanted(in_force, last) == (6, "6")
            assert not list(reader._not_in_force(in_force, 6, "6", last))


@pytest.mark.parametrize("state", [AgentState.PAUSED, AgentState.TRIAL, AgentState.APPLYING, AgentState.CONVERGED])
def test_a_fault_shows_in_the_exit_status_in_every_state(state: AgentState) -> None:
    assert Status(state=state, conditions=(NOTE, FAULT)).faulty
    assert not Status(state=state, conditions=(NOTE,)).faulty


@pytest.mark.parametrize(
    ("in_force", "written", "faults"),
    [
        (ROLE, b"trust: opn\n", [True]),
        (ROLE, b"labels: [\n", [True]),
        (ROLE, b"# nothing\n", [True]),
        (ROLE, None, [True]),
        (b"trust: opn\n", b"trust: opn\n", [True]),
        (FACT_AS_LABEL, FACT_AS_LABEL, [False]),
        (ROLE, ROLE, []),
    ],
)
def test_an_error_in_agent_yaml_is_a_fault_and_a_warning_is_not(
    tmp_path: Path, in_force: bytes, written: bytes | None, faults: list[bool]
) -> None:
    for path, text in ((IN_FORCE, in_force), (PATH, written)):
        if text is not None:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(text)

    conditions = tuple(settings_conditions(read_settings(tmp_path)[1]))

    assert [(condition.code, condition.fault) for condition in conditions] == [("Settings", fault) for fault in faults]
    assert Status(state=AgentState.PAUSED, conditions=conditions).faulty is any(faults)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (SourceFault.UNSIGNED, True),
        (SourceFault.VERIFY_FAILED, True),
        (SourceFault.UNREACHABLE, False),
        (SourceFault.EMPTY, False),
    ],
)
def test_documents_that_are_refused_are_a_fault_and_a_source_that_is_lost_is_not(
    tmp_path: Path, code: SourceFault, fault: bool
) -> None:
    parts = SimpleNamespace(
        root=tmp_path,
        trials=Trials(tmp_path),
        decisions=Decisions(tmp_path),
        writer=SimpleNamespace(conditions=()),
        repair=SimpleNamespace(conditions=()),
    )
    state = SourceState(type="etcd", location="x", code=code, problem="no")
    source = SimpleNamespace(state=state, release=ReleaseReference())
    reader = StatusReader(parts=cast(Any, parts), source=cast(Any, source))

    assert [(condition.code, condition.fault) for condition in reader._conditions(())] == [(code, fault)]


@pytest.mark.parametrize("state", [AgentState.PAUSED, AgentState.APPLYING])
@pytest.mark.parametrize("complete", [True, False])
def test_a_generation_that_was_rolled_back_is_a_fault_in_every_state(
    tmp_path: Path, state: AgentState, complete: bool
) -> None:
    decisions = Decisions(tmp_path)
    decisions.reject(replace(REJECTED, complete=complete))
    decisions.pause()

    conditions = tuple(decision_conditions(Trials(tmp_path), decisions))

    code = "RolledBack" if complete else "RollbackIncomplete"
    assert [(condition.code, condition.fault) for condition in conditions] == [(code, True), ("Paused", False)]
    assert Status(state=state, conditions=conditions).faulty


def test_a_failed_rollback_to_a_chosen_generation_is_not_what_the_documents_want(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    decisions.reject(replace(REJECTED, cause=ChangeCause.ROLLBACK))
    reader = StatusReader(parts=cast(Any, SimpleNamespace(root=tmp_path, decisions=decisions)), source=cast(Any, None))

    (condition,) = decision_conditions(Trials(tmp_path), Decisions(tmp_path))

    assert condition.hint.startswith("run `ordainctl rollback 2` to try again")
    assert reader._wanted(Generation(number=5, hash="5"), None) == (5, "5")
    decisions.reject(replace(REJECTED, cause=ChangeCause.DOCUMENTS))
    assert reader._wanted(Generation(number=5, hash="5"), None) == (2, "2")


@pytest.mark.parametrize(
    ("automatic", "hint"),
    [(False, "run `ordainctl confirm`, or `ordainctl rollback`"), (True, "wait; the apply itself confirms it")],
)
def test_nobody_is_asked_to_confirm_a_trial_that_the_apply_itself_confirms(
    tmp_path: Path, automatic: bool, hint: str
) -> None:
    trial = Trial(token="t", number=2, hash="2", rollback_to="1", seconds=60, automatic=automatic).ending_in(60)
    Trials(tmp_path).write(trial)

    (condition,) = decision_conditions(Trials(tmp_path), Decisions(tmp_path))

    assert (condition.code, condition.hint) == ("Trial", hint)


def test_a_unit_that_is_not_as_wanted_is_a_fault_unless_it_is_held() -> None:
    failed = unit_status("b.service", ok=False, active_state="failed")
    gone = replace(unit_status("c.service", ok=False, active_state="inactive"), load_state="not-found")
    held = replace(unit_status("d.service", ok=False, active_state="inactive"), why="held")

    found = list(differences([unit_status(), failed, gone, held]))

    assert [(condition.code, condition.fault) for condition in found] == [("NotInstalled", True), ("Drift", True)]
    assert ["c.service" in found[0].what, "b.service" in found[1].what] == [True, True]
    assert list(differences([unit_status(), held])) == []


@pytest.mark.parametrize(
    ("why", "remedy"),
    [
        ("stopped", "`ordainctl follow UNIT`"),
        ("started", "`ordainctl follow UNIT`"),
        ("failed", "`ordainctl follow UNIT`"),
        ("masked", "`systemctl unmask UNIT`"),
        ("other", "`ordainctl apply`"),
    ],
)
def test_the_remedy_for_a_unit_is_one_that_brings_it_back(why: str, remedy: str) -> None:
    unit = replace(unit_status("b.service", ok=False, active_state="inactive"), why=why)

    (found,) = differences([unit])

    assert remedy in found.hint
    assert ("`ordainctl apply`" in found.hint) is (why == "other")


def test_a_condition_on_several_units_has_the_remedy_of_each() -> None:
    units = [replace(unit_status(f"{why}.service", ok=False), why=why) for why in ("masked", "other", "stopped")]

    (found,) = differences(units)

    assert all(command in found.hint for command in ("ordainctl apply", "ordainctl follow", "systemctl unmask"))


def test_work_that_the_last_apply_left_undone_is_a_fault_unless_a_unit_shows_it() -> None:
    verdicts = [
        UnitVerdict(unit=unit, ok=False, what="failed") for unit in ("a.service", "/etc/motd", "network/bonds/b")
    ]

    found = list(left_undone([unit_status()], verdicts))

    assert [(condition.code, "/etc/motd" in condition.what) for condition in found] == [("Undone", True)]
