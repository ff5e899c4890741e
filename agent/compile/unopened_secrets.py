"""Sealed secrets that this machine cannot open, and the items that wait for them.

The compiler cannot open a secret: it does not have the key. `ordain.agent.secrets` tries those of a new generation
before it is applied, and the generation is compiled again without the items that need one which it could not open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ordain.agent.generation import identified
from ordain.agent.model import Generation
from ordain.transforms.artifacts import CredentialFile, is_sealed, used_secrets
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.errors import Problem, Where, blocked
from ordain.transforms.sealed_secret import secret_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class UnopenedSecret:
    """A sealed secret that cannot be opened: its `secret_digest`, and the code, fault and remedy."""

    digest: str
    code: str
    what: str
    hint: str


def sealed_secrets(generation: Generation) -> tuple[CredentialFile, ...]:
    """Return the sealed secrets of a generation."""
    return tuple(a for a in generation.artifacts if isinstance(a, CredentialFile) and is_sealed(a))


def unopened_problems(
    new: Generation, unopened: Iterable[UnopenedSecret], place: Callable[[str], Where]
) -> Iterator[Problem]:
    """Yield a problem that blocks each secret in ``unopened``, and each item that uses one.

    ``place`` returns the place of an item in the documents.
    """
    known = {secret.digest: secret for secret in unopened}
    wrong = {s.path: (s.item, known[d]) for s in sealed_secrets(new) if (d := secret_digest(s.credential)) in known}
    if not wrong:
        return
    for item, fault in wrong.values():
        name = unescape_key(item.partition("/")[2])
        where = place(item)
        yield blocked(item, where, f"the secret {name} cannot be opened: {fault.what}", fault.hint, fault.code)
    items: dict[str, set[str]] = {}
    for artifact in new.artifacts:
        for path in sorted(used_secrets([artifact]) & wrong.keys()):
            items.setdefault(artifact.item, set()).add(path)
    for item, paths in sorted(items.items()):
        for path in sorted(paths):
            secret, fault = wrong[path]
            name = unescape_key(secret.partition("/")[2])
            what, hint = f"it needs the secret {name}, which cannot be opened", f"see {secret}"
            yield blocked(item, place(item), what, hint, fault.code)


def without_unused_secrets(new: Generation) -> Generation:
    """Return ``new`` without sealed secrets that only items used which were left out."""
    used = used_secrets(new.artifacts)
    artifacts = tuple(a for a in new.artifacts if not is_sealed(a) or a.path in used)
    if len(artifacts) == len(new.artifacts):
        return new
    return identified(replace(new, artifacts=artifacts))
