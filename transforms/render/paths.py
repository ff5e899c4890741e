"""Where others read what documents say; the agent goes by these paths too, and imports no renderer for them."""

from __future__ import annotations

NETWORKD = "/run/systemd/network"
NETWORK_MANAGER = "/run/NetworkManager/system-connections"
IFUPDOWN = "/etc/network/interfaces.d/ordain"
"""One file for all its interfaces; the other two are directories."""
MODULES_LOAD, MODPROBE = "/run/modules-load.d/ordain.conf", "/run/modprobe.d/ordain.conf"
