"""What verdicts come to; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ordain.agent.model import Outcome, Plan, UnitVerdict
from ordain.transforms.errors import Problem, Severity

DEGRADED, ROLLED_BACK, INCOMPLETE = 3, 4, 5
"""Exit statuses of the contract (docs/design/contract.md, rule 24)."""


def exit_status(verdicts: Sequence[UnitVerdict], problems: Sequence[Problem]) -> int:
    """The exit status of an apply that stays: `DEGRADED` where something is."""
    blocked = any(problem.severity is Severity.BLOCKED for problem in problems)
    return DEGRADED if blocked or not all(verdict.ok for verdict in verdicts) else 0


def blame(verdicts: Sequence[UnitVerdict]) -> str:
    """What the apply is to blame for, in a line."""
    bad = [f"{verdict.unit} {verdict.what}" for verdict in verdicts if verdict.blamed]
    return "; ".join(bad[:3]) + " …" * (len(bad) > 3)


def rolled_back(failed: Outcome, back: Outcome, failing: Collection[str]) -> Outcome:
    """The one outcome of an apply and of the way back from it; ``failing`` had failed before both."""
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
    """What is remembered of an apply: not its plan, which may be large, and of ``verdicts`` those that are not ok."""
    bad = () if outcome.rejected else tuple(verdict for verdict in verdicts if not verdict.ok)
    return replace(outcome, plan=Plan(problems=outcome.plan.problems), back=None, verdicts=bad)
