"""Tables of the distribution's units that an exclusive boot keeps, and of those that it removes only when told to.

`exclusive_boot` and the agent read them. A machine need not have all these units. Sources: bootup(7),
systemd.special(7), and booted Debian 12 and 13.
"""

from __future__ import annotations

BOOT_ITEM = "boot"
"""The item whose members are the units that an exclusive boot does not start."""
REPLACED = ("basic.target", "default.target")
"""Targets that we replace. Every machine has them, so that no change starts, stops or restarts them."""

KEEP = {
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
"""Sockets, paths and timers of basic.target that stay, with their purpose."""

ROOTS = (
    "sysinit.target", "local-fs.target", "remote-fs.target", "getty.target", "slices.target", "ordain.target",
    "systemd-logind.service", "systemd-user-sessions.service",
    "ordain-agent.service", "ordain-fallback.service", "ordain-services.target",
)  # fmt: skip
"""The other units of the distribution that an exclusive boot starts, because units/ordain.target wants them.

Everything that these units need stays too.
"""

NETWORK = (
    "NetworkManager.service", "networking.service", "systemd-networkd.service", "connman.service",
    "network.service", "wicked.service", "dhcpcd.service", "netplan.service",
)  # fmt: skip
LOGIN = ("ssh.service", "ssh.socket", "sshd.service", "sshd.socket", "dropbear.service")

LIFELINES = dict.fromkeys(NETWORK, "brings up the network") | dict.fromkeys(LOGIN, "lets administrators log in")
"""Units without which a machine may become unreachable, so that the documents must decide about them."""
