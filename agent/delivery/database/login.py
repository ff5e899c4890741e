"""The user and the password for a store, and the error for a wrong password."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ordain.agent.delivery.protocol import SourceError, SourceFault

LOCKOUT_SEC = 80.0
"""The time between two attempts with a wrong password: a server may count them and lock the account.

CouchDB 3.4 and later locks a user for one address after 5 failures within 300 s (`[chttpd_auth_lockout]`); these are 4.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user and a function that reads the password, each time anew because it may change; it raises `SourceError`."""

    user: str
    password: Callable[[], str]


def wrong_password(message: str, hint: str = "check the user and the password in the credential") -> SourceError:
    """Return the error for a login that the server refused, with the wait that avoids a locked account."""
    return SourceError(message, code=SourceFault.UNAUTHORIZED, hint=hint, retry_after_sec=LOCKOUT_SEC)
