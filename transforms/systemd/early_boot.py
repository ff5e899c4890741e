"""The units of systemd's early boot."""

from __future__ import annotations

EARLY_BOOT = frozenset(
    """
    basic.target sysinit.target sockets.target timers.target paths.target slices.target swap.target
    local-fs.target local-fs-pre.target cryptsetup.target cryptsetup-pre.target integritysetup.target
    veritysetup.target network-pre.target network.target time-set.target systemd-udevd.service
    systemd-journald.service systemd-modules-load.service systemd-sysctl.service systemd-sysusers.service
    systemd-tmpfiles-setup.service systemd-networkd.service NetworkManager.service networking.service
    """.split()
)
"""Units that are reached or started before the agent starts services, where the machine has them (bootup(7))."""
