"""Podman quadlets (podman-systemd.unit(5)) as services that run podman in the same way as quadlet's generator.

``.container`` files become services. A ``.volume`` or ``.network`` file that only sets the name needs no unit of its
own: podman creates a volume at its first use, and the service creates the network. All other files are problems.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Where
from ordain.transforms.importing import unit_assignments, unit_files
from ordain.transforms.importing.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.unit_assignments import Assignment
from ordain.transforms.importing.unit_files import ImportedUnit
from ordain.transforms.systemd import quoting, splitting, unit_name, values
from ordain.transforms.systemd.encode import EncodeError

PODMAN = "/usr/bin/podman"
TYPES = ("container", "volume", "network", "pod", "kube", "image", "build")

OPTIONS = {
    "Entrypoint": "--entrypoint", "HostName": "--hostname", "IP": "--ip", "IP6": "--ip6",
    "LogDriver": "--log-driver", "Memory": "--memory", "PidsLimit": "--pids-limit", "Pull": "--pull",
    "Retry": "--retry", "RetryDelay": "--retry-delay", "ShmSize": "--shm-size", "StopSignal": "--stop-signal",
    "StopTimeout": "--stop-timeout", "SubGIDMap": "--subgidname", "SubUIDMap": "--subuidname", "Timezone": "--tz",
    "UserNS": "--userns", "WorkingDir": "--workdir", "HealthCmd": "--health-cmd", "HealthInterval": "--health-interval",
    "HealthOnFailure": "--health-on-failure", "HealthRetries": "--health-retries",
    "HealthStartPeriod": "--health-start-period", "HealthTimeout": "--health-timeout",
    "HealthStartupCmd": "--health-startup-cmd", "HealthStartupInterval": "--health-startup-interval",
    "HealthStartupRetries": "--health-startup-retries", "HealthStartupSuccess": "--health-startup-success",
    "HealthStartupTimeout": "--health-startup-timeout",
    "AddDevice": "--device", "AddHost": "--add-host", "DNS": "--dns", "DNSOption": "--dns-option",
    "DNSSearch": "--dns-search", "ExposeHostPort": "--expose",
    "GIDMap": "--gidmap", "GroupAdd": "--group-add", "LogOpt": "--log-opt", "NetworkAlias": "--network-alias",
    "PublishPort": "--publish", "Secret": "--secret", "Tmpfs": "--tmpfs", "UIDMap": "--uidmap", "Ulimit": "--ulimit",
}  # fmt: skip
WORDS = {
    "AddCapability": "--cap-add", "Annotation": "--annotation", "DropCapability": "--cap-drop", "Environment": "--env",
    "Label": "--label", "Mask": "--security-opt=mask", "Sysctl": "--sysctl", "Unmask": "--security-opt=unmask",
}  # fmt: skip
FLAGS = {"EnvironmentHost": "--env-host", "ReadOnly": "--read-only", "RunInit": "--init", "HttpProxy": "--http-proxy"}
SECURITY_FLAGS = {
    "NoNewPrivileges": "no-new-privileges", "SecurityLabelDisable": "label=disable",
    "SecurityLabelNested": "label=nested",
}  # fmt: skip
SECURITY_VALUES = {
    "SeccompProfile": "seccomp", "SecurityLabelFileType": "label=filetype", "SecurityLabelLevel": "label=level",
    "SecurityLabelType": "label=type", "AppArmor": "apparmor",
}  # fmt: skip
SERVICE_DEFAULTS = {
    "Type": "notify", "NotifyAccess": "all", "KillMode": "mixed", "Delegate": "yes", "SyslogIdentifier": "{name}",
}  # fmt: skip
"""The settings that quadlet adds to [Service] if the file has none of the key; it always adds Type=."""


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add every container in ``files`` to ``draft``."""
    read = {file.name: (file, _read(file, draft)) for file in files}
    objects: dict[str, str] = {}
    for name, (file, assignments) in read.items():
        kind = name.rpartition(".")[2]
        if kind in {"volume", "network"}:
            objects[name] = _object_name(file, kind, assignments, draft)
        elif kind != "container":
            hint = f"keep it for quadlet, or write a service with `command: {PODMAN} …`"
            draft.not_converted(Where(path=file.path), f"a .{kind} quadlet", hint)
    containers = [
        _Container(file, assignments, objects, draft)
        for name, (file, assignments) in read.items()
        if name.endswith(".container")
    ]
    units = [unit for container in containers if (unit := container.unit())]
    unit_files.convert(units, names, draft)


def _read(file: InputFile, draft: DocumentDraft) -> tuple[Assignment, ...]:
    """Return all assignments of quadlet's sections, and those of other sections that a document can hold."""
    section = file.name.rpartition(".")[2].capitalize()
    return tuple(
        assignment
        for assignment in tuple(unit_assignments.assignments(file, draft))
        if assignment.section in {section, "Quadlet"} or unit_assignments.is_convertible("x.service", assignment, draft)
    )


