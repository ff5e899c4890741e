"""A user and a password, and how often a wrong one is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LOCKOUT_SEC = 30.0
"""A wrong password is not tried more often: somebody counts, and may lock the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """``password`` reads it anew each time, as it may have changed; it raises `SourceError`."""

    user: str
    password: Callable[[], str]
