"""The units that every boot starts by itself."""

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

MAIN_BOOT = frozenset(
    """
    dbus.socket dbus.service dbus-broker.service systemd-logind.service systemd-user-sessions.service getty.target
    getty@tty1.service remote-fs.target systemd-journald.socket systemd-journald-dev-log.socket
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-tmpfiles-clean.timer
    """.split()
)
"""Units of systemd and of the message bus that basic.target or multi-user.target wants on every distribution."""
