"""Authorization of callers: root may act, and those whom polkit allows (org.freedesktop.PolicyKit1.Authority)."""

from __future__ import annotations

from dbus_next.signature import Variant

from ordain.agent.errors import Denied, Unavailable
from ordain.agent.system.bus import DBUS, DBUS_PATH, Bus, BusError

POLKIT = "org.freedesktop.PolicyKit1"
POLKIT_PATH = "/org/freedesktop/PolicyKit1/Authority"
POLKIT_AUTHORITY = "org.freedesktop.PolicyKit1.Authority"
ACTIONS = {"plan": "org.ordain.Agent1.plan", "apply": "org.ordain.Agent1.apply"}
"""The actions of packaging/polkit/org.ordain.Agent1.policy, by our short names."""
ALLOW_INTERACTION = 1
PROMPT_SEC = 120.0
"""The time that a person has to type a password."""


class PolkitAuthority:
    """The authorization of a caller on the bus, by its user id and by polkit."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def process(self, sender: str) -> int:
        """Return the process of the connection ``sender``, 0 if it has disconnected."""
        try:
            return int(await self._bus.call(DBUS, DBUS_PATH, DBUS, "GetConnectionUnixProcessID", "s", sender))
        except BusError:
            return 0

    async def demand(self, sender: str, action: str) -> None:
        """Raise `Denied` unless the connection ``sender`` may do ``action``, a key of `ACTIONS`."""
        try:
            uid = await self._bus.call(DBUS, DBUS_PATH, DBUS, "GetConnectionUnixUser", "s", sender)
        except BusError:
            raise Denied("the caller has disconnected") from None
        if uid == 0:
            return
        try:
            authorized, _, _ = await self._bus.call(
                POLKIT,
                POLKIT_PATH,
                POLKIT_AUTHORITY,
                "CheckAuthorization",
                "(sa{sv})sa{ss}us",
                ["system-bus-name", {"name": Variant("s", sender)}],
                ACTIONS[action],
                {},
                ALLOW_INTERACTION,
                "",
                timeout_sec=PROMPT_SEC,
            )
        except (BusError, Unavailable) as failure:
            raise Denied(f"only root may do this, because polkit is not available ({failure})") from None
        if not authorized:
            raise Denied(f"polkit does not allow {ACTIONS[action]}; run it as root")
