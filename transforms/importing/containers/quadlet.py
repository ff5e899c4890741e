"""Podman quadlets (podman-systemd.unit(5)) as services that run podman in the same way as quadlet's generator.

``.container`` files become services, which also make the volumes and networks that they use (`quadlet_objects`). So do
``.pod``, ``.build``, ``.image`` and ``.kube`` files (`quadlet_units`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Where
from ordain.transforms.importing.containers.podman_command import implied, podman, unquoted
from ordain.transforms.importing.containers.quadlet_objects import PodmanObject, podman_object
from ordain.transforms.importing.containers.quadlet_references import References
from ordain.transforms.importing.containers.quadlet_units import HAVE_SERVICES, QuadletService, service, service_of
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.units import unit_assignments, unit_files
from ordain.transforms.importing.units.unit_assignments import Assignment
from ordain.transforms.importing.units.unit_files import ImportedUnit
from ordain.transforms.systemd import splitting, unit_name, values
from ordain.transforms.systemd.encode import EncodeError

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
    "HealthStartupTimeout": "--health-startup-timeout", "HealthLogDestination": "--health-log-destination",
    "HealthMaxLogCount": "--health-max-log-count", "HealthMaxLogSize": "--health-max-log-size",
}  # fmt: skip
"""Options for the last assignment of a key."""
LISTS = {
    "AddHost": "--add-host", "DNS": "--dns", "DNSOption": "--dns-option", "DNSSearch": "--dns-search",
    "ExposeHostPort": "--expose", "GroupAdd": "--group-add", "NetworkAlias": "--network-alias",
    "PublishPort": "--publish", "Tmpfs": "--tmpfs", "Ulimit": "--ulimit",
}  # fmt: skip
"""Options for every assignment of a key, up to an empty one."""
WORDS = {
    "Annotation": "--annotation", "Environment": "--env", "Label": "--label", "LogOpt": "--log-opt",
    "Mask": "--security-opt=mask", "Secret": "--secret", "Unmask": "--security-opt=unmask",
}  # fmt: skip
"""Options for every word of a key."""
PLAIN_WORDS = {
    "AddCapability": "--cap-add", "DropCapability": "--cap-drop", "GIDMap": "--gidmap", "Sysctl": "--sysctl",
    "UIDMap": "--uidmap",
}  # fmt: skip
"""Options for every word of a key, in which backslashes are kept."""
FLAGS = {
    "EnvironmentHost": "--env-host", "HttpProxy": "--http-proxy", "ReadOnly": "--read-only",
    "ReadOnlyTmpfs": "--read-only-tmpfs", "RunInit": "--init",
}  # fmt: skip
SECURITY_FLAGS = {
    "NoNewPrivileges": "no-new-privileges", "SecurityLabelDisable": "label=disable",
    "SecurityLabelNested": "label=nested",
}  # fmt: skip
SECURITY_VALUES = {
    "SeccompProfile": "seccomp", "SecurityLabelFileType": "label=filetype", "SecurityLabelLevel": "label=level",
    "SecurityLabelType": "label=type", "AppArmor": "apparmor",
}  # fmt: skip
REMAP = frozenset({"RemapUsers", "RemapUid", "RemapGid", "RemapUidSize"})
EXPLICIT_MAPS = frozenset({"UserNS", "UIDMap", "GIDMap", "SubUIDMap", "SubGIDMap"})
"""Keys that cannot be together with those of `REMAP`."""
DEPENDENCIES = frozenset(
    "After Before BindsTo Conflicts OnFailure OnSuccess PartOf PropagatesReloadTo PropagatesStopTo "
    "ReloadPropagatedFrom Requires Requisite StopPropagatedFrom Upholds Wants".split()
)
"""Keys of [Unit] in which a quadlet stands for its unit."""
MADE_BY_CONTAINER = frozenset({"volume", "network"})
"""Types of quadlets that need no unit: podman and the service of a container make them."""


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add every container in ``files`` to ``draft``."""
    files = tuple(files)
    read: dict[str, _Read] = {}
    for file in sorted(files, key=lambda file: (is_drop_in(file), file.name)):
        name = quadlet_of(file)
        if not is_drop_in(file) and name in read:
            what = f"there is a second {name}; the first is {read[name][0].path}"
            draft.not_converted(Where(path=file.path), what, "import this file alone")
        elif is_drop_in(file) and name not in read:
            draft.not_converted(Where(path=file.path), f"{name} is not in this import", f"import {name}, too")
        else:
            first, assignments = read.get(name, (file, ()))
            read[name] = (first, (*assignments, *_read(name, file, draft)))
    objects: dict[str, PodmanObject] = {}
    services: dict[str, QuadletService] = {}
    containers: dict[str, _Container] = {}
    for name, (file, assignments) in read.items():
        kind = name.rpartition(".")[2]
        if kind in MADE_BY_CONTAINER:
            objects[name] = podman_object(file, kind, assignments, draft)
        elif kind == "container":
            containers[name] = _Container(file, assignments, objects, containers, services, draft)
    own_units = {name: container.unit_name for name, container in containers.items()}
    for name, (file, assignments) in read.items():
        kind = name.rpartition(".")[2]
        if kind in HAVE_SERVICES:
            own_units[name] = service_of(kind, file.stem, assignments)
    used: set[str] = set()
    for name, (file, assignments) in read.items():
        kind = name.rpartition(".")[2]
        if kind in HAVE_SERVICES:
            own = (made for a in assignments if (made := with_units(a, own_units, draft)))
            references = References(file, objects)
            members = [container.unit_name for container in containers.values() if container.starts_with(name)]
            if quadlet := service(kind, own, references, members, draft):
                services[name] = quadlet
            used |= references.used.keys()
    units = [unit for container in containers.values() if (unit := container.unit(own_units))]
    units += [made.unit for made in services.values()]
    used |= {name for container in containers.values() for name in container.references.used}
    for name in objects:
        if name not in used:
            where = Where(path=read[name][0].path)
            draft.not_converted(where, "nothing in this import uses it", "import its container, too")
    unit_files.convert(units, names, draft)


