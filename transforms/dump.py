"""Artifacts as one text: what `ordainctl render` prints and golden cases hold."""

from __future__ import annotations

from collections.abc import Iterable

from ordain.transforms.model import Artifact


def dump(artifacts: Iterable[Artifact]) -> str:
    """``=== PATH MODE`` and the content of every file, ``=== PATH -> TARGET`` for a link, by path.

    A group other than root's stands after the mode: ``=== PATH MODE GROUP``.
    """
    return "".join(map(_one, sorted(artifacts, key=lambda artifact: artifact.path)))


def _one(artifact: Artifact) -> str:
    if artifact.link is not None:
        return f"=== {artifact.path} -> {artifact.link}\n"
    content = artifact.content or ""
    group = f" {artifact.group}" if artifact.group else ""
    end = "" if content.endswith("\n") else "\n"
    return f"=== {artifact.path} {artifact.mode:04o}{group}\n{content}{end}"
