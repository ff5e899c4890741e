"""Paths of the files for the network and for kernel modules, which the agent reads too.

This module imports no renderer, so that the agent need not either.
"""

from __future__ import annotations

NETWORKD = "/run/systemd/network"
NETWORK_MANAGER = "/run/NetworkManager/system-connections"
IFUPDOWN = "/etc/network/interfaces.d/ordain"
"""One file for all interfaces; the other two are directories."""
MODULES_LOAD, MODPROBE = "/run/modules-load.d/ordain.conf", "/run/modprobe.d/ordain.conf"
