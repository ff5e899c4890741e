"""The units of systemd and of the distribution that Ordain knows by name, by their role in a boot.

Each table answers one question. A machine need not have all these units. Sources: bootup(7), systemd.special(7), and
booted Debian 12 and 13.

    STARTED_BEFORE_SERVICES    which units has a boot reached before the agent starts services?
    WANTED_BY_EVERY_BOOT       which others does each distribution start?
    NOT_REPLACEABLE            for which units may a document have drop-ins only?
    ENDS_SYSTEM                which ones does nothing start that starts with the machine?
    KEPT_TRIGGERS, KEPT_UNITS  which ones does an exclusive boot start, too?
    LIFELINES                  which ones must the documents of an exclusive boot decide about?
    PROTECTED                  which ones does no apply stop unasked?
"""

from __future__ import annotations

_MESSAGE_BUS = ("dbus.socket", "dbus.service", "dbus-broker.service")
_LOGINS = ("systemd-logind.service", "systemd-user-sessions.service", "getty.target")
_JOURNAL_SOCKETS = ("systemd-journald.socket", "systemd-journald-dev-log.socket")
_DEVICE_SOCKETS = ("systemd-udevd-control.socket", "systemd-udevd-kernel.socket")
_NETWORK_PROGRAMS = ("systemd-networkd.service", "NetworkManager.service", "networking.service")
_SSH_SERVERS = ("ssh.service", "ssh.socket", "sshd.service", "sshd.socket", "dropbear.service")

STARTED_BEFORE_SERVICES = frozenset(_NETWORK_PROGRAMS) | frozenset(
    """
    basic.target sysinit.target sockets.target timers.target paths.target slices.target swap.target
    local-fs.target local-fs-pre.target cryptsetup.target cryptsetup-pre.target integritysetup.target
    veritysetup.target network-pre.target network.target time-set.target systemd-udevd.service
    systemd-journald.service systemd-modules-load.service systemd-sysctl.service systemd-sysusers.service
    systemd-tmpfiles-setup.service
    """.split()
)
"""Units that are reached or started before the agent starts services, where the machine has them (bootup(7))."""

WANTED_BY_EVERY_BOOT = frozenset((*_MESSAGE_BUS, *_LOGINS, *_JOURNAL_SOCKETS, *_DEVICE_SOCKETS)) | frozenset(
    ("getty@tty1.service", "remote-fs.target", "systemd-tmpfiles-clean.timer")
)
"""Units of systemd and of the message bus that basic.target or multi-user.target wants on every distribution."""

NOT_REPLACEABLE = frozenset((*_MESSAGE_BUS, *_LOGINS, *_JOURNAL_SOCKETS, *_DEVICE_SOCKETS)) | frozenset(
    """
    -.mount -.slice init.scope system.slice basic.target sysinit.target default.target local-fs.target
    local-fs-pre.target emergency.target emergency.service rescue.target rescue.service shutdown.target
    umount.target final.target reboot.target poweroff.target halt.target multi-user.target
    graphical.target sockets.target timers.target paths.target slices.target systemd-journald.service
    systemd-udevd.service systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service
    systemd-remount-fs.service
    ordain-agent.service ordain-fallback.service ordain-services.target ordain-boot-attempt.service
    ordain-boot-good.service
    """.split()
)
"""Units that a machine needs to boot, to let users log in, or to be repaired. Drop-ins for them are allowed."""

ENDS_SYSTEM = frozenset(
    """
    reboot.target poweroff.target halt.target kexec.target soft-reboot.target shutdown.target final.target exit.target
    ctrl-alt-del.target systemd-reboot.service systemd-poweroff.service systemd-halt.service systemd-kexec.service
    systemd-soft-reboot.service
    """.split()
)
"""Units whose start ends the running system (systemd.special(7))."""

REPLACED_TARGETS = ("basic.target", "default.target")
"""Targets that we replace. Every machine has them, so that no change starts, stops or restarts them."""

KEPT_TRIGGERS = {
    "dbus.socket": "the message bus, for requests to PID 1 and the agent",
    "systemd-journald.socket": "the journal",
    "systemd-journald-dev-log.socket": "the journal: /dev/log",
    "systemd-journald-audit.socket": "the journal: audit records",
    "systemd-udevd-control.socket": "devices",
    "systemd-udevd-kernel.socket": "devices: events of the kernel",
    "systemd-initctl.socket": "shutdown and reboot by old tools",
    "systemd-creds.socket": "decrypting credentials (256)",
    "systemd-coredump.socket": "core dumps",
    "systemd-ask-password-console.path": "passwords of encrypted disks, on the console",
    "systemd-ask-password-wall.path": "passwords of encrypted disks, on other terminals",
    "systemd-tmpfiles-clean.timer": "keeps /tmp and /var/tmp from filling up",
}
"""Sockets, paths and timers of basic.target that an exclusive boot starts, with their purpose."""

KEPT_UNITS = (
    *("sysinit.target", "local-fs.target", "remote-fs.target", "slices.target", "ordain.target", *_LOGINS),
    *("ordain-agent.service", "ordain-fallback.service", "ordain-services.target", "ordain-files-remote.service"),
)
"""The other units that an exclusive boot starts, because units/ordain.target wants them.

Everything that these units need stays too.
"""

LIFELINES = dict.fromkeys(
    (*_NETWORK_PROGRAMS, "connman.service", "network.service", "wicked.service", "dhcpcd.service", "netplan.service"),
    "brings up the network",
) | dict.fromkeys(_SSH_SERVERS, "lets administrators log in")
"""Units without which a machine may become unreachable, so that the documents must decide about them."""

PROTECTED = {
    **dict.fromkeys(_MESSAGE_BUS, "the message bus"),
    "systemd-logind.service": "the login manager",
    "systemd-journald*": "the journal",
    "systemd-udevd*": "the device manager",
    "ordain-*": "Ordain itself",
    "systemd-networkd*": "the network",
    "NetworkManager.service": "the network",
    "networking.service": "the network",
    "wpa_supplicant*.service": "the network",
    "iwd.service": "the network",
    "-.mount": "the root file system",
    "usr.mount": "the system itself",
    "etc.mount": "the system itself",
    "run.mount": "the system itself",
    "var.mount": "the system itself",
    "init.scope": "PID 1",
    "user@*.service": "a session",
    "session-*.scope": "a session",
    "user-*.slice": "a session",
}
"""Patterns of names of units that nobody expects an apply to stop, with the role that a plan gives as the reason."""
