"""Paths of the files for the host, its kernel and its network, which the agent reads too.

This module imports no renderer, so that the agent need not either.
"""

from __future__ import annotations

HOST_ITEM = "host"
HOSTNAME, LOCALTIME = "/etc/hostname", "/etc/localtime"
HOST_KEYS = {HOSTNAME: "hostname", LOCALTIME: "timezone"}
"""The keys of the section `host` for the files in which no comment says what they are made from."""
SYSCTL = "/run/sysctl.d/99-q-ordain.conf"
"""systemd-sysctl reads the files of all directories by name, and the last assignment wins.

This name sorts after the distributions' files, such as 99-protect-links.conf, and before 99-sysctl.conf, a link to the
administrator's /etc/sysctl.conf.
"""
NETWORKD = "/run/systemd/network"
NETWORK_MANAGER = "/run/NetworkManager/system-connections"
IFUPDOWN = "/etc/network/interfaces.d/ordain"
"""One file for all interfaces; the other two are directories."""
MODULES_LOAD, MODPROBE = "/run/modules-load.d/ordain.conf", "/run/modprobe.d/ordain.conf"