def _object_name(file: InputFile, kind: str, assignments: Iterable[Assignment], draft: DocumentDraft) -> str:
    """Return the name of a volume or network in podman."""
    name = f"systemd-{file.stem}"
    for assignment in assignments:
        if assignment.place == (kind.capitalize(), f"{kind.capitalize()}Name"):
            name = assignment.value
        elif assignment.section == kind.capitalize():
            hint = f"create it once: `podman {kind} create` has an option for it"
            draft.not_converted(assignment.where, f"{assignment.key}= of {file.name}", hint)
    return name


class _Container:
    """A .container file as a command of podman."""

    def __init__(
        self, file: InputFile, assignments: tuple[Assignment, ...], objects: Mapping[str, str], draft: DocumentDraft
    ) -> None:
        self.file, self.objects, self.draft = file, objects, draft
        self.name = file.stem
        self.container = f"systemd-{self.name}"
        self.of_systemd = [a for a in assignments if a.section not in {"Container", "Quadlet"}]
        self.of_quadlet = [a for a in assignments if a.section == "Container"]
        self.arguments: list[str] = []
        self.global_arguments: list[str] = []
        self.last_arguments: list[str] = []
        self.command: list[str] = []
        self.image = ""
        self.notify = "conmon"
        self.split_cgroups = True
        self.mounts: list[str] = []
        self.networks: list[str] = []

    def unit(self) -> ImportedUnit | None:
        """Return the service that quadlet's generator would make, None without an image."""
        where = Where(path=self.file.path)
        unit = f"{self.name}.service"
        if not unit_name.is_valid(unit):
            self.draft.not_converted(where, f"{unit!r} is not a valid name of a unit", "rename the file")
            return None
        for assignment in self.of_quadlet:
            try:
                self.set(assignment.key, assignment.value)
            except EncodeError as error:
                self.draft.not_converted(assignment.where, f"{assignment.key}=: {error.what}", error.hint)
        if not self.image:
            self.draft.not_converted(where, "the container has no Image=", "add it")
            return None
        return ImportedUnit(
            name=unit,
            where=where,
            comment=self.file.path,
            assignments=(*self.defaults(where), *self.of_systemd, *self.commands(where)),
        )

    def defaults(self, where: Where) -> Iterator[Assignment]:
        set_already = {assignment.place for assignment in self.of_systemd}
        yield _assignment(where, "Unit", "Wants", "network-online.target")
        yield _assignment(where, "Unit", "After", "network-online.target")
        for path in self.mounts:
            yield _assignment(where, "Unit", "RequiresMountsFor", path)
        for key, value in SERVICE_DEFAULTS.items():
            if ("Service", key) not in set_already or key == "Type":
                yield _assignment(where, "Service", key, value.format(name=self.name))

    def commands(self, where: Where) -> Iterator[Assignment]:
        for network in self.networks:
            yield _podman(where, "ExecStartPre", ["network", "create", "--ignore", network])
        run = [*self.global_arguments, "run", f"--name={self.container}", "--replace", "--rm"]
        run += ["--cgroups=split"] if self.split_cgroups else []
        run += [f"--sdnotify={self.notify}", "--detach", *self.arguments, *self.last_arguments]
        yield _podman(where, "ExecStart", [*run, self.image, *self.command])
        remove = ["rm", "--volumes", "--force", "--ignore", self.container]
        yield _podman(where, "ExecStop", remove)
        yield _podman(where, "ExecStopPost", remove, "-")

    def set(self, key: str, value: str) -> None:
        """Set one key. Raises `EncodeError` if it cannot be converted."""
        if key in NOT_EMPTY and not value:
            raise EncodeError("the value is empty", "remove the line")
        if key not in _KEYS:
            raise EncodeError("the key is not known", "`podman run --help` may have an option: PodmanArgs= takes any")
        _KEYS[key](self, value)

    def set_image(self, value: str) -> None:
        if value.endswith((".image", ".build")):
            raise EncodeError(f"{value} is another quadlet", "name the image itself")
        self.image = value

    def set_container_name(self, value: str) -> None:
        self.container = value

    def set_exec(self, value: str) -> None:
        self.command = [*splitting.split(value, unescape=True)]

    def add_podman_arguments(self, value: str) -> None:
        self.last_arguments.extend(splitting.split(value, unescape=True))

    def add_global_arguments(self, value: str) -> None:
        self.global_arguments.extend(splitting.split(value, unescape=True))

    def set_notify(self, value: str) -> None:
        self.notify = value if value == "healthy" else ("container" if values.boolean(value) else "conmon")

    def set_auto_update(self, value: str) -> None:
        self.arguments.append(f"--label=io.containers.autoupdate={value}")

    def set_cgroups_mode(self, value: str) -> None:
        self.split_cgroups = False
        self.arguments.append(f"--cgroups={value}")

    def add_environment_file(self, value: str) -> None:
        if not value.startswith(("/", "%")):
            raise EncodeError(f"{value!r} is relative to the quadlet", "write an absolute path")
        self.arguments.append(f"--env-file={value}")

    def set_user(self, value: str) -> None:
        """Add the option --user, to which Group= may have added a group."""
        group = self.take_user_option().partition(":")[2]
        self.arguments.append(f"--user={value}{':' if group else ''}{group}")

    def set_group(self, value: str) -> None:
        self.arguments.append(f"--user={self.take_user_option()}:{value}")

    def take_user_option(self) -> str:
        """Remove the option --user, and return its value, ``""`` if there is none."""
        at = next((i for i, word in enumerate(self.arguments) if word.startswith("--user=")), None)
        return self.arguments.pop(at).partition("=")[2] if at is not None else ""

    def add_network(self, value: str) -> None:
        name, colon, options = value.partition(":")
        if name.endswith(".network"):
            name = self.object_name(name)
            self.networks.append(name)
        elif name.endswith((".container", ".pod")):
            raise EncodeError(f"{name} is another quadlet", "name the container: container:systemd-NAME")
        self.arguments.append(f"--network={name}{colon}{options}")

    def add_volume(self, value: str) -> None:
        source, colon, rest = value.partition(":")
        if colon and source.endswith(".volume"):
            source = self.object_name(source)
        elif colon and source.startswith("."):
            raise EncodeError(f"{source!r} is relative to the quadlet", "write an absolute path")
        elif colon and source.startswith("/"):
            self.mounts.append(quoting.quoted_word(source, specifiers=False))
        self.arguments.append(f"--volume={source}{colon}{rest}")

    def object_name(self, file: str) -> str:
        if file not in self.objects:
            raise EncodeError(f"{file} is not in this import", f"import {file}, too")
        return self.objects[file]


