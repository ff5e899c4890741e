"""The document language as one table: every section and key, its shape, and a sentence about it.

`schema` makes the published JSON Schema from it, `reader` reads documents by it, and `reference` prints the reference
in docs/ from it. The packages above say what each key becomes on a machine.
"""

from __future__ import annotations

from ordain.transforms.document.keys.netboot_keys import NETBOOT
from ordain.transforms.document.keys.network_keys import NETWORK, RENDERER
from ordain.transforms.document.keys.package_keys import MANAGER_OF_SYSTEM, MANAGERS, PACKAGE_NAMES, PACKAGES
from ordain.transforms.document.keys.scheduler_keys import SECTIONS as RUN_SYSTEMS
from ordain.transforms.document.keys.secret_keys import SECRET
from ordain.transforms.document.keys.service_keys import FILE, PATH, RAW, SERVICE, path, span
from ordain.transforms.document.keys.setting_keys import SETTING, SETTINGS
from ordain.transforms.document.keys.shapes import (
    Choice,
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
from ordain.transforms.document.keys.transform_keys import MILESTONE_ROWS, ROLE_ROWS, SERVICE_ROWS, USER_ROWS

MOUNT = Record(
    {
        "what": String("The device, share or file system to mount.", "a device or source"),
        "type": String("The type of the file system.", "a file system type"),
        "options": Set("Mount options, each with a value or without.", "a mount option", of=MemberWord()),
        "state": Choice(("running", "stopped", "masked"), "Its desired state."),
        "automount": Flag("Mount it when it is first used."),
        "timeout": span("The longest time that mounting may take."),
    },
    title="the keys of a mount",
)

SWAP = Record(
    {
        "options": Set("Options, each with a value or without.", "an option", of=MemberWord()),
        "priority": Integer("Its priority; the swap with the highest is used first.", -1, 32767),
        "state": Choice(("running", "stopped", "masked"), "Its desired state."),
    },
    title="the keys of a swap",
)

USER = Record(
    {
        "uid": Integer("The number of the user. Default: a free one, from 59999 down; of a system user, below 1000."),
        "gid": Integer("The number of the main group."),
        "group": String("The main group.", "a group"),
        "groups": Set("Further groups.", "a group"),
        "home": path("The home directory."),
        "shell": path("The login shell."),
        "keys": Set("SSH public keys.", "an SSH public key"),
        "system": Flag("Make a system user. Accounts of known services (www, ldap) are, without this."),
        "state": Choice(("present", "absent"), "absent: the account is locked, so nobody can log in; its files stay."),
    },
    title="the keys of a user",
)

HOST = Record(
    {
        "hostname": String("The host name."),
        "timezone": String("The time zone, such as Europe/Berlin."),
        "locale": String("The locale, such as C.UTF-8."),
        "keymap": String("The keyboard layout of the console, such as de."),
        "time-servers": Sequence(String(), "NTP servers."),
    },
    title="the keys of the host",
)

BOOT = Record(
    {
        "mode": Choice(
            ("additive", "exclusive"),
            "additive: the distribution's own services start as usual. exclusive: only what the documents name starts.",
        ),
        "console": String("A terminal that always has a login, such as ttyS0."),
        "allow": Set("Units of the distribution that start in exclusive mode as well.", "a unit name", "unit-name"),
    },
    title="the keys of the boot",
)

SECTIONS: dict[str, Shape] = {
    "values": FreeForm("Values for templates, in any form."),
    "services": Map(SERVICE, "Services, your own and the distribution's.", "a service name", "service-name"),
    "mounts": Map(MOUNT, "File systems.", "a mount point", "path"),
    "swaps": Map(SWAP, "Swap devices and files.", "a device or file", "path"),
    "network": NETWORK,
    "users": Map(USER, "Users.", "a user name"),
    "groups": Map(
        Record(
            {
                "gid": Integer("The number of the group."),
                "system": Flag("Make a system group. Groups of known services are, without this."),
            }
        ),
        "Groups.",
        "a group name",
    ),
    "files": Map(FILE, "Files.", "an absolute path", "path"),
    "packages": PACKAGES,
    "secrets": Map(
        SECRET,
        "Secrets that only the machines can open for which `ordainctl secret seal` made them.",
        "a name",
        "credential-name",
    ),
    "sysctl": Map(String(), "Kernel parameters.", "a parameter"),
    "modules": Map(
        Record({"options": String("The options of the module."), "blacklist": Flag("Never load it.")}),
        "Kernel modules.",
        "a module",
    ),
    "host": HOST,
    "settings": SETTINGS,
    "boot": BOOT,
    "netboot": NETBOOT,
    "units": Map(
        RAW,
        "Whole units in systemd's own syntax. NAME.d is a drop-in; the section Install becomes links.",
        "a unit name, or a unit name with .d for a drop-in",
        "unit-or-drop-in",
    ),
}
"""The sections of a Layer and of a Node, which may also hold `labels`."""

TRANSFORM_SECTIONS: dict[str, Shape] = {
    "services": SERVICE_ROWS,
    "roles": ROLE_ROWS,
    "users": USER_ROWS,
    "milestones": MILESTONE_ROWS,
    "paths": Map(PATH, "Programs and files by their neutral names.", "a name"),
    "settings": Map(SETTING, "Settings: their types, and what this system writes for each.", "a setting", "name"),
    "network": Record({"renderer": RENDERER}, "The network service of this system."),
    "packages": PACKAGE_NAMES,
    "package-manager": MANAGER_OF_SYSTEM,
    "package-managers": MANAGERS,
    **RUN_SYSTEMS,
    "versions": Map(
        String(title="an os-release ID", template=False),
        "Systems that have the version numbers of another system, such as rocky: rhel.",
        "an os-release ID",
    ),
}
"""The sections of a Transform."""
