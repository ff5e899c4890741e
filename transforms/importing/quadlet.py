"""Podman quadlets (podman-systemd.unit(5)) → services that run podman as quadlet's generator would run it.

``.container`` files become services. A ``.volume`` or ``.network`` that says nothing but its name needs no unit of its
own: podman makes the volume when it is used, and the service makes the network. Anything else is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Where
from ordain.transforms.importing import unit_files, unit_reader
from ordain.transforms.importing.draft import Imported, Source
from ordain.transforms.importing.unit_files import Unit
from ordain.transforms.importing.unit_reader import Assignment
from ordain.transforms.systemd import quoting, splitting, unit_name, values
from ordain.transforms.systemd.encode import EncodeError

PODMAN = "/usr/bin/podman"
TYPES = ("container", "volume", "network", "pod", "kube", "image", "build")

ONE = {
    "CgroupsMode": "--cgroups", "Entrypoint": "--entrypoint", "HostName": "--hostname", "IP": "--ip", "IP6": "--ip6",
    "LogDriver": "--log-driver", "Memory": "--memory", "PidsLimit": "--pids-limit", "Pull": "--pull",
    "Retry": "--retry", "RetryDelay": "--retry-delay", "ShmSize": "--shm-size", "StopSignal": "--stop-signal",
    "StopTimeout": "--stop-timeout", "SubGIDMap": "--subgidname", "SubUIDMap": "--subuidname", "Timezone": "--tz",
    "UserNS": "--userns", "WorkingDir": "--workdir", "HealthCmd": "--health-cmd", "HealthInterval": "--health-interval",
    "HealthOnFailure": "--health-on-failure", "HealthRetries": "--health-retries",
    "HealthStartPeriod": "--health-start-period", "HealthTimeout": "--health-timeout",
    "HealthStartupCmd": "--health-startup-cmd", "HealthStartupInterval": "--health-startup-interval",
    "HealthStartupRetries": "--health-startup-retries", "HealthStartupSuccess": "--health-startup-success",
    "HealthStartupTimeout": "--health-startup-timeout",
}  # fmt: skip
MANY = {
    "AddDevice": "--device", "AddHost": "--add-host", "DNS": "--dns", "DNSOption": "--dns-option",
    "DNSSearch": "--dns-search", "EnvironmentFile": "--env-file", "ExposeHostPort": "--expose",
    "GIDMap": "--gidmap", "GroupAdd": "--group-add", "LogOpt": "--log-opt", "NetworkAlias": "--network-alias",
    "PublishPort": "--publish", "Secret": "--secret", "Tmpfs": "--tmpfs", "UIDMap": "--uidmap", "Ulimit": "--ulimit",
}  # fmt: skip
WORDS = {
    "AddCapability": "--cap-add", "Annotation": "--annotation", "DropCapability": "--cap-drop", "Environment": "--env",
    "Label": "--label", "Mask": "--security-opt=mask", "Sysctl": "--sysctl", "Unmask": "--security-opt=unmask",
}  # fmt: skip
FLAGS = {"EnvironmentHost": "--env-host", "ReadOnly": "--read-only", "RunInit": "--init", "HttpProxy": "--http-proxy"}
SECURITY = {
    "NoNewPrivileges": "no-new-privileges", "SecurityLabelDisable": "label=disable",
    "SecurityLabelNested": "label=nested",
}  # fmt: skip
LABELS = {
    "SeccompProfile": "seccomp", "SecurityLabelFileType": "label=filetype", "SecurityLabelLevel": "label=level",
    "SecurityLabelType": "label=type", "AppArmor": "apparmor",
}  # fmt: skip
SERVICE = {
    "Type": "notify", "NotifyAccess": "all", "KillMode": "mixed", "Delegate": "yes", "SyslogIdentifier": "{name}",
}  # fmt: skip
"""What quadlet says in [Service] unless the file does."""


def carry(sources: Iterable[Source], names: Names, imported: Imported) -> None:
    """Puts every container of ``sources`` into ``imported``."""
    read = {source.name: (source, _read(source, imported)) for source in sources}
    objects: dict[str, str] = {}
    for name, (source, assignments) in read.items():
        kind = name.rpartition(".")[2]
        if kind in {"volume", "network"}:
            objects[name] = _object(source, kind, assignments, imported)
        elif kind != "container":
            hint = f"keep it for quadlet, or write a service with `command: {PODMAN} …`"
            imported.lost(Where(path=source.path), f"a .{kind} quadlet", hint)
    containers = [_Container(source, found, objects, imported) for source, found in read.values()]
    made = [unit for one in containers if one.source.name.endswith(".container") if (unit := one.unit())]
    unit_files.carry(made, names, imported)


def _read(source: Source, imported: Imported) -> tuple[Assignment, ...]:
    """All assignments; those that systemd itself reads are held to what it takes."""
    section = source.name.rpartition(".")[2].capitalize()
    own = tuple(unit_reader.assignments(source, imported))
    return tuple(
        one for one in own if one.section in {section, "Quadlet"} or unit_reader.holds("x.service", one, imported)
    )


def _object(source: Source, kind: str, assignments: Iterable[Assignment], imported: Imported) -> str:
    """The name podman knows a volume or network by."""
    name = f"systemd-{source.stem}"
    for one in assignments:
        if (one.section, one.key) == (kind.capitalize(), f"{kind.capitalize()}Name"):
            name = one.value
        elif one.section == kind.capitalize():
            hint = f"make it once: `podman {kind} create` has an option for it"
            imported.lost(one.where, f"{one.key}= of {source.name}", hint)
    return name


class _Container:
    def __init__(
        self, source: Source, assignments: tuple[Assignment, ...], objects: Mapping[str, str], imported: Imported
    ) -> None:
        self.source, self.objects, self.imported = source, objects, imported
        self.name = source.stem
        self.container = f"systemd-{self.name}"
        self.rest = [one for one in assignments if one.section not in {"Container", "Quadlet"}]
        self.own = [one for one in assignments if one.section == "Container"]
        self.arguments: list[str] = []
        self.globals: list[str] = []
        self.extra: list[str] = []
        self.command: list[str] = []
        self.image = ""
        self.notify = "conmon"
        self.cgroups = True
        self.mounts: list[str] = []
        self.networks: list[str] = []

    def unit(self) -> Unit | None:
        """The service, in the words of quadlet's generator; None without an image."""
        where = Where(path=self.source.path)
        unit = f"{self.name}.service"
        if not unit_name.is_valid(unit):
            self.imported.lost(where, f"{unit!r} is no name of a unit", "rename the file")
            return None
        for one in self.own:
            try:
                self.key(one)
            except EncodeError as error:
                self.imported.lost(one.where, f"{one.key}=: {error.what}", error.hint)
        if not self.image:
            self.imported.lost(where, "a container without Image=", "name one")
            return None
        return Unit(
            name=unit,
            where=where,
            comment=self.source.path,
            assignments=(*self.defaults(where), *self.rest, *self.commands(where)),
        )

    def defaults(self, where: Where) -> Iterator[Assignment]:
        said = {(one.section, one.key) for one in self.rest}
        yield _assign(where, "Unit", "Wants", "network-online.target")
        yield _assign(where, "Unit", "After", "network-online.target")
        for path in self.mounts:
            yield _assign(where, "Unit", "RequiresMountsFor", path)
        for key, value in SERVICE.items():
            if ("Service", key) not in said or key == "Type":
                yield _assign(where, "Service", key, value.format(name=self.name))

    def commands(self, where: Where) -> Iterator[Assignment]:
        for network in self.networks:
            yield self.run(where, "ExecStartPre", ["network", "create", "--ignore", network])
        run = [*self.globals, "run", f"--name={self.container}", "--replace", "--rm"]
        run += ["--cgroups=split"] if self.cgroups else []
        run += [f"--sdnotify={self.notify}", "--detach", *self.arguments, *self.extra, self.image, *self.command]
        yield self.run(where, "ExecStart", run)
        remove = ["rm", "--volumes", "--force", "--ignore", self.container]
        yield self.run(where, "ExecStop", remove)
        yield self.run(where, "ExecStopPost", remove, "-")

    def run(self, where: Where, key: str, arguments: Iterable[str], prefix: str = "") -> Assignment:
        """A command of podman. Specifiers and variables in it mean what systemd makes of them, as with quadlet."""
        text = " ".join([PODMAN, *map(_word, arguments)])
        return _assign(where, "Service", key, prefix + text)

    def key(self, one: Assignment) -> None:
        key, value = one.key, one.value
        if key in {"Image", "ContainerName", "Exec", "Entrypoint"} and not value:
            raise EncodeError("it is empty", "remove the line")
        if key == "Image":
            if value.endswith((".image", ".build")):
                raise EncodeError(f"{value} is another quadlet", "name the image itself")
            self.image = value
        elif key == "ContainerName":
            self.container = value
        elif key == "Exec":
            self.command = [*splitting.split(value, unescape=True)]
        elif key in {"PodmanArgs", "GlobalArgs"}:
            (self.extra if key == "PodmanArgs" else self.globals).extend(splitting.split(value, unescape=True))
        elif key == "Network":
            self.network(value)
        elif key == "Volume":
            self.volume(value)
        elif key == "Mount":
            self.arguments.append(f"--mount={value}")
        elif key == "Notify":
            self.notify = value if value == "healthy" else ("container" if values.boolean(value) else "conmon")
        elif key == "AutoUpdate":
            self.arguments.append(f"--label=io.containers.autoupdate={value}")
        elif key == "CgroupsMode":
            self.cgroups = False
            self.arguments.append(f"--cgroups={value}")
        elif key in {"User", "Group"}:
            self.user(key, value)
        elif ONE.get(key):
            self.arguments.append(f"{ONE[key]}={value}")
        elif key in MANY:
            if key == "EnvironmentFile" and not value.startswith(("/", "%")):
                raise EncodeError(f"{value!r} lies beside the quadlet", "write an absolute path")
            self.arguments.append(f"{MANY[key]}={value}")
        elif key in WORDS:
            self.arguments += [f"{WORDS[key]}={word}" for word in splitting.split(value, unescape=True)]
        elif key in FLAGS:
            self.arguments.append(f"{FLAGS[key]}={str(values.boolean(value)).lower()}")
        elif key in SECURITY:
            self.arguments += [f"--security-opt={SECURITY[key]}"] if values.boolean(value) else []
        elif key in LABELS:
            self.arguments.append(f"--security-opt={LABELS[key]}{'=' if '=' not in LABELS[key] else ':'}{value}")
        else:
            raise EncodeError("not understood", "`podman run --help` may have an option: PodmanArgs= takes any")

    def user(self, key: str, value: str) -> None:
        """User= and Group= make one option."""
        at = next((i for i, word in enumerate(self.arguments) if word.startswith("--user=")), None)
        if key == "User":
            group = self.arguments.pop(at).partition(":")[2] if at is not None else ""
            self.arguments.append(f"--user={value}{':' if group else ''}{group}")
        else:
            user = self.arguments.pop(at).partition("=")[2] if at is not None else ""
            self.arguments.append(f"--user={user}:{value}")

    def network(self, value: str) -> None:
        name, colon, options = value.partition(":")
        if name.endswith(".network"):
            if name not in self.objects:
                raise EncodeError(f"{name} is not there", f"import {name}, too")
            name = self.objects[name]
            self.networks.append(name)
        elif name.endswith((".container", ".pod")):
            raise EncodeError(f"{name} is another quadlet", "name the container: container:systemd-NAME")
        self.arguments.append(f"--network={name}{colon}{options}")

    def volume(self, value: str) -> None:
        source, colon, rest = value.partition(":")
        if colon and source.endswith(".volume"):
            if source not in self.objects:
                raise EncodeError(f"{source} is not there", f"import {source}, too")
            source = self.objects[source]
        elif colon and source.startswith("."):
            raise EncodeError(f"{source!r} lies beside the quadlet", "write an absolute path")
        elif colon and source.startswith("/"):
            self.mounts.append(quoting.quoted_word(source, specifiers=False))
        self.arguments.append(f"--volume={source}{colon}{rest}")


def _assign(where: Where, section: str, key: str, value: str) -> Assignment:
    return Assignment(where=where, section=section, key=key, value=value)


def _word(text: str) -> str:
    """One word of a command line, in which specifiers and variables keep their meaning."""
    if re.fullmatch(r"[A-Za-z0-9_./:=@,+%${}-]+", text):
        return text
    return quoting.c_word(text, specifiers=False)
