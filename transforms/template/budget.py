"""The budget of one expansion of a template. Work is charged before it is done, by the size of its operands."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import jinja2

from ordain.transforms import set_budget

MAX_LENGTH = 64 << 10
"""The most characters of a template, of its result and of any text in it, and the most members of a list."""
MAX_RESULT = 1 << 20
"""The most characters of the result of a template that makes the content of a file."""
STEPS = 200_000
"""The budget of one expansion; a step takes about a microsecond."""
_LIMIT = 1 << 64


class BudgetExceeded(jinja2.TemplateRuntimeError):
    """A template exceeds its budget or a limit."""


_left: ContextVar[int] = ContextVar("steps left to the template that is being expanded")


@contextlib.contextmanager
def full_budget() -> Iterator[None]:
    """Give the code inside the context a full budget, and count what it takes as work of the set of documents.

    Raises `Refused` if that is too much for the set.
    """
    token = _left.set(STEPS)
    try:
        yield
    finally:
        taken = STEPS - _left.get()
        _left.reset(token)
        set_budget.current().spend(steps=min(taken, STEPS))


def charge(steps: int) -> None:
    """Take ``steps`` from the budget. Raises `BudgetExceeded` if too few are left."""
    left = _left.get() - steps
    _left.set(left)
    if left < 0:
        raise BudgetExceeded("it takes too many steps")


def charge_size(value: object) -> None:
    """Charge the steps that it takes to look at all of ``value``."""
    if isinstance(value, str):
        charge(1 + len(value) // 256)
    elif isinstance(value, dict | tuple | list):
        charge(1 + len(value))
        for item in value.values() if isinstance(value, dict) else value:
            charge_size(item)


def within_limits(value: Any) -> Any:
    """Return ``value`` if it is not too large, else raise `BudgetExceeded`; an iterator is read into a tuple."""
    if isinstance(value, Iterator):
        value = tuple(charged_each(value))
    if isinstance(value, str | tuple | list) and len(value) > MAX_LENGTH:
        raise BudgetExceeded(f"a value is longer than {MAX_LENGTH:,}")
    if isinstance(value, int) and abs(value) >= _LIMIT:
        raise BudgetExceeded("a number needs more than 64 bits")
    return value


def charged_each(values: Iterable[Any]) -> Iterator[Any]:
    """Yield ``values`` and charge a step for each."""
    for value in values:
        charge(1)
        yield value


def charged(value: object) -> object:
    """Charge the size of ``value`` and return it."""
    charge_size(value)
    return value


def metered(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``work`` as a function that charges its operands first and checks its result."""

    @functools.wraps(work)
    def charged_work(*args: Any, **kwargs: Any) -> Any:
        charge(1)
        for value in (*args, *kwargs.values()):
            charge_size(value)
        return within_limits(work(*args, **kwargs))

    return charged_work
