"""The outcome of the last apply: written to the journal, and kept for the status."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ordain.agent.condition import StatusCondition
from ordain.agent.model import Outcome
from ordain.agent.plan.outcome import ROLLED_BACK, summary
from ordain.transforms.errors import NOWHERE, Problem, Severity

log = logging.getLogger(__name__)
REFUSED = "Refused"
"""The code of a condition for documents that were refused."""


class OutcomeLog:
    """Keeps the outcome of the last apply.

    ``last`` is the outcome in short (`outcome.summary`). ``refused`` is why the documents are not applied. ``on_work``
    is called for every apply that had something to do.
    """

    def __init__(self, on_work: Callable[[], None]) -> None:
        self._on_work = on_work
        self.last: Outcome | None = None
        self.refused: tuple[Problem, ...] = ()

    def restore(self, outcome: Outcome | None) -> None:
        """Take over the outcome of an earlier agent, which is in the journal already."""
        self.last = summary(outcome, outcome.verdicts) if outcome else None

    def record(self, outcome: Outcome) -> None:
        """Log ``outcome`` and keep it. The documents count as accepted."""
        # If this apply had nothing to do, an earlier apply of the same generation may still have left something undone.
        earlier = self.last.verdicts if self.last and self.last.hash == outcome.hash else ()
        self.last = summary(outcome, outcome.verdicts if outcome.plan else earlier)
        self.refused = ()
        for verdict in outcome.verdicts:
            log.log(logging.INFO if verdict.ok else logging.ERROR, "%s: %s", verdict.unit, verdict.what)
        for problem in outcome.plan.problems:
            log.warning("%s", problem)
        if outcome.plan:
            self._on_work()
            ended = "converged" if outcome.exit_status == 0 else "degraded"
            if outcome.rejected:
                repair = "the repair of " if outcome.rejected == outcome.generation else ""
                log.error("%sgeneration %d failed: %s", repair, outcome.rejected, outcome.why)
                ended = "rolled back to" if outcome.exit_status == ROLLED_BACK else "rolled back in part to"
            log.info("generation %d: %s after %d ms", outcome.generation, ended, outcome.usec // 1000)

    def refuse(self, problems: Iterable[Problem]) -> None:
        """Log why the documents are not applied, and keep it."""
        self.refused = tuple(problems)
        for problem in self.refused:
            log.error("%s", problem if problem.where is not NOWHERE else problem.what)

    @property
    def blocked(self) -> tuple[Problem, ...]:
        """The problems of items that the documents want and this machine cannot have."""
        problems = self.last.plan.problems if self.last else ()
        return tuple(problem for problem in problems if problem.severity is Severity.BLOCKED)

    @property
    def conditions(self) -> tuple[StatusCondition, ...]:
        """The conditions for blocked items and refused documents."""
        refused = (StatusCondition.of(p, "" if p.where is NOWHERE else REFUSED, fault=True) for p in self.refused)
        return (*(StatusCondition.of(problem, fault=True) for problem in self.blocked), *refused)
