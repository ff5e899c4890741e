"""The quadlets .pod, .build, .image and .kube as services that run podman as those of quadlet's generator do."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ordain.transforms.errors import Where
from ordain.transforms.importing.containers.podman_command import implied, podman, unquoted
from ordain.transforms.importing.containers.quadlet_references import References
from ordain.transforms.importing.draft.document_draft import DocumentDraft
from ordain.transforms.importing.units.unit_assignments import Assignment
from ordain.transforms.importing.units.unit_files import ImportedUnit
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd import splitting, unit_name, values
from ordain.transforms.systemd.encode import EncodeError

HAVE_SERVICES = ("pod", "build", "image", "kube")
"""Types of quadlets with a service of their own, besides containers."""
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "pod": {
        "HostName": "--hostname", "IP": "--ip", "IP6": "--ip6", "ShmSize": "--shm-size", "SubGIDMap": "--subgidname",
        "SubUIDMap": "--subuidname", "UserNS": "--userns",
    },
    "build": {
        "Arch": "--arch", "AuthFile": "--authfile", "IgnoreFile": "--ignorefile", "Pull": "--pull", "Retry": "--retry",
        "RetryDelay": "--retry-delay", "Target": "--target", "Variant": "--variant",
    },
    "image": {
        "Arch": "--arch", "AuthFile": "--authfile", "CertDir": "--cert-dir", "Creds": "--creds",
        "DecryptionKey": "--decryption-key", "OS": "--os", "Policy": "--policy", "Retry": "--retry",
        "RetryDelay": "--retry-delay", "Variant": "--variant",
    },
    "kube": {
        "ExitCodePropagation": "--service-exit-code-propagation", "LogDriver": "--log-driver", "UserNS": "--userns",
    },
}  # fmt: skip
"""Options for the last assignment of a key."""
FLAGS: Mapping[str, Mapping[str, str]] = {
    "build": {"ForceRM": "--force-rm", "TLSVerify": "--tls-verify"},
    "image": {"AllTags": "--all-tags", "TLSVerify": "--tls-verify"},
}
LISTS: Mapping[str, Mapping[str, str]] = {
    "pod": {
        "AddHost": "--add-host", "DNS": "--dns", "DNSOption": "--dns-option", "DNSSearch": "--dns-search",
        "NetworkAlias": "--network-alias", "PublishPort": "--publish",
    },
    "build": {
        "DNS": "--dns", "DNSOption": "--dns-option", "DNSSearch": "--dns-search", "GroupAdd": "--group-add",
        "ImageTag": "--tag",
    },
    "kube": {"PublishPort": "--publish"},
}  # fmt: skip
"""Options for every assignment of a key."""
WORDS: Mapping[str, Mapping[str, str]] = {
    "pod": {"GIDMap": "--gidmap", "Label": "--label", "UIDMap": "--uidmap"},
    "build": {
        "Annotation": "--annotation", "BuildArg": "--build-arg", "Environment": "--env", "Label": "--label",
        "Secret": "--secret",
    },
    "kube": {"LogOpt": "--log-opt"},
}  # fmt: skip
"""Options for every word of a key."""
REQUIRED = {"pod": "", "build": "ImageTag", "image": "Image", "kube": "Yaml"}
DEFAULT_NAME = {"pod": "{}-pod", "build": "{}-build", "image": "{}-image", "kube": "{}"}
HELP = {"pod": "podman pod create", "build": "podman build", "image": "podman image pull", "kube": "podman kube play"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuadletService:
    """The service of a quadlet. ``image`` is the image that a .image pulls or a .build makes, as containers name it."""

    unit: ImportedUnit
    image: str = ""


@dataclass(slots=True)
class _Keys:
    """The assignments of the own section of a quadlet; those that are taken count as converted.

    ``working_directory`` is that of its section [Service], which goes before the directory of a file.
    """

    references: References
    draft: DocumentDraft
    by_key: dict[str, list[Assignment]] = field(default_factory=dict)
    working_directory: str = ""

    def all(self, key: str) -> list[str]:
        """Return the values of a key since the last empty one."""
        return [assignment.value for assignment in self.by_key.pop(key, ())]

    def peek(self, key: str) -> list[str]:
        """Return the values of a key, which something else takes."""
        return [assignment.value for assignment in self.by_key.get(key, ())]

    def last(self, key: str) -> str:
        return unquoted((self.all(key) or [""])[-1])

    def words(self, key: str) -> list[str]:
        return [word for value in self.all(key) for word in splitting.split(value, unescape=True)]

    def flag(self, key: str) -> bool | None:
        """Return a boolean, None if it is not set; one that is not a boolean is a problem."""
        if key not in self.by_key:
            return None
        where = self.by_key[key][-1].where
        try:
            return values.boolean(self.last(key))
        except EncodeError as error:
            self.draft.not_converted(where, f"{key}=: {error.what}", error.hint)
            return None


def service_of(kind: str, stem: str, assignments: Iterable[Assignment]) -> str:
    """Return the name of the service of a quadlet ``STEM.KIND``."""
    named = [a.value for a in assignments if a.place == (kind.capitalize(), "ServiceName")]
    return f"{unquoted((named or [''])[-1]) or DEFAULT_NAME[kind].format(stem)}.service"


def service(
    kind: str,
    assignments: Iterable[Assignment],
    references: References,
    members: Sequence[str],
    draft: DocumentDraft,
) -> QuadletService | None:
    """Return the service of a quadlet of type ``kind``, None if it has none; what it cannot have is a problem.

    ``references`` are those of its file; ``members`` are the services that start with a pod.
    """
    file = references.file
    where = Where(path=file.path)
    keys, own = _Keys(references, draft), list[Assignment]()
    online = True
    for assignment in assignments:
        if assignment.section == kind.capitalize() and assignment.value:
            keys.by_key.setdefault(assignment.key, []).append(assignment)
        elif assignment.section == kind.capitalize():
            keys.by_key.pop(assignment.key, None)
        elif assignment.place == ("Quadlet", "DefaultDependencies"):
            online = unquoted(assignment.value).lower() not in {"no", "false", "off", "0"}
        elif assignment.section == "Quadlet":
            draft.not_converted(
                assignment.where, f"[Quadlet] {assignment.key}=: the key is not known", "remove the line"
            )
        else:
            own.append(assignment)
            if assignment.place == ("Service", "WorkingDirectory"):
                keys.working_directory = assignment.value
    name = keys.last("ServiceName") or DEFAULT_NAME[kind].format(file.stem)
    image = unquoted((keys.peek("ImageTag") or keys.peek(REQUIRED[kind]) or [""])[0 if kind == "build" else -1])
    if (REQUIRED[kind] and not keys.peek(REQUIRED[kind])) or not unit_name.is_valid(f"{name}.service"):
        is_named = unit_name.is_valid(f"{name}.service")
        what = f"it has no {REQUIRED[kind]}=" if is_named else f"{name}.service is not a valid name of a unit"
        draft.not_converted(where, what, "add it" if is_named else "rename the file")
        return None
    try:
        lines = [*_COMMANDS[kind](keys, where)]
    except EncodeError as error:
        draft.not_converted(where, error.what, error.hint)
        return None
    for assignment in (one for ones in keys.by_key.values() for one in ones):
        hint = f"`{HELP[kind]} --help` may have an option: PodmanArgs="
        draft.not_converted(assignment.where, f"{assignment.key}= of {file.name}", hint)
    set_already = {assignment.place for assignment in own}
    network = [implied(where, "Unit", key, "network-online.target") for key in ("Wants", "After") if online]
    defaults = [line for line in lines if line.place not in set_already or line.key.startswith(("Exec", "Environment"))]
    network += references.mount_units(where)
    network += [implied(where, "Unit", key, member) for member in members for key in ("Wants", "Before")]
    defaults = [*references.commands(where), *defaults]
    unit = ImportedUnit(name=f"{name}.service", where=where, comment=file.path, assignments=(*network, *own, *defaults))
    return QuadletService(unit=unit, image=image)


def _pod(keys: _Keys, where: Where) -> Iterator[Assignment]:
    name = keys.last("PodName") or f"systemd-{keys.references.file.stem}"
    id_file = "--pod-id-file=%t/%N.pod-id"
    start = [*_start(keys), "pod"]
    policy, timeout = keys.last("ExitPolicy") or "stop", keys.last("StopTimeout") or "10"
    create = [*start, "create", "--infra-conmon-pidfile=%t/%N.pid", id_file, f"--exit-policy={policy}", "--replace"]
    create += [*_options("pod", keys), f"--infra-name={name}-infra", f"--name={name}", *keys.words("PodmanArgs")]
    yield podman(where, "ExecStartPre", create)
    yield podman(where, "ExecStart", [*start, "start", id_file])
    yield podman(where, "ExecStop", [*start, "stop", id_file, "--ignore", f"--time={timeout}"])
    yield podman(where, "ExecStopPost", [*start, "rm", id_file, "--ignore", "--force"])
    yield implied(where, "Service", "Environment", "PODMAN_SYSTEMD_UNIT=%n")
    for key, text in (("Type", "forking"), ("Restart", "on-failure"), ("PIDFile", "%t/%N.pid")):
        yield implied(where, "Service", key, text)
    yield implied(where, "Service", "SyslogIdentifier", "%N")


def _build(keys: _Keys, where: Where) -> Iterator[Assignment]:
    file, directory = keys.last("File"), keys.last("SetWorkingDirectory")
    by_keyword, context, own = {"file": file, "unit": keys.references.file.name}, "", ""
    if directory.lower() in by_keyword:
        own = _directory_of(keys, directory, by_keyword)
    elif directory:
        context = directory
        own = "" if context.startswith("/") or _URL.match(context) else _directory_of(keys, "unit", by_keyword)
    if not (context or own or file):
        raise EncodeError("it has neither File= nor SetWorkingDirectory=", "add one")
    if not context and not file.startswith("/") and not _URL.match(file):
        if not own:
            raise EncodeError(f"File={file} is relative, and there is no SetWorkingDirectory=", "add it, such as unit")
        context = keys.working_directory or own
    options = [*_options("build", keys), *([f"--file={file}"] if file else []), *keys.words("PodmanArgs")]
    if own:
        yield implied(where, "Service", "WorkingDirectory", own)
    yield podman(where, "ExecStart", [*_start(keys), "build", *options, *([context] if context else [])])
    yield implied(where, "Service", "Type", "oneshot")
    yield implied(where, "Service", "SyslogIdentifier", "%N")


_URL = lazy_pattern(r"https?|git://|github\.com/.")
"""The begin of texts that quadlet takes for a URL."""


def _directory_of(keys: _Keys, keyword: str, files: Mapping[str, str]) -> str:
    """Return the directory of the file that a keyword of SetWorkingDirectory= means."""
    if not (file := files[keyword.lower()]):
        raise EncodeError(f"SetWorkingDirectory={keyword} without File=", "add File=, or write unit")
    return posixpath.dirname(keys.references.absolute(file))


def _image(keys: _Keys, where: Where) -> Iterator[Assignment]:
    image, _ = keys.last("Image"), keys.last("ImageTag")
    yield from (implied(where, "Service", key, text) for key, text in (("Type", "oneshot"), ("RemainAfterExit", "yes")))
    yield implied(where, "Service", "SyslogIdentifier", "%N")
    start = _start(keys)
    options = [*_options("image", keys)]
    yield podman(where, "ExecStart", [*start, "image", "pull", *options, *keys.words("PodmanArgs"), image])


def _kube(keys: _Keys, where: Where) -> Iterator[Assignment]:
    yaml = keys.last("Yaml")
    path = keys.references.absolute(yaml)
    directory = keys.last("SetWorkingDirectory")
    of_file = {"yaml": yaml, "unit": keys.references.file.name}
    if directory:
        if directory.lower() not in of_file:
            raise EncodeError(f"SetWorkingDirectory={directory}", "write yaml or unit")
        yield implied(where, "Service", "WorkingDirectory", _directory_of(keys, directory, of_file))
    for key, text in (("Type", "notify"), ("NotifyAccess", "all"), ("KillMode", "mixed"), ("SyslogIdentifier", "%N")):
        yield implied(where, "Service", key, text)
    yield implied(where, "Service", "Environment", "PODMAN_SYSTEMD_UNIT=%n")
    start = _start(keys)
    options = [*_options("kube", keys)]
    options += [f"--configmap={keys.references.absolute(text)}" for text in keys.words("ConfigMap")]
    options += [f"--annotation=io.containers.autoupdate{_update(text)}" for text in keys.words("AutoUpdate")]
    play = [*start, "kube", "play", "--replace", "--service-container=true", *options, *keys.words("PodmanArgs"), path]
    yield podman(where, "ExecStart", play)
    force = ["--force"] if keys.flag("KubeDownForce") else []
    yield podman(where, "ExecStopPost", [*start, "kube", "down", *force, path])


def _update(text: str) -> str:
    """Return the rest of the annotation for a policy, or for that of one container (``name/policy``)."""
    name, slash, policy = text.rpartition("/")
    return f"/{name}={policy}" if slash else f"={text}"


def _start(keys: _Keys) -> list[str]:
    return [*(f"--module={value}" for value in keys.all("ContainersConfModule")), *keys.words("GlobalArgs")]


def _options(kind: str, keys: _Keys) -> Iterator[str]:
    for key, option in OPTIONS[kind].items():
        yield from (f"{option}={value}" for value in [keys.last(key)] if value)
    for key, option in FLAGS.get(kind, {}).items():
        if (flag := keys.flag(key)) is not None:
            yield option if flag else f"{option}=false"
    for key, option in LISTS.get(kind, {}).items():
        yield from (f"{option}={value}" for value in keys.all(key))
    for key, option in WORDS.get(kind, {}).items():
        yield from (f"{option}={word}" for word in keys.words(key))
    if kind != "image":
        yield from (f"--network={keys.references.network(value)}" for value in keys.all("Network"))
    if kind in ("pod", "build"):
        yield from (f"--volume={keys.references.volume(value)}" for value in keys.all("Volume"))


_COMMANDS: Mapping[str, Callable[[_Keys, Where], Iterator[Assignment]]] = {
    "pod": _pod, "build": _build, "image": _image, "kube": _kube,
}  # fmt: skip
"""By type of quadlet, the lines of its service that quadlet's generator adds."""
