"""Artifacts as one text, which `ordainctl render` prints and golden cases hold."""

from __future__ import annotations

from collections.abc import Iterable

from ordain.transforms.artifacts import (
    AbsentFile,
    Artifact,
    CredentialFile,
    PlacedDirectory,
    RegularFile,
    SymbolicLink,
    UnitFile,
    UnitLink,
)
from ordain.transforms.package_set import NO_PACKAGES, PackageSet, PackageState


def as_text(artifacts: Iterable[Artifact], packages: PackageSet = NO_PACKAGES) -> str:
    """Return ``=== PATH MODE`` and the content of every file, ``=== PATH -> TARGET`` for every link, by path.

    After the mode come ``OWNER:GROUP``, unless both are root's, and ``directory`` or ``credential NAME``. Packages come
    last, below ``=== packages MANAGER``, each with its version, ``hold`` and ``absent`` if these are set.
    """
    return "".join(map(_one_as_text, sorted(artifacts, key=lambda artifact: artifact.path))) + _packages(packages)


def _packages(packages: PackageSet) -> str:
    if not packages:
        return ""
    wishes = [f"{package.name} {package.wish}".removesuffix(f" {PackageState.PRESENT}") for package in packages.wanted]
    lines = [wish.replace(f" {PackageState.PRESENT} ", " ", 1) for wish in wishes]
    return "\n".join([f"=== packages {packages.manager.name}", *lines, ""])


def _one_as_text(artifact: Artifact) -> str:
    match artifact:
        case AbsentFile():
            return f"=== {artifact.path} absent\n"
        case UnitLink() | SymbolicLink():
            return f"=== {artifact.path} -> {artifact.target}\n"
        case UnitFile():
            return _with_content(f"=== {artifact.path} {artifact.mode:04o}", artifact.content)
    account = f" {artifact.owner}:{artifact.group}" if artifact.owner or artifact.group else ""
    head = f"=== {artifact.path} {artifact.mode:04o}{account}"
    match artifact:
        case PlacedDirectory():
            return f"{head} directory\n"
        case CredentialFile():
            return f"{head} credential {artifact.credential}\n"
        case RegularFile():
            return _with_content(head, artifact.content)


def _with_content(head: str, content: str) -> str:
    end = "" if content.endswith("\n") or not content else "\n"
    return f"{head}\n{content}{end}"
