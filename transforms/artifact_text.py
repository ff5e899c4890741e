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


def as_text(artifacts: Iterable[Artifact]) -> str:
    """Return ``=== PATH MODE`` and the content of every file, ``=== PATH -> TARGET`` for every link, by path.

    After the mode come ``OWNER:GROUP``, unless both are root's, and ``directory`` or ``credential NAME``.
    """
    return "".join(map(_one_as_text, sorted(artifacts, key=lambda artifact: artifact.path)))


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
