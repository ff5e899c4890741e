"""The budget of one set of documents: bytes, values, and steps of all its templates together.

Each file and each template has bounds of its own, but many of them together could still take minutes and gigabytes. The
counts depend on the documents only, and not on the machine or on what a `Memo` remembers: so a set that one machine
refuses for its size, all refuse. For the rest, the process that compiles for the agent has limits of time and memory
(`agent.compile.worker`); ``where`` is then the place that it was at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TypeVar

from ordain.transforms.errors import NOWHERE, Problem, Refused, Where

T = TypeVar("T")
CODE = "Budget"
MAX_BYTES = 32 << 20
"""The bytes of all files together; 5,000 services have 2 MiB."""
MAX_VALUES = 1_000_000
"""The values of all files together, with aliases expanded; 5,000 services have 60,000, and 2,000 Nodes 20,000."""
MAX_STEPS = 5_000_000
"""The steps of all templates together; 5,000 services with 5 templates each need 500,000."""


@dataclass(slots=True)
class Spent:
    """The cost of a part of a set."""

    bytes: int = 0
    values: int = 0
    steps: int = 0


_LIMITS = Spent(bytes=MAX_BYTES, values=MAX_VALUES, steps=MAX_STEPS)
_NAMES = {"bytes": "bytes", "values": "values", "steps": "steps of templates"}


class SetBudget:
    """The counts of one set; ``where`` is the file or the item that is being worked on."""

    def __init__(self) -> None:
        self.spent = Spent()
        self.where: Where = NOWHERE

    def left(self) -> int:
        """Return the steps that templates may still take."""
        return MAX_STEPS - self.spent.steps

    def spend(self, *, bytes: int = 0, values: int = 0, steps: int = 0) -> None:
        """Count work at ``where``. Raises `Refused` if the set exceeds its budget."""
        for name, amount in (("bytes", bytes), ("values", values), ("steps", steps)):
            count = getattr(self.spent, name) + amount
            setattr(self.spent, name, count)
            if count > (limit := getattr(_LIMITS, name)):
                raise exceeded(self.where, f"more than {limit:,} {_NAMES[name]}")


_current: ContextVar[SetBudget | None] = ContextVar("the budget of the set that is being compiled", default=None)


def current() -> SetBudget:
    """Return the budget of the set that is being read or compiled; outside of `one_set`, a new one."""
    return _current.get() or SetBudget()


@contextmanager
def one_set() -> Iterator[SetBudget]:
    """Count everything inside the context as one set, together with a context around it."""
    budget = _current.get()
    if budget is not None:
        yield budget
        return
    budget = SetBudget()
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


def measured(make: Callable[[], T]) -> tuple[T, Spent]:
    """Return the result of ``make`` and its cost."""
    budget = current()
    before = replace(budget.spent)
    result = make()
    after = budget.spent
    return result, Spent(after.bytes - before.bytes, after.values - before.values, after.steps - before.steps)


def exceeded(where: Where, what: str) -> Refused:
    """Return the refusal of a set that needs ``what``, which it may not."""
    problem = Problem(
        where=where,
        what=f"with this, the documents together need {what}",
        hint="remove or split documents; the machine keeps what it has",
        code=CODE,
    )
    return Refused([problem])
