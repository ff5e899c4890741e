"""What exclusive mode leaves of the distribution, and what it asks about before it takes it away: tables.

Read by `exclusive`, and by the agent. Names that a machine does not have do no harm. Sources: bootup(7),
systemd.special(7), and booted Debian 12 and 13.
"""

from __future__ import annotations

ITEM = "boot"
"""The item of the documents whose members are kept out."""
REPLACED = ("basic.target", "default.target")
"""Targets that every machine has, whatever stands here: never started, stopped nor restarted for what they say."""

KEEP = {
    "dbus.socket": "the message bus, by which PID 1 and the agent are asked",
    "systemd-journald.socket": "the journal",
    "systemd-journald-dev-log.socket": "the journal: /dev/log",
    "systemd-journald-audit.socket": "the journal: audit records",
    "systemd-udevd-control.socket": "devices",
    "systemd-udevd-kernel.socket": "devices: events of the kernel",
    "systemd-initctl.socket": "shutdown and reboot by old tools",
    "systemd-creds.socket": "decrypting credentials (256)",
    "systemd-coredump.socket": "what is left of a crash",
    "systemd-ask-password-console.path": "passwords of encrypted disks, on the console",
    "systemd-ask-password-wall.path": "passwords of encrypted disks, on other terminals",
    "systemd-tmpfiles-clean.timer": "/tmp and /var/tmp do not fill up",
}
"""Sockets, paths and timers of basic.target that stay, and what for."""

ROOTS = (
    "sysinit.target", "local-fs.target", "remote-fs.target", "getty.target", "slices.target", "ordain.target",
    "systemd-logind.service", "systemd-user-sessions.service",
    "ordain-agent.service", "ordain-fallback.service", "ordain-services.target",
)  # fmt: skip
"""What an exclusive boot starts besides, as units/ordain.target says it; whatever these need stays too."""

NETWORK = (
    "NetworkManager.service", "networking.service", "systemd-networkd.service", "connman.service",
    "network.service", "wicked.service", "dhcpcd.service", "netplan.service",
)  # fmt: skip
LOGIN = ("ssh.service", "ssh.socket", "sshd.service", "sshd.socket", "dropbear.service")

LIFELINES = dict.fromkeys(NETWORK, "brings up the network") | dict.fromkeys(LOGIN, "lets admins in")
"""Units of a distribution without which a machine may be out of reach: documents must say what becomes of them."""
