"""Authorization of callers: root may act, and those whom polkit allows (org.freedesktop.PolicyKit1.Authority).

The methods of `daemon.dbus_service` say what polkit asks the user, and `packaging` has the actions.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from dbus_next.signature import Variant

from ordain.agent.errors import Denied, Unavailable
from ordain.agent.system.dbus.bus import DBUS, DBUS_PATH, Bus, BusError

POLKIT = "org.freedesktop.PolicyKit1"
POLKIT_PATH = "/org/freedesktop/PolicyKit1/Authority"
POLKIT_AUTHORITY = "org.freedesktop.PolicyKit1.Authority"
ACTIONS = {"plan": "org.ordain.Agent1.plan", "apply": "org.ordain.Agent1.apply"}
"""The actions of packaging/polkit/org.ordain.Agent1.policy, by our short names."""
ALLOW_INTERACTION = 1
PROMPT_SEC = 120.0
"""The time that a person has to type a password."""
QUESTIONS_MAX = 16
"""The most questions that wait for a person: each takes one of the calls that the agent may have on the bus."""
DETAIL_MAX = 300
"""The most characters of a detail: it comes from the caller."""


@dataclass(frozen=True, slots=True)
class Question:
    """The question that polkit asks a person before ``action``, a key of `ACTIONS`.

    ``$(key)`` in ``message`` stands for a value of ``details``, which rules of polkit can look up, too.
    """

    action: str
    message: str
    details: Mapping[str, str] = field(default_factory=dict)

    def to_details(self) -> dict[str, str]:
        """Return the details for polkit; characters that change how others are shown are left out."""
        return {
            "polkit.message": self.message,
            **{key: _shown(value) for key, value in self.details.items()},
        }


def _shown(text: str) -> str:
    """Return ``text`` in one line of letters: a caller could hide a part by control characters, or by its length."""
    shown = "".join("?" if unicodedata.category(c)[0] == "C" or c in "$\u2028\u2029" else c for c in text)
    return shown if len(shown) <= DETAIL_MAX else f"{shown[: DETAIL_MAX - 1]}…"


class PolkitAuthority:
    """The authorization of a caller on the bus, by its user id and by polkit."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._questions = 0

    async def process(self, sender: str) -> int:
        """Return the process of the connection ``sender``, 0 if it has disconnected."""
        try:
            return int(await self._bus.call(DBUS, DBUS_PATH, DBUS, "GetConnectionUnixProcessID", "s", sender))
        except BusError:
            return 0

    async def user(self, sender: str) -> int:
        """Return the user of the connection ``sender``. Raises `Denied` if it has disconnected."""
        try:
            return int(await self._bus.call(DBUS, DBUS_PATH, DBUS, "GetConnectionUnixUser", "s", sender))
        except BusError:
            raise Denied("the caller has disconnected") from None

    async def is_root(self, sender: str) -> bool:
        """Return whether the connection ``sender`` is one of root. Raises `Denied` if it has disconnected."""
        return await self.user(sender) == 0

    async def demand(self, sender: str, question: Question) -> None:
        """Raise `Denied` unless the connection ``sender``, which is not one of root, may do what polkit is asked.

        A user can let polkit wait for a password that nobody types, and root must not wait for a turn behind that.
        """
        if self._questions >= QUESTIONS_MAX:
            raise Denied(f"{QUESTIONS_MAX} other questions wait for a password; answer them, or run it as root")
        self._questions += 1
        try:
            authorized, _, _ = await self._bus.call(
                POLKIT,
                POLKIT_PATH,
                POLKIT_AUTHORITY,
                "CheckAuthorization",
                "(sa{sv})sa{ss}us",
                ["system-bus-name", {"name": Variant("s", sender)}],
                ACTIONS[question.action],
                question.to_details(),
                ALLOW_INTERACTION,
                "",
                timeout_sec=PROMPT_SEC,
            )
        except (BusError, Unavailable) as failure:
            raise Denied(f"only root may do this, because polkit is not available ({failure})") from None
        finally:
            self._questions -= 1
        if not authorized:
            raise Denied(f"polkit does not allow {ACTIONS[question.action]}; run it as root")
