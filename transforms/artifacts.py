"""The artifacts of a generation: unit files and links for the generator, and files that it does not place.

    UnitFile, UnitLink                          `generator.main` places them in its three directories
    RegularFile, SymbolicLink, PlacedDirectory,       `generator.files` places them anywhere else on the machine
    CredentialFile, AbsentFile

`row` and `from_row` are the one flat form in which all of them are stored: in manifests, in boot caches and in
the hash of a generation. Fields and defaults of a row never change, because a later version reads what this one wrote.

Standard library only: the programs that run at boot import this module, and the package of the generator has a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ordain.transforms.forbidden_paths import SECRETS

TYPE_CHECKING = False  # the import of typing would cost every boot 10 ms
if TYPE_CHECKING:
    from typing import Any

MASK = "/dev/null"
"""The target of a link that masks a unit, or holds back one dependency (systemd.unit(5))."""
SEALED = "sealed:"
"""The start of the ``credential`` of a file that is a sealed secret."""
SECRETS_ITEM = "secrets"
"""The item of the link to the unit that opens secrets; each secret is an item ``secrets/NAME`` of its own."""


class OnFileRemove(StrEnum):
    """The fate of a file once no document names it any more: what was there before is restored, or the file stays."""

    RESTORE = "restore"
    KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFile:
    """A unit file or drop-in.

    ``path`` starts with the generator directory (``normal/web.service``, ``early/…``, ``late/…``), ``item`` is the
    item of the documents that it belongs to (``services/web``).
    """

    path: str
    content: str
    mode: int = 0o644
    item: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLink:
    """A symbolic link in a generator directory: a dependency (``….wants/``), an alias, or a mask."""

    path: str
    target: str
    item: str = ""

    @property
    def masks(self) -> bool:
        """Return whether the link masks a unit or holds back a dependency."""
        return self.target == MASK


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlacedFile:
    """The fields that all files have that are not units.

    ``path`` is absolute. ``owner`` and ``group`` are names or numbers, ``""`` is root's. ``mount`` is the mount point
    of the documents that the file lies on, ``""`` for none; ``remote``: that mount needs the network. ``home``: the
    file belongs in this home of its owner, and is not placed if the account has another home.
    """

    path: str
    item: str = ""
    owner: str = ""
    group: str = ""
    on_remove: OnFileRemove = OnFileRemove.RESTORE
    mount: str = ""
    remote: bool = False
    home: str = ""

    @property
    def phase(self) -> str:
        """Return the run of `generator.files` that places the file: early, main or remote."""
        if self.remote:
            return "remote"
        return "early" if self.path.startswith("/run/") else "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularFile(_PlacedFile):
    """A file whose content is in the generation."""

    content: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolicLink(_PlacedFile):
    """A symbolic link to ``target``."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedDirectory(_PlacedFile):
    """A directory; with ``home``, one that exists already stays as it is."""

    mode: int = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFile(_PlacedFile):
    """A file whose content is a secret of the machine, which no generation holds.

    ``credential`` is the name of a credential, or ``file:PATH``, ``encrypted:PATH``, ``ciphertext:BASE64`` or
    ``sealed:TEXT``, a secret that `ordain.agent.secrets` opens.
    """

    credential: str
    mode: int = 0o600

    @property
    def phase(self) -> str:
        """Return the run of `generator.files` that places the file, or ``secrets``.

        Sealed secrets are opened once the local file systems are mounted: the key may lie on one. So a file that is
        made from one is never early.
        """
        if self.credential.startswith(SEALED):
            return "secrets"
        early = "early" if self.path.startswith("/run/") and SECRETS not in self.credential else "main"
        return "remote" if self.remote else early


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentFile(_PlacedFile):
    """A path at which no file may be."""


PlacedFile = RegularFile | SymbolicLink | PlacedDirectory | CredentialFile | AbsentFile
UnitArtifact = UnitFile | UnitLink
Artifact = UnitArtifact | PlacedFile


def content_of(artifact: Artifact) -> str:
    """Return the content of a file that the generation holds, ``""`` for any other artifact."""
    return artifact.content if isinstance(artifact, UnitFile | RegularFile) else ""


def placed_paths(artifacts: Iterable[Artifact]) -> frozenset[str]:
    """Return the paths at which `generator.files` will have placed something."""
    return frozenset(a.path for a in artifacts if isinstance(a, PlacedFile) and not isinstance(a, AbsentFile))


