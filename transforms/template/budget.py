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


class TooMuch(jinja2.TemplateRuntimeError):
    """The template wants more than it may have."""


_left: ContextVar[int] = ContextVar("steps left to the template that is being expanded")


@contextlib.contextmanager
def purse() -> Iterator[None]:
    """A full purse for what is done within."""
    token = _left.set(STEPS)
    try:
        yield
    finally:
        _left.reset(token)


def spend(steps: int) -> None:
    """Take ``steps`` from the purse. Raises `TooMuch` once it is empty."""
    left = _left.get() - steps
    _left.set(left)
    if left < 0:
        raise TooMuch("it takes too many steps")


def weigh(value: object) -> None:
    """Spend what looking at all of ``value`` costs."""
    if isinstance(value, str):
        spend(1 + len(value) // 256)
    elif isinstance(value, dict | tuple | list):
        spend(1 + len(value))
        for item in value.values() if isinstance(value, dict) else value:
            weigh(item)


def checked(value: Any) -> Any:
    """``value``, which is not too large; what is made while it is read is made here."""
    if isinstance(value, Iterator):
        value = tuple(counted(value))
    if isinstance(value, str | tuple | list) and len(value) > MAX_LENGTH:
        raise TooMuch(f"a value in it is longer than {MAX_LENGTH:,}")
    if isinstance(value, int) and abs(value) >= _LIMIT:
        raise TooMuch("a number in it needs more than 64 bits")
    return value


def counted(values: Iterable[Any]) -> Iterator[Any]:
    """``values``, a step each."""
    for value in values:
        spend(1)
        yield value


def weighed(value: object) -> object:
    """``value``, paid for."""
    weigh(value)
    return value


def careful(work: Callable[..., Any]) -> Callable[..., Any]:
    """``work``, paid for before, and looked at after."""

    @functools.wraps(work)
    def careful(*args: Any, **kwargs: Any) -> Any:
        spend(1)
        for value in (*args, *kwargs.values()):
            weigh(value)
        return checked(work(*args, **kwargs))

    return careful
