"""What one expansion of a template may spend: work is paid for before it is done, by the size of what it looks at."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import jinja2

MAX_LENGTH = 64 << 10
"""Characters of a template, of its result and of any text between; members of a list."""
STEPS = 200_000
"""What one expansion may spend; a step is about a microsecond."""
_LIMIT = 1 << 64


class BudgetExceeded(jinja2.TemplateRuntimeError):
    """The template wants more than it may have."""


_left: ContextVar[int] = ContextVar("steps left to the template that is being expanded")


@contextlib.contextmanager
def full_budget() -> Iterator[None]:
    """A full purse for what is done within."""
    token = _left.set(STEPS)
    try:
        yield
    finally:
        _left.reset(token)


def charge(steps: int) -> None:
    """Take ``steps`` from the purse. Raises `BudgetExceeded` once it is empty."""
    left = _left.get() - steps
    _left.set(left)
    if left < 0:
        raise BudgetExceeded("it takes too many steps")


def charge_size(value: object) -> None:
    """Spend what looking at all of ``value`` costs."""
    if isinstance(value, str):
        charge(1 + len(value) // 256)
    elif isinstance(value, dict | tuple | list):
        charge(1 + len(value))
        for item in value.values() if isinstance(value, dict) else value:
            charge_size(item)


def within_limits(value: Any) -> Any:
    """``value``, which is not too large; what is made while it is read is made here."""
    if isinstance(value, Iterator):
        value = tuple(charged_each(value))
    if isinstance(value, str | tuple | list) and len(value) > MAX_LENGTH:
        raise BudgetExceeded(f"a value in it is longer than {MAX_LENGTH:,}")
    if isinstance(value, int) and abs(value) >= _LIMIT:
        raise BudgetExceeded("a number in it needs more than 64 bits")
    return value


def charged_each(values: Iterable[Any]) -> Iterator[Any]:
    """``values``, a step each."""
    for value in values:
        charge(1)
        yield value


def charged(value: object) -> object:
    """``value``, paid for."""
    charge_size(value)
    return value


def metered(work: Callable[..., Any]) -> Callable[..., Any]:
    """``work``, paid for before, and looked at after."""

    @functools.wraps(work)
    def metered(*args: Any, **kwargs: Any) -> Any:
        charge(1)
        for value in (*args, *kwargs.values()):
            charge_size(value)
        return within_limits(work(*args, **kwargs))

    return metered