_Set = Callable[[_Container, str], None]


def _option(option: str) -> _Set:
    return lambda container, value: container.arguments.append(f"{option}={value}")


def _option_for_each_word(option: str) -> _Set:
    def add(container: _Container, value: str) -> None:
        container.arguments += [f"{option}={word}" for word in splitting.split(value, unescape=True)]

    return add


def _boolean_option(option: str) -> _Set:
    return lambda container, value: container.arguments.append(f"{option}={str(values.boolean(value)).lower()}")


def _security_flag(option: str) -> _Set:
    def add(container: _Container, value: str) -> None:
        container.arguments += [f"--security-opt={option}"] if values.boolean(value) else []

    return add


def _security_value(option: str) -> _Set:
    separator = ":" if "=" in option else "="
    return _prefixed(f"--security-opt={option}{separator}")


def _prefixed(prefix: str) -> _Set:
    return lambda container, value: container.arguments.append(f"{prefix}{value}")


NOT_EMPTY = frozenset({"Image", "ContainerName", "Exec", "Entrypoint"})
_KEYS: Mapping[str, _Set] = {
    **{key: _option(option) for key, option in OPTIONS.items()},
    **{key: _option_for_each_word(option) for key, option in WORDS.items()},
    **{key: _boolean_option(option) for key, option in FLAGS.items()},
    **{key: _security_flag(option) for key, option in SECURITY_FLAGS.items()},
    **{key: _security_value(option) for key, option in SECURITY_VALUES.items()},
    "Image": _Container.set_image,
    "ContainerName": _Container.set_container_name,
    "Exec": _Container.set_exec,
    "PodmanArgs": _Container.add_podman_arguments,
    "GlobalArgs": _Container.add_global_arguments,
    "Network": _Container.add_network,
    "Volume": _Container.add_volume,
    "Mount": _option("--mount"),
    "Notify": _Container.set_notify,
    "AutoUpdate": _Container.set_auto_update,
    "CgroupsMode": _Container.set_cgroups_mode,
    "EnvironmentFile": _Container.add_environment_file,
    "User": _Container.set_user,
    "Group": _Container.set_group,
}
"""The function that sets each key of [Container]."""


def _podman(where: Where, key: str, arguments: Iterable[str], prefix: str = "") -> Assignment:
    """Return a command of podman, in which specifiers and variables keep their meaning, as with quadlet."""
    return _assignment(where, "Service", key, prefix + " ".join([PODMAN, *map(_word, arguments)]))


def _assignment(where: Where, section: str, key: str, value: str) -> Assignment:
    return Assignment(where=where, section=section, key=key, value=value)


def _word(text: str) -> str:
    """Return one word of a command line, in which specifiers and variables keep their meaning."""
    if re.fullmatch(r"[A-Za-z0-9_./:=@,+%${}-]+", text):
        return text
    return quoting.c_word(text, specifiers=False)