def with_units(assignment: Assignment, units: Mapping[str, str], draft: DocumentDraft) -> Assignment | None:
    """Return a dependency with ``units`` in place of quadlets, None if nothing of it is left."""
    if assignment.section != "Unit" or assignment.key not in DEPENDENCIES:
        return assignment
    names = []
    for word in assignment.value.split():
        kind = word.rpartition(".")[2]
        if kind not in TYPES or word in units:
            names.append(units.get(word, word))
        else:
            hint = f"import {word}, too"
            if kind in MADE_BY_CONTAINER:
                hint = "remove it: the service that uses it needs no other unit"
            draft.not_converted(assignment.where, f"{assignment.key}={word}", hint)
    if assignment.value and not names:
        return None
    made = replace(assignment, value=" ".join(names))
    return made if unit_assignments.is_convertible("x.service", made, draft) else None


def quadlet_of(file: InputFile) -> str:
    """Return the quadlet that a file, or a drop-in ``NAME.TYPE.d/….conf``, is named after, ``""`` if there is none."""
    for name in (file.name, file.folder.removesuffix(".d") if is_drop_in(file) else ""):
        stem, _, kind = name.rpartition(".")
        if stem and kind in TYPES:
            return name
    return ""


def is_drop_in(file: InputFile) -> bool:
    """Return whether a file is named like a drop-in."""
    return file.name.endswith(".conf") and file.folder.endswith(".d")


_Read = tuple[InputFile, tuple[Assignment, ...]]
"""A quadlet, and its assignments with those of its drop-ins."""


def _read(name: str, file: InputFile, draft: DocumentDraft) -> tuple[Assignment, ...]:
    """Return all assignments of quadlet's sections, and those of other sections that a document can hold."""
    section = name.rpartition(".")[2].capitalize()
    return tuple(
        assignment
        for assignment in tuple(unit_assignments.assignments(file, draft))
        if assignment.section in {section, "Quadlet"}
        or (assignment.section == "Unit" and assignment.key in DEPENDENCIES)  # which may name quadlets
        or unit_assignments.is_convertible("x.service", assignment, draft)
    )


