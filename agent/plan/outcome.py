"""The outcome of an apply: exit status, blame and summary, from the verdicts about its units."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ordain.agent.condition import StatusCondition
from ordain.agent.model import NoteReason, Outcome, Plan, UnitVerdict
from ordain.transforms.errors import Severity

DEGRADED, ROLLED_BACK, INCOMPLETE = 3, 4, 5
"""Exit statuses of the contract (docs/design/contract.md, rule 24)."""


def exit_status(verdicts: Sequence[UnitVerdict], plan: Plan, left: Sequence[StatusCondition] = ()) -> int:
    """Return the exit status of an apply that is not rolled back: 0, or `DEGRADED`.

    ``left`` are the faults of the machine after the apply.
    """
    blocked = any(problem.severity is Severity.BLOCKED for problem in plan.problems)
    hidden = any(note.why is NoteReason.HIDDEN for note in plan.notes)
    return DEGRADED if left or blocked or hidden or not all(verdict.ok for verdict in verdicts) else 0


def blame(verdicts: Sequence[UnitVerdict]) -> str:
    """Return the failures that the apply caused, in one line; at most three."""
    bad = [f"{verdict.unit} {verdict.what}" for verdict in verdicts if verdict.blamed]
    return "; ".join(bad[:3]) + " …" * (len(bad) > 3)


def rolled_back(failed: Outcome, back: Outcome, failing: Collection[str]) -> Outcome:
    """Return the single outcome of an apply and its rollback; the units in ``failing`` had failed before both."""
    complete = all(verdict.ok or verdict.unit in failing for verdict in back.verdicts)
    return replace(
        failed,
        generation=back.generation,
        hash=back.hash,
        rejected=failed.generation,
        back=back.plan,
        back_verdicts=back.verdicts,
        exit_status=ROLLED_BACK if complete else INCOMPLETE,
        usec=failed.usec + back.usec,
    )


def summary(outcome: Outcome, verdicts: Sequence[UnitVerdict]) -> Outcome:
    """Return the part of an outcome that the history keeps: without the plan, which may be large, and without good
    verdicts."""
    bad = () if outcome.rejected else tuple(verdict for verdict in verdicts if not verdict.ok)
    return replace(outcome, plan=Plan(problems=outcome.plan.problems), back=None, verdicts=bad)
