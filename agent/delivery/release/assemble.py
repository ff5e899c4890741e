"""Files of documents → what a release names and what a store holds of it; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ordain.agent.delivery.database import document_keys
from ordain.agent.model import RawDocument
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused, Where, errors
from ordain.transforms.model import Document, Kind
from ordain.transforms.resolve.resolve import certain_conflicts, duplicates


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """``names`` maps ``SCOPE/FILE`` to a SHA-256, ``blobs`` that to the bytes. ``problems`` are warnings."""

    names: Mapping[str, str]
    blobs: Mapping[str, bytes]
    problems: tuple[Problem, ...] = ()


def assemble(files: Iterable[RawDocument]) -> Assembled:
    """Every file lies in the scopes of its documents, so that a machine fetches those it may match.

    Files keep their bytes, and so their lines. Raises `Refused` for documents that are wrong, for two files of one
    name, and for a file that is a release itself.
    """
    names: dict[str, str] = {}
    blobs: dict[str, bytes] = {}
    documents: list[Document] = []
    problems: list[Problem] = []
    taken: dict[str, str] = {}
    for path, data in files:
        found, wrong = read(path, data)
        problems += wrong
        documents += found
        name = PurePosixPath(path).name
        if name in taken:
            what = f"two files are called {name}; the other is {taken[name]}"
            problems.append(Problem(where=Where(path=path), what=what, hint="rename one", code="Duplicate"))
        taken[name] = path
        for document in found:
            if document.kind is Kind.RELEASE:
                problems.append(Problem(where=document.where, what="a release in a release", hint="leave it out"))
        blobs[hash := hashlib.sha256(data).hexdigest()] = data
        for scope in {scope for document in found for scope in document_keys.scopes_of(document)}:
            names[f"{scope}/{name}"] = hash
    problems += [*duplicates(documents), *certain_conflicts(documents)]
    if errors(problems):
        raise Refused(problems)
    return Assembled(names=dict(sorted(names.items())), blobs=blobs, problems=tuple(problems))