class _Container:
    """A .container file as a command of podman."""

    def __init__(
        self,
        file: InputFile,
        assignments: tuple[Assignment, ...],
        objects: Mapping[str, PodmanObject],
        containers: Mapping[str, _Container],
        services: Mapping[str, QuadletService],
        draft: DocumentDraft,
    ) -> None:
        self.file, self.containers, self.draft = file, containers, draft
        self.services = services
        keys = {a.key: unquoted(a.value) for a in assignments if a.section == "Container"}
        self.name = keys.get("ServiceName", file.stem)
        self.template = self.name.endswith("@")
        self.container = keys.get("ContainerName") or (
            # Each instance of a template has a container of its own.
            "systemd-%p_%i" if "@" in self.name else f"systemd-{self.name}"
        )
        self.pod = keys.get("Pod", "")
        self.started_with_pod = keys.get("StartWithPod", "").lower() not in {"no", "false", "off", "0", "n", "f"}
        self.paths = [assignment.where.path for assignment in assignments]
        self.of_systemd = [a for a in assignments if a.section not in {"Container", "Quadlet"}]
        self.of_quadlet = _effective(a for a in assignments if a.section == "Container")
        self.of_generator = [a for a in assignments if a.section == "Quadlet"]
        self.type = "notify"
        self.online = True
        self.arguments: list[str] = []
        self.global_arguments: list[str] = []
        self.last_arguments: list[str] = []
        self.command: list[str] = []
        self.image = ""
        self.rootfs = ""
        self.reload: list[str] = []
        self.remap: dict[str, list[str]] = {}
        self.notify = "conmon"
        self.split_cgroups = True
        self.references = References(file, objects)
        self.requires: list[str] = []
        self.binds_to: list[str] = []

    @property
    def unit_name(self) -> str:
        """Return the name of its service."""
        return f"{self.name}.service"

    def starts_with(self, pod: str) -> bool:
        """Return whether the container is in the quadlet ``pod``, and starts with it."""
        return self.pod == pod and self.started_with_pod

    def unit(self, units: Mapping[str, str]) -> ImportedUnit | None:
        """Return the service that quadlet's generator would make, None without an image.

        ``units`` are those of the quadlets of this import, which dependencies may name.
        """
        where = Where(path=self.file.path)
        unit = self.unit_name
        if not unit_name.is_valid(unit):
            self.draft.not_converted(where, f"{unit!r} is not a valid name of a unit", "rename the file")
            return None
        if self.pod and self.pod not in self.services:
            what = f"the container is in the pod {self.pod}, which this import has not"
            self.draft.not_converted(where, what, f"import {self.pod}, too" if self.pod.endswith(".pod") else "")
            return None
        self.set_type()
        self.set_generator_keys()
        self.of_systemd = [made for a in self.of_systemd if (made := with_units(a, units, self.draft))]
        for assignment in self.of_quadlet:
            try:
                self.set(assignment.key, assignment.value)
            except EncodeError as error:
                self.draft.not_converted(assignment.where, f"{assignment.key}=: {error.what}", error.hint)
        self.set_remapping(where)
        if bool(self.image) == bool(self.rootfs):
            what = "the container has both Image= and Rootfs=" if self.image else "the container has no Image="
            self.draft.not_converted(where, what, "remove one" if self.image else "add it")
            return None
        return ImportedUnit(
            name=unit,
            where=where,
            comment="\n".join(dict.fromkeys([self.file.path, *self.paths])),
            assignments=(*self.defaults(where), *self.of_systemd, *self.commands(where)),
        )

    def set_type(self) -> None:
        """Take Type= and KillMode= out of the settings if quadlet refuses them."""
        for assignment in self.of_systemd:
            if assignment.place == KILL_MODE and assignment.value not in {"mixed", "control-group"}:
                what = f"KillMode={assignment.value}, which quadlet refuses, too: the service has mixed"
                self.draft.not_converted(assignment.where, what, "use control-group, or remove the line")
            if assignment.place == ("Service", "Type"):
                if assignment.value in {"notify", "oneshot"}:
                    self.type = assignment.value
                else:
                    what = f"Type={assignment.value}, which quadlet refuses, too: the service has the type notify"
                    self.draft.not_converted(assignment.where, what, "use oneshot, or remove the line")
        self.of_systemd = [
            a
            for a in self.of_systemd
            if a.place != ("Service", "Type") and (a.place != KILL_MODE or a.value in {"mixed", "control-group"})
        ]

    def set_generator_keys(self) -> None:
        for assignment in self.of_generator:
            try:
                if assignment.key != "DefaultDependencies":
                    raise ValueError("the key is not known")
                self.online = values.boolean(unquoted(assignment.value))
            except ValueError as error:
                self.draft.not_converted(assignment.where, f"[Quadlet] {assignment.key}=: {error}", "remove the line")

    def defaults(self, where: Where) -> Iterator[Assignment]:
        set_already = {assignment.place for assignment in self.of_systemd}
        if self.online:
            yield implied(where, "Unit", "Wants", "network-online.target")
            yield implied(where, "Unit", "After", "network-online.target")
        for unit in self.requires:
            yield implied(where, "Unit", "Requires", unit)
            yield implied(where, "Unit", "After", unit)
        for unit in self.binds_to:
            yield implied(where, "Unit", "BindsTo", unit)
            yield implied(where, "Unit", "After", unit)
        yield from self.references.mount_units(where)
        yield implied(where, "Service", "Type", self.type)
        # `podman auto-update` restarts the unit that this variable names.
        yield implied(where, "Service", "Environment", "PODMAN_SYSTEMD_UNIT=%n")
        defaults = {
            **({} if self.type == "oneshot" else {"NotifyAccess": "all"}),
            "KillMode": "mixed",
            "Delegate": "yes",
            "SyslogIdentifier": "%N" if self.template else self.name,
        }
        for key, value in defaults.items():
            if ("Service", key) not in set_already:
                yield implied(where, "Service", key, value)

    def commands(self, where: Where) -> Iterator[Assignment]:
        yield from self.references.commands(where)
        run = [*self.global_arguments, "run", f"--name={self.container}", "--replace", "--rm"]
        run += ["--cgroups=split"] if self.split_cgroups else []
        run += [] if self.type == "oneshot" else [f"--sdnotify={self.notify}", "--detach"]
        run += [*self.arguments, *self.last_arguments]
        root = [self.image] if self.image else ["--rootfs", self.rootfs]
        yield podman(where, "ExecStart", [*run, *root, *self.command])
        if self.reload:
            yield podman(where, "ExecReload", [*self.global_arguments, *self.reload])
        remove = [*self.global_arguments, "rm", "--volumes", "--force", "--ignore", self.container]
        yield podman(where, "ExecStop", remove)
        yield podman(where, "ExecStopPost", remove, "-")

    def set(self, key: str, value: str) -> None:
        """Set one key. Raises `EncodeError` if it cannot be converted."""
        if key in NOT_EMPTY and not value:
            raise EncodeError("the value is empty", "remove the line")
        if key not in _KEYS:
            hint = "`podman run --help` may have an option: PodmanArgs= takes any"
            raise EncodeError("the key is not known", hint)
        _KEYS[key](self, unquoted(value) if key in SINGLE else value)

    def set_image(self, value: str) -> None:
        self.image = self.image_of(value)

    def image_of(self, value: str) -> str:
        """Return an image, for a quadlet the one that its service pulls before. Raises `EncodeError`."""
        if value in self.services and self.services[value].image:
            self.requires.append(self.services[value].unit.name)
            return self.services[value].image
        if value.endswith((".image", ".build")):
            raise EncodeError(f"{value} is not in this import", f"import {value}, too, or name the image itself")
        if value.endswith(".artifact"):
            raise EncodeError(f"{value} is another quadlet", "name the image itself")
        return value

    def set_rootfs(self, value: str) -> None:
        self.rootfs = value

    def skip(self, value: str) -> None:
        """Do nothing: `__init__` has used the value."""

    def set_pod(self, value: str) -> None:
        pod = self.services[value]
        self.binds_to.append(pod.unit.name)
        self.last_arguments.append(f"--pod-id-file=%t/{pod.unit.name.removesuffix('.service')}.pod-id")

    def check_start_with_pod(self, value: str) -> None:
        values.boolean(value)
        if not self.pod:
            raise EncodeError("the container is in no pod", "remove the line")

    def set_reload_command(self, value: str) -> None:
        self.set_reload(["exec", self.container, *splitting.split(value, unescape=True)])

    def set_reload_signal(self, value: str) -> None:
        self.set_reload(["kill", f"--signal={value}", self.container])

    def set_reload(self, arguments: list[str]) -> None:
        if self.reload:
            raise EncodeError("ReloadCmd= and ReloadSignal= are both set, which quadlet refuses", "remove one")
        self.reload = arguments

    def set_volatile_tmp(self, value: str) -> None:
        flags = [a.value for a in self.of_quadlet if a.key == "ReadOnly"]
        if values.boolean(value) and not (flags and values.boolean(unquoted(flags[-1]))):
            self.arguments.append("--tmpfs=/tmp:rw,size=512M,mode=1777")

    def add_conf_module(self, value: str) -> None:
        self.global_arguments.insert(0, f"--module={value}")

    def add_remapping(self, key: str, value: str) -> None:
        self.remap.setdefault(key, []).extend(splitting.split(value, unescape=False))

    def set_remapping(self, where: Where) -> None:
        """Add the options for the deprecated keys Remap…=."""
        if not self.remap:
            return
        users, uids, gids, size = (
            self.remap.get(key, []) for key in ("RemapUsers", "RemapUid", "RemapGid", "RemapUidSize")
        )
        kind = users[-1] if users else ""
        single = len(uids) < 2 and len(gids) < 2
        if EXPLICIT_MAPS & {a.key for a in self.of_quadlet} or kind not in {"manual", "auto", "keep-id"}:
            what = "RemapUsers=, RemapUid= and RemapGid=, which quadlet refuses here, too"
            self.draft.not_converted(where, what, "use UserNS=, UIDMap= and GIDMap=")
        elif kind == "manual":
            self.arguments += [*(f"--uidmap={uid}" for uid in uids), *(f"--gidmap={gid}" for gid in gids)]
        elif kind == "keep-id" and not single:
            self.draft.not_converted(where, "RemapUsers=keep-id with several numbers", "write one RemapUid=")
        else:
            names = ("uidmapping", "gidmapping") if kind == "auto" else ("uid", "gid")
            options = [f"{name}={text}" for name, texts in zip(names, (uids, gids), strict=True) for text in texts]
            options += [f"size={size[-1]}"] if size and kind == "auto" else []
            self.arguments.append(f"--userns={kind}{':' if options else ''}{','.join(options)}")

    def set_exec(self, value: str) -> None:
        self.command = [*splitting.split(value, unescape=True)]

    def add_podman_arguments(self, value: str) -> None:
        self.last_arguments.extend(splitting.split(value, unescape=True))

    def add_global_arguments(self, value: str) -> None:
        self.global_arguments.extend(splitting.split(value, unescape=True))

    def set_notify(self, value: str) -> None:
        self.notify = "healthy" if value.lower() == "healthy" else ("container" if values.boolean(value) else "conmon")

    def set_auto_update(self, value: str) -> None:
        self.arguments.append(f"--label=io.containers.autoupdate={value}")

    def set_cgroups_mode(self, value: str) -> None:
        self.split_cgroups = False
        self.arguments.append(f"--cgroups={value}")

    def add_environment_file(self, value: str) -> None:
        for path in splitting.split(value, unescape=True):
            self.arguments.append(f"--env-file={self.references.absolute(path)}")

    def set_user(self, value: str) -> None:
        """Add the option --user, to which Group= may have added a group."""
        group = self.take_user_option().partition(":")[2]
        self.arguments.append(f"--user={value}{':' if group else ''}{group}")

    def set_group(self, value: str) -> None:
        if not any(assignment.key == "User" for assignment in self.of_quadlet):
            raise EncodeError("Group= without User= is refused by podman, too", "add User=")
        self.arguments.append(f"--user={self.take_user_option()}:{value}")

    def take_user_option(self) -> str:
        """Remove the option --user, and return its value, ``""`` if there is none."""
        at = next((i for i, word in enumerate(self.arguments) if word.startswith("--user=")), None)
        return self.arguments.pop(at).partition("=")[2] if at is not None else ""

    def add_network(self, value: str) -> None:
        if other := self.containers.get(value):
            self.requires.append(other.unit_name)
            self.arguments.append(f"--network=container:{other.container}")
        else:
            self.arguments.append(f"--network={self.references.network(value)}")

    def add_volume(self, value: str) -> None:
        self.arguments.append(f"--volume={self.references.volume(value)}")

    def add_mount(self, value: str) -> None:
        """Add every mount of a line. The source can be a quadlet, or a path."""
        for mount in splitting.split(value, unescape=True):
            parameters = next(csv.reader([mount]), [])
            kind = next((p.partition("=")[2] for p in parameters if p.startswith("type=")), "volume")
            sources = [p for p in parameters if p.partition("=")[0] in {"source", "src"} and p.partition("=")[2]]
            if kind in NEED_SOURCE and not sources:
                raise EncodeError(f"{mount} has no source, and podman refuses it, too", "add source=")
            resolved = [self.mount_parameter(kind, parameter) for parameter in parameters]
            line = io.StringIO()
            csv.writer(line, lineterminator="").writerow(resolved)
            self.arguments.append(f"--mount={line.getvalue()}")

    def mount_parameter(self, kind: str, parameter: str) -> str:
        name, equals, source = parameter.partition("=")
        if name not in {"source", "src"}:
            return parameter
        if source.endswith(".volume") and kind == "volume":
            source = self.references.object_name(source)
        elif kind == "image" or (source.endswith((".image", ".build", ".artifact")) and kind != "bind"):
            source = self.image_of(source)
        elif kind in {"bind", "glob"} and not source.startswith("%"):
            source = self.references.absolute(source)
            self.references.require_mounts(source)
        return f"{name}{equals}{source}"

    def add_device(self, value: str) -> None:
        for device in splitting.split(value, unescape=False):
            if device.startswith("-"):
                what = f"{device}: quadlet adds the device only on a machine that has it"
                raise EncodeError(what, f"write {device[1:]} without - if the machines have it")
            self.arguments.append(f"--device={device}")


