"""Tells those who run of what the files of the host say since just now; effect.

The files are what counts, at every boot too. Live, PID 1 hands the locale to what it starts from now on, and timedated
tells the kernel of the time zone; the host name and the keymap have units that read their files again.
"""

from __future__ import annotations

import contextlib

from ordain.agent.model import Generation
from ordain.agent.system.bus import BusError
from ordain.agent.system.systemd1 import MANAGER, NAME, PATH, Systemd

TIMEDATE, TIMEDATE_PATH = "org.freedesktop.timedate1", "/org/freedesktop/timedate1"


async def tell(systemd: Systemd, old: Generation, new: Generation) -> None:
    """Make real what changed of the locale and the time zone; one who is not there reads the files when it comes."""
    before, after = (dict(_host(generation)) for generation in (old, new))
    with contextlib.suppress(BusError):
        if (zone := after.get("timezone")) and zone != before.get("timezone"):
            await systemd.bus.call(TIMEDATE, TIMEDATE_PATH, TIMEDATE, "SetTimezone", "sb", zone, False)
    with contextlib.suppress(BusError):
        if (locale := after.get("locale")) and locale != before.get("locale"):
            await systemd.bus.call(NAME, PATH, MANAGER, "SetEnvironment", "as", [f"LANG={locale}"])
        elif "locale" in before and not locale:
            await systemd.bus.call(NAME, PATH, MANAGER, "UnsetEnvironment", "as", ["LANG"])


def _host(generation: Generation) -> list[tuple[str, str]]:
    host = generation.document.get("host", {})
    return [(key, value) for key, value in host.items() if isinstance(value, str)]
