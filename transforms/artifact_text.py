"""Artifacts as one text: what `ordainctl render` prints and golden cases hold."""

from __future__ import annotations

from collections.abc import Iterable

from ordain.transforms.model import Artifact


def dump(artifacts: Iterable[Artifact]) -> str:
    """``=== PATH MODE`` and the content of every file, ``=== PATH -> TARGET`` for a link, by path.

    Behind the mode stand an owner and a group that are not root's, as ``OWNER:GROUP``, and what is no plain file.
    """
    return "".join(map(_one, sorted(artifacts, key=lambda artifact: artifact.path)))


def _one(artifact: Artifact) -> str:
    if artifact.absent:
        return f"=== {artifact.path} absent\n"
    if artifact.link is not None:
        return f"=== {artifact.path} -> {artifact.link}\n"
    account = f" {artifact.owner}:{artifact.group}" if artifact.owner or artifact.group else ""
    head = f"=== {artifact.path} {artifact.mode:04o}{account}"
    if artifact.directory:
        return f"{head} directory\n"
    if artifact.credential:
        return f"{head} credential {artifact.credential}\n"
    content = artifact.content or ""
    end = "" if content.endswith("\n") or not content else "\n"
    return f"{head}\n{content}{end}"
