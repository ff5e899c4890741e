"""Opens the bus for a process that does the work of the agent; only here is pystemd, which needs libsystemd, loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ordain.agent.errors import Unavailable
from ordain.agent.system.dbus.bus import RUNS_SYSTEMD, without_systemd

if TYPE_CHECKING:
    from ordain.agent.system.dbus.pystemd_driver import Pystemd


def open_blocking_bus() -> Pystemd:
    """Return a connection to the system bus. Raises `Unavailable` without a bus, without systemd or without pystemd."""
    try:
        from ordain.agent.system.dbus.pystemd_driver import Pystemd
    except ImportError as error:
        if not RUNS_SYSTEMD.is_dir():
            raise without_systemd() from None
        remedy = "install it with pip as `ordain[machine]`, or Ordain as a package of this system"
        raise Unavailable(f"without a running agent, this command needs pystemd: {error}; {remedy}") from None
    return Pystemd()
