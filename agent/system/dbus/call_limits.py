"""Limits of the calls that users of a bus may make: of each user, over all connections of theirs, and of all users.

A limit of each connection would be none: the system bus allows a user 256 connections.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

from ordain.agent.system.dbus.rate_limit import RateLimit

CALLS_PER_SEC = 50
"""The most calls of one user in a second."""
ALL_CALLS_PER_SEC = 150
IN_FLIGHT = 8
"""The most calls of one user that are not answered yet."""
ALL_IN_FLIGHT = 64
CONNECTIONS_MAX = 2048
"""The most connections whose user is remembered; the system bus allows as many (max_completed_connections)."""
USERS_MAX = 512
"""The most users whose calls are counted."""
ROOT = 0


class CallLimits:
    """The calls of users; ``user_of`` asks the bus for the user of a connection, whose name is never given again.

    Root has no limits: it may end the agent anyway.
    """

    def __init__(self, user_of: Callable[[str], Awaitable[int]]) -> None:
        self._user_of = user_of
        self._users: OrderedDict[str, int] = OrderedDict()
        self._calls: OrderedDict[int, RateLimit] = OrderedDict()
        self._all_calls = RateLimit(ALL_CALLS_PER_SEC, 1.0)
        self.in_flight: Counter[int] = Counter()

    def user(self, sender: str) -> int | None:
        """Return the user of a connection; None if the bus has to be asked."""
        return self._users.get(sender)

    async def ask(self, sender: str) -> int:
        """Ask the bus for the user of a connection. Raises what ``user_of`` raises."""
        user = await self._user_of(sender)
        self._users[sender] = user
        if len(self._users) > CONNECTIONS_MAX:
            self._users.popitem(last=False)
        return user

    def exceeded(self, user: int, now: float) -> str:
        """Count a call of ``user`` at ``now``; return the limit that it exceeds, "" for none."""
        if user == ROOT:
            return ""
        limit = self._calls.pop(user, None) or RateLimit(CALLS_PER_SEC, 1.0)
        self._calls[user] = limit
        if len(self._calls) > USERS_MAX:
            self._calls.popitem(last=False)
        if limit.wait_sec(now):
            return f"more than {CALLS_PER_SEC} calls of this user in a second; call less often"
        limit.record(now)
        if self._all_calls.wait_sec(now):
            return f"more than {ALL_CALLS_PER_SEC} calls of all users in a second; try again"
        self._all_calls.record(now)
        if self.in_flight[user] >= IN_FLIGHT:
            return f"{IN_FLIGHT} calls of this user are not answered yet; wait for an answer"
        if self.in_flight.total() >= ALL_IN_FLIGHT:
            return f"{ALL_IN_FLIGHT} calls of all users are not answered yet; try again"
        return ""

    def began(self, user: int) -> None:
        """Note that a call will be answered."""
        if user != ROOT:
            self.in_flight[user] += 1

    def ended(self, user: int) -> None:
        """Note that such a call is answered."""
        if self.in_flight[user] > 1:
            self.in_flight[user] -= 1
        else:
            del self.in_flight[user]
