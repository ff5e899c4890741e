"""The keys of ``packages`` in documents, and of package managers, which are rows of the transformation database."""

from __future__ import annotations

from ordain.transforms.document.keys.scheduler_keys import text
from ordain.transforms.document.keys.shapes import Choice, CommandLine, Flag, Map, Record, Sequence, Set, Shape, String

PACKAGES = Set(
    "Packages, by a name of the transforms or by their own name on the system.",
    "a package name",
    "package-name",
    of=Record(
        {
            "state": Choice(
                ("present", "absent"),
                "present: it is installed. absent: it is removed if Ordain has installed it. Default: present.",
            ),
            "version": String(
                "Its version, or the beginning of one and `*`. Without it, any version will do, and none is upgraded.",
                "a version",
                "package-version",
                "1.22.*",
            ),
            "hold": Flag("Keep its version: the package manager does not upgrade it. Default: false."),
        },
        title="the keys of a package",
        shorthand="state",
    ),
    example="[htop, nginx]",
)

PACKAGE_NAMES = Map(
    Record(
        {"package": String("The package on this system.", "a package name", "package-name")},
        title="the name of a package on this system",
        shorthand="package",
    ),
    "Packages by their neutral names. The packages of `services` need no row here.",
    "a package name",
    "package-name",
)


def _command(about: str) -> CommandLine:
    return CommandLine(f"{about} A command that begins with - may fail.")


def _output(about: str) -> String:
    return text(about, "a regular expression", "regex")


_MANAGER: dict[str, Shape] = {
    "about": text("The package manager, for people."),
    "database": Sequence(
        String(title="an absolute path", format="path", template=False),
        "The files and directories that change with the list of installed packages, if they exist.",
        template=False,
    ),
    "environment": Map(text("", "a value"), "The environment of all its commands.", "a variable", "variable"),
    "in-root": CommandLine("The words in front of a command that works below the directory `{root}`."),
    "query": _command("Lists the installed packages."),
    "installed": _output("An installed package in that list, with the groups `name` and `version`."),
    "held": _output("A package in that list whose version is held, with the group `name`."),
    "broken": _output("A package in that list that is installed in part, with the group `name`."),
    "repair": _command("Finishes what was installed in part."),
    "refresh": _command("Fetches the lists of the repositories."),
    "preview-install": _command("Prints what `install` would do, and does nothing."),
    "preview-remove": _command("Prints what `remove` would do, and does nothing."),
    "changes": _output(
        "A line of a preview: a package with the groups `name` and `version`, after or together with `installing` or "
        "`removing`. The group `other` ends a list.",
    ),
    "install": _command("Installs `{packages}`. `{safe}`: it must remove no other package."),
    "remove": _command("Removes `{packages}`, and nothing else."),
    "hold": _command("Keeps the versions of `{packages}`."),
    "unhold": _command("Lets `{packages}` be upgraded again."),
    "versioned": text("A package in a version, with `{name}` and `{version}`. Without it, no version can be chosen."),
    "names": _output("A name that the manager takes as a package, and as nothing else. Without it, any name is one."),
    "naming": text("For people: where that goes which other managers or programs take in the name."),
    "busy": _output("The complaint that another process works with the packages: it is waited for."),
}

MANAGERS = Map(
    Record(_MANAGER, title="the keys of a package manager"),
    "Package managers: the commands of each, whose words are patterns.",
    "a package manager",
    "name",
)
MANAGER_OF_SYSTEM = Record(
    {"name": String("Its name in `package-managers`.", "a package manager", "name")},
    "The package manager of this system.",
)
