"""Who may act: root, and whom polkit lets (org.freedesktop.PolicyKit1.Authority)."""

from __future__ import annotations

from dbus_next.signature import Variant

from ordain.agent.errors import Denied, Unavailable
from ordain.agent.system.bus import DBUS, DBUS_PATH, Bus, BusError

POLKIT = "org.freedesktop.PolicyKit1"
POLKIT_PATH = "/org/freedesktop/PolicyKit1/Authority"
POLKIT_AUTHORITY = "org.freedesktop.PolicyKit1.Authority"
ACTIONS = {"plan": "org.ordain.Agent1.plan", "apply": "org.ordain.Agent1.apply"}
"""Words of ours → actions of packaging/polkit/org.ordain.Agent1.policy."""
ALLOW_INTERACTION = 1
PROMPT_SEC = 120.0
"""How long someone may take to type a password."""


class PolkitAuthority:
    """Asks the bus who calls, and polkit whether they may."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def process(self, sender: str) -> int:
        """The process behind the connection ``sender``, 0 if it is gone."""
        try:
            return int(await self._bus.call(DBUS, DBUS_PATH, DBUS, "GetConnectionUnixProcessID", "s", sender))
        except BusError:
            return 0

    async def demand(self, sender: str, action: str) -> None:
        """Raise `Denied` unless the connection ``sender`` may do ``action``, a key of `ACTIONS`."""
        try:
            uid = await self._bus.call(DBUS, DBUS_PATH, DBUS, "GetConnectionUnixUser", "s", sender)
        except BusError:
            raise Denied("the caller is gone") from None
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
            raise Denied(f"only root may do this, as polkit cannot be asked ({failure})") from None
        if not authorized:
            raise Denied(f"polkit does not allow {ACTIONS[action]}")