def used_secrets(artifacts: Iterable[Artifact]) -> frozenset[str]:
    """Return the paths of opened secrets that units load, and that placed files are made from."""
    paths: set[str] = set()
    for artifact in artifacts:
        if isinstance(artifact, UnitFile) and SECRETS in artifact.content:
            lines = artifact.content.splitlines()
            paths |= {line.partition(":")[2].strip('"') for line in lines if line.startswith("LoadCredential=")}
        elif isinstance(artifact, CredentialFile) and artifact.credential.startswith(f"file:{SECRETS}"):
            paths.add(artifact.credential.removeprefix("file:"))
    return frozenset(path for path in paths if path.startswith(SECRETS))


def is_sealed(artifact: Artifact) -> bool:
    """Return whether ``artifact`` is a sealed secret."""
    return isinstance(artifact, CredentialFile) and artifact.credential.startswith(SEALED)


def needed_secrets(artifacts: Iterable[Artifact], last: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """Return the sealed secrets of ``last`` that ``artifacts`` use and do not hold, with the link to their unit.

    An item that keeps its last form keeps using the secrets of that form.
    """
    artifacts = tuple(artifacts)
    paths = {artifact.path for artifact in artifacts}
    missing = used_secrets(artifacts) - paths
    if not missing:
        return ()
    last = tuple(last)
    secrets = [a for a in last if is_sealed(a) and a.path in missing]
    links = [a for a in last if a.item == SECRETS_ITEM and a.path not in paths] if secrets else []
    return (*secrets, *links)


_ROW: Mapping[str, Any] = {
    "path": "",
    "content": None,
    "link": None,
    "mode": 0o644,
    "item": "",
    "owner": "",
    "group": "",
    "directory": False,
    "credential": "",
    "absent": False,
    "on_remove": "restore",
    "mount": "",
    "remote": False,
    "home": "",
}
"""Every field of a row and its default."""
_LINK_MODE = 0o777
"""The mode in the row of a `SymbolicLink`, as Linux gives it to every link; the row of a `UnitLink` has the default."""
_COMMON = ("path", "item", "owner", "group", "on_remove", "mount", "remote", "home")


def row(artifact: Artifact) -> dict[str, Any]:
    """Return all fields of the row of ``artifact``."""
    fields = dict(_ROW)
    match artifact:
        case UnitLink():
            return fields | {"path": artifact.path, "link": artifact.target, "item": artifact.item}
        case UnitFile():
            fields |= {"path": artifact.path, "item": artifact.item, "mode": artifact.mode}
            return fields | {"content": artifact.content}
    fields |= {name: getattr(artifact, name) for name in _COMMON}
    fields["on_remove"] = str(artifact.on_remove)
    match artifact:
        case RegularFile():
            return fields | {"content": artifact.content, "mode": artifact.mode}
        case SymbolicLink():
            return fields | {"link": artifact.target, "mode": _LINK_MODE}
        case PlacedDirectory():
            return fields | {"directory": True, "mode": artifact.mode}
        case CredentialFile():
            return fields | {"credential": artifact.credential, "mode": artifact.mode}
        case AbsentFile():
            return fields | {"absent": True}


def short_row(artifact: Artifact) -> dict[str, Any]:
    """Return the fields of the row of ``artifact`` that differ from their defaults, without ``item``."""
    return {name: value for name, value in row(artifact).items() if name != "item" and value != _ROW[name]}


def from_row(fields: Mapping[str, Any]) -> Artifact:
    """Return the artifact of a row, in which fields with default values may be missing.

    The content of a file may be missing too, and is empty then. Raises `TypeError` or `ValueError` for other rows.
    """
    if "path" not in fields or not fields.keys() <= _ROW.keys():
        raise TypeError(f"no artifact has exactly the fields {', '.join(sorted(fields))}")
    values = {**_ROW, **fields}
    path, item, content = values["path"], values["item"], values["content"] or ""
    if not path.startswith("/"):
        if values["link"] is not None:
            return UnitLink(path=path, target=values["link"], item=item)
        return UnitFile(path=path, content=content, mode=values["mode"], item=item)
    common = {name: values[name] for name in _COMMON} | {"on_remove": OnFileRemove(values["on_remove"])}
    if values["absent"]:
        return AbsentFile(**common)
    if values["directory"]:
        return PlacedDirectory(**common, mode=values["mode"])
    if values["link"] is not None:
        return SymbolicLink(**common, target=values["link"])
    if values["credential"]:
        return CredentialFile(**common, credential=values["credential"], mode=values["mode"])
    return RegularFile(**common, content=content, mode=values["mode"])
