"""The rows of a Transform about services, accounts and milestones (docs/design/catalog.md)."""

from __future__ import annotations

from ordain.transforms.document.keys.shapes import CommandLine, Flag, Map, Record, Sequence, Set, String


def _unit(about: str, example: str = "") -> String:
    return String(about, "a unit name", "unit-name", example)


SERVICE_ROWS = Map(
    Record(
        {
            "unit": _unit("Its main unit on this system: settings and the check of its health are about this one."),
            "units": Set(
                "Its further units: they are started, stopped and masked with the main one.", "a unit name", "unit-name"
            ),
            "start": _unit("The unit that is started instead of `unit`, which it starts: a socket or a timer."),
            "instance": _unit("The template of its instances.", "openvpn-server@.service"),
            "socket": _unit("The socket unit that starts it, if there is one."),
            "package": String("The package that holds it.", "a package name"),
            "packages": Set("The further packages that it needs.", "a package name", "package-name"),
            "config": String("Its configuration directory.", "an absolute path", "path"),
            "reads": Sequence(
                String(title="a name, as of a shell"),
                "The names of the files that it reads in `config` by itself: `*.conf` for drop-ins, or its main files.",
            ),
            "check": CommandLine("The command that checks its configuration."),
            "log": String("Its log file, or with a trailing / the directory of its logs.", "an absolute path", "path"),
            "data": String("The directory of its data.", "an absolute path", "path"),
            "pid": String("The file with the number of its process.", "an absolute path", "path"),
            "user": String("The user that it runs as, by the neutral name.", "a user name"),
            "ports": Sequence(
                String(title="a port with its protocol", format="open-port", template=False),
                "The ports that it listens on with the configuration of its package.",
                "[80/tcp, 443/tcp]",
                template=False,
            ),
        },
        title="the keys of a service on this system",
    ),
    "Services by their neutral names.",
    "a service name",
    "service-name",
)

ROLE_ROWS = Map(
    Record(
        {
            "about": String("The purpose, for people.", template=False),
            "services": Sequence(
                String(title="a service name", format="service-name", template=False),
                "The services that can have the role.",
                template=False,
            ),
            "default": String(
                "The one that this system usually has: it has the role if none of them is installed, or several are.",
                "a service name",
                "service-name",
                template=False,
            ),
        },
        title="the keys of a role",
    ),
    "Roles, each with the services that can have it; the machine decides which one has.",
    "a role",
    "service-name",
)

USER_ROWS = Map(
    Record(
        {
            "name": String("Its name on this system."),
            "system": Flag("false: an account of people, who log in. Default: true, an account of a service."),
            "home": String("The home directory that its package gives it.", "an absolute path", "path"),
            "shell": String("The shell that its package gives it, if people can log in.", "an absolute path", "path"),
            "group": String("Its main group, if it has another name.", "a group"),
            "groups": Set("Further groups that its package adds it to.", "a group"),
            "sudo": Flag("false: a group of administrators to whom sudo's own configuration gives no rights."),
        },
        title="the keys of a user on this system",
        shorthand="name",
    ),
    "Users and groups by their neutral names.",
    "a user name",
)

MILESTONE_ROWS = Map(
    Record({"unit": _unit("Its unit on this system.")}, shorthand="unit"),
    "Milestones of the boot by their neutral names.",
    "a milestone",
)
