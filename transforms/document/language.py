"""The document language as one table: every section and key, its shape, and a sentence about it.

`schema` makes the published JSON Schema of it, `documents` reads documents by it, and the reference in docs/
is printed from it. What a key becomes on a machine is not said here.
"""

from __future__ import annotations

from ordain.transforms.document.network_keys import NETWORK, RENDERER
from ordain.transforms.document.service_keys import FILE, PATH, RAW, SERVICE, path, span
from ordain.transforms.document.shapes import (
    Choice,
    CommandLine,
    Flag,
    FreeForm,
    Integer,
    Map,
    MemberWord,
    Record,
    Sequence,
    Set,
    Shape,
    String,
)

MOUNT = Record(
    {
        "what": String("The device, share or file system to mount.", "a device or source"),
        "type": String("The file system.", "a file system type"),
        "options": Set("Mount options, each with a value or without.", "a mount option", of=MemberWord()),
        "state": Choice(("running", "stopped", "masked"), "What it should be."),
        "automount": Flag("Mounted when it is first used."),
        "timeout": span("How long mounting may take."),
    },
    title="the keys of a mount",
)

SWAP = Record(
    {
        "options": Set("Options, each with a value or without.", "an option", of=MemberWord()),
        "priority": Integer("Higher is used first.", -1, 32767),
        "state": Choice(("running", "stopped", "masked"), "What it should be."),
    },
    title="the keys of a swap",
)

USER = Record(
    {
        "uid": Integer("User number."),
        "gid": Integer("Group number."),
        "group": String("Main group.", "a group"),
        "groups": Set("Further groups.", "a group"),
        "home": path("Home directory."),
        "shell": path("Login shell."),
        "keys": Set("SSH public keys.", "an SSH public key"),
        "system": Flag("A system user."),
        "state": Choice(("present", "absent"), "absent locks it: nobody logs in, and no file of it goes."),
    },
    title="the keys of a user",
)

HOST = Record(
    {
        "hostname": String("The name of the machine."),
        "timezone": String("Such as Europe/Berlin."),
        "locale": String("Such as C.UTF-8."),
        "keymap": String("Such as de."),
        "time-servers": Sequence(String(), "NTP servers."),
    },
    title="the keys of the host",
)

BOOT = Record(
    {
        "mode": Choice(("additive", "exclusive"), "What becomes of the distribution's own services."),
        "console": String("The console that always works."),
        "allow": Set("Units of the distribution that exclusive mode lets in.", "a unit name", "unit-name"),
    },
    title="the keys of the boot",
)

SECTIONS: dict[str, Shape] = {
    "values": FreeForm("A free map that templates read."),
    "services": Map(SERVICE, "Services, ours and the distribution's.", "a service name", "service-name"),
    "mounts": Map(MOUNT, "File systems.", "a mount point", "path"),
    "swaps": Map(SWAP, "Swap devices and files.", "a device or file", "path"),
    "network": NETWORK,
    "users": Map(USER, "Users.", "a user name"),
    "groups": Map(
        Record({"gid": Integer("Group number."), "system": Flag("A system group.")}), "Groups.", "a group name"
    ),
    "files": Map(FILE, "Files.", "an absolute path", "path"),
    "sysctl": Map(String(), "Kernel parameters.", "a parameter"),
    "modules": Map(
        Record({"options": String("Module options."), "blacklist": Flag("Never loaded.")}),
        "Kernel modules.",
        "a module",
    ),
    "host": HOST,
    "boot": BOOT,
    "units": Map(
        RAW,
        "Whole units in systemd's own syntax; NAME.d is a drop-in; Install becomes links.",
        "a unit name, or a unit name with .d for a drop-in",
        "unit-or-drop-in",
    ),
}
"""What a Layer or a Node may hold, and a Node's labels besides."""

TRANSFORM_SECTIONS: dict[str, Shape] = {
    "services": Map(
        Record(
            {
                "unit": String("Its unit on this OS.", "a unit name", "unit-name"),
                "socket": String(
                    "The socket unit that starts it, where there is one.",
                    "a unit name",
                    "unit-name",
                ),
                "package": String("The package that brings it.", "a package name"),
                "config": String("Its configuration directory.", "an absolute path", "path"),
                "check": CommandLine("Checks its configuration."),
            },
            title="what a service is on this OS",
        ),
        "Services by their neutral names.",
        "a service name",
        "service-name",
    ),
    "users": Map(
        Record({"name": String("Its name on this OS.")}, shorthand="name"),
        "Users and groups by their neutral names.",
        "a user name",
    ),
    "milestones": Map(
        Record(
            {"unit": String("Its unit on this OS.", "a unit name", "unit-name")},
            shorthand="unit",
        ),
        "Points of the boot by their neutral names.",
        "a milestone",
    ),
    "paths": Map(PATH, "Programs and files by their neutral names.", "a name"),
    "network": Record({"renderer": RENDERER}, "What brings the network up on this OS."),
    "versions": Map(
        String(title="an os-release ID", template=False),
        "Which OS shares its version numbers with which (rocky: rhel).",
        "an os-release ID",
    ),
}
"""What a Transform may hold."""