_Set = Callable[[_Container, str], None]


def _option(option: str) -> _Set:
    return lambda container, value: container.arguments.append(f"{option}={value}")


def _option_for_each_word(option: str, *, unescape: bool) -> _Set:
    def add(container: _Container, value: str) -> None:
        container.arguments += [f"{option}={word}" for word in splitting.split(value, unescape=unescape)]

    return add


def _remapping(key: str) -> _Set:
    return lambda container, value: container.add_remapping(key, value)


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


def _effective(assignments: Iterable[Assignment]) -> list[Assignment]:
    """Return the assignments that count: the last of a key with one value, those after an empty one of a list."""
    effective: list[Assignment] = []
    for assignment in assignments:
        if not assignment.value or assignment.key in SINGLE:
            effective = [earlier for earlier in effective if earlier.key != assignment.key]
        if assignment.value or assignment.key in NOT_EMPTY or assignment.key not in _KEYS:
            effective.append(assignment)
    return effective


NEED_SOURCE = frozenset({"artifact", "bind", "glob", "image"})
"""Types of mounts that have a source always."""
KILL_MODE = ("Service", "KillMode")
NOT_EMPTY = frozenset({"Image", "ContainerName", "Exec", "Entrypoint"})
_KEYS: Mapping[str, _Set] = {
    **{key: _option(option) for key, option in (OPTIONS | LISTS).items()},
    **{key: _option_for_each_word(option, unescape=True) for key, option in WORDS.items()},
    **{key: _option_for_each_word(option, unescape=False) for key, option in PLAIN_WORDS.items()},
    **{key: _remapping(key) for key in REMAP},
    **{key: _boolean_option(option) for key, option in FLAGS.items()},
    **{key: _security_flag(option) for key, option in SECURITY_FLAGS.items()},
    **{key: _security_value(option) for key, option in SECURITY_VALUES.items()},
    "Image": _Container.set_image,
    "ContainerName": _Container.skip,
    "ServiceName": _Container.skip,
    "Rootfs": _Container.set_rootfs,
    "Pod": _Container.set_pod,
    "StartWithPod": _Container.check_start_with_pod,
    "ReloadCmd": _Container.set_reload_command,
    "ReloadSignal": _Container.set_reload_signal,
    "VolatileTmp": _Container.set_volatile_tmp,
    "ContainersConfModule": _Container.add_conf_module,
    "Exec": _Container.set_exec,
    "PodmanArgs": _Container.add_podman_arguments,
    "GlobalArgs": _Container.add_global_arguments,
    "Network": _Container.add_network,
    "Volume": _Container.add_volume,
    "Mount": _Container.add_mount,
    "AddDevice": _Container.add_device,
    "Notify": _Container.set_notify,
    "AutoUpdate": _Container.set_auto_update,
    "CgroupsMode": _Container.set_cgroups_mode,
    "EnvironmentFile": _Container.add_environment_file,
    "User": _Container.set_user,
    "Group": _Container.set_group,
}
"""The function that sets each key of [Container]."""
SINGLE = frozenset(
    {*OPTIONS, *FLAGS, *SECURITY_FLAGS, *SECURITY_VALUES, "Image", "ContainerName", "Notify", "AutoUpdate"}
    | {"CgroupsMode", "User", "Group", "ServiceName", "Rootfs", "Pod", "StartWithPod", "ReloadCmd", "ReloadSignal"}
    | {"VolatileTmp", "RemapUsers", "RemapUidSize"}
)
"""Keys with one value: the last assignment counts, and one pair of quotes around it is removed."""
