"""Artifacts as one text: what `ordainctl render` prints and golden cases hold."""

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
    """``=== PATH MODE`` and the content of every file, ``=== PATH -> TARGET`` for a link, by path.

    Behind the mode stand an owner and a group that are not root's, as ``OWNER:GROUP``, and what is no plain file.
    """
    return "".join(map(_one, sorted(artifacts, key=lambda artifact: artifact.path)))


def _one(artifact: Artifact) -> str:
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
