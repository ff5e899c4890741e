"""The quadlets .image and .kube as services that run podman in the same way as those of quadlet's generator."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ordain.transforms.errors import Where
from ordain.transforms.importing.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.podman_command import implied, podman, unquoted
from ordain.transforms.importing.unit_assignments import Assignment
from ordain.transforms.importing.unit_files import ImportedUnit
from ordain.transforms.systemd import splitting, unit_name, values
from ordain.transforms.systemd.encode import EncodeError

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "image": {
        "Arch": "--arch", "AuthFile": "--authfile", "CertDir": "--cert-dir", "Creds": "--creds",
        "DecryptionKey": "--decryption-key", "OS": "--os", "Retry": "--retry", "RetryDelay": "--retry-delay",
        "Variant": "--variant",
    },
    "kube": {
        "ExitCodePropagation": "--service-exit-code-propagation", "LogDriver": "--log-driver", "UserNS": "--userns",
    },
}  # fmt: skip
"""Options for the last assignment of a key."""
FLAGS: Mapping[str, Mapping[str, str]] = {"image": {"AllTags": "--all-tags", "TLSVerify": "--tls-verify"}, "kube": {}}
LISTS: Mapping[str, Mapping[str, str]] = {"image": {}, "kube": {"PublishPort": "--publish", "Network": "--network"}}
"""Options for every assignment of a key."""
REQUIRED = {"image": "Image", "kube": "Yaml"}
DEFAULT_NAME = {"image": "{}-image", "kube": "{}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuadletService:
    """The service of a quadlet. ``image`` is the image that one of the type .image pulls, as containers name it."""

    unit: ImportedUnit
    image: str = ""


@dataclass(slots=True)
class _Keys:
    """The assignments of the own section of a quadlet; those that are taken count as converted."""

    file: InputFile
    draft: DocumentDraft
    by_key: dict[str, list[Assignment]] = field(default_factory=dict)

    def all(self, key: str) -> list[str]:
        """Return the values of a key since the last empty one."""
        return [found.value for found in self.by_key.pop(key, ())]

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

    def path(self, text: str) -> str:
        """Return a path below the directory of the quadlet. Raises `EncodeError` if that is not known."""
        if text.startswith(("/", "%")):
            return text
        if not self.file.path.startswith("/"):
            what = f"{text!r} is relative to the quadlet, whose directory is not known"
            raise EncodeError(what, "import the quadlet by its absolute path, or write an absolute path")
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.file.path), text))


def service(
    file: InputFile, kind: str, assignments: Iterable[Assignment], draft: DocumentDraft
) -> QuadletService | None:
    """Return the service of a quadlet of type ``kind``, None if it has none; what it cannot have is a problem."""
    where = Where(path=file.path)
    keys, own = _Keys(file, draft), list[Assignment]()
    online = True
    for found in assignments:
        if found.section == kind.capitalize() and found.value:
            keys.by_key.setdefault(found.key, []).append(found)
        elif found.section == kind.capitalize():
            keys.by_key.pop(found.key, None)
        elif found.place == ("Quadlet", "DefaultDependencies"):
            online = unquoted(found.value).lower() not in {"no", "false", "off", "0"}
        elif found.section == "Quadlet":
            draft.not_converted(found.where, f"[Quadlet] {found.key}=: the key is not known", "remove the line")
        else:
            own.append(found)
    name = keys.last("ServiceName") or DEFAULT_NAME[kind].format(file.stem)
    main = keys.last(REQUIRED[kind])
    if not main or not unit_name.is_valid(f"{name}.service"):
        what = f"it has no {REQUIRED[kind]}=" if not main else f"{name}.service is not a valid name of a unit"
        draft.not_converted(where, what, "add it" if not main else "rename the file")
        return None
    image = keys.last("ImageTag") or main
    try:
        lines = [*_COMMANDS[kind](keys, main, where)]
    except EncodeError as error:
        draft.not_converted(where, error.what, error.hint)
        return None
    for found in (one for ones in keys.by_key.values() for one in ones):
        hint = f"`podman {'image pull' if kind == 'image' else 'kube play'} --help` may have an option: PodmanArgs="
        draft.not_converted(found.where, f"{found.key}= of {file.name}", hint)
    set_already = {found.place for found in own}
    network = [implied(where, "Unit", key, "network-online.target") for key in ("Wants", "After") if online]
    defaults = [line for line in lines if line.place not in set_already or line.key.startswith("Exec")]
    unit = ImportedUnit(name=f"{name}.service", where=where, comment=file.path, assignments=(*network, *own, *defaults))
    return QuadletService(unit=unit, image=image)


def _image(keys: _Keys, image: str, where: Where) -> Iterator[Assignment]:
    yield from (implied(where, "Service", key, text) for key, text in (("Type", "oneshot"), ("RemainAfterExit", "yes")))
    yield implied(where, "Service", "SyslogIdentifier", "%N")
    start = _start(keys)
    options = [*_options("image", keys)]
    yield podman(where, "ExecStart", [*start, "image", "pull", *options, *keys.words("PodmanArgs"), image])


def _kube(keys: _Keys, yaml: str, where: Where) -> Iterator[Assignment]:
    path = keys.path(yaml)
    for key, text in (("Type", "notify"), ("NotifyAccess", "all"), ("KillMode", "mixed"), ("SyslogIdentifier", "%N")):
        yield implied(where, "Service", key, text)
    yield implied(where, "Service", "Environment", "PODMAN_SYSTEMD_UNIT=%n")
    start = _start(keys)
    options = [*_options("kube", keys)]
    options += [f"--configmap={keys.path(text)}" for text in keys.words("ConfigMap")]
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
    for key, option in FLAGS[kind].items():
        if (flag := keys.flag(key)) is not None:
            yield option if flag else f"{option}=false"
    for key, option in LISTS[kind].items():
        for value in keys.all(key):
            if value.partition(":")[0].endswith((".network", ".container", ".pod")):
                raise EncodeError(f"{key}={value} is another quadlet", "name the network itself")
            yield f"{option}={value}"


_COMMANDS: Mapping[str, Callable[[_Keys, str, Where], Iterator[Assignment]]] = {"image": _image, "kube": _kube}
"""By type of quadlet, the lines of its service that quadlet's generator adds."""
