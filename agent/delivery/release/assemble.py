"""Making a release from files: the names and hashes for its manifest, and the documents for the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ordain.agent.delivery.database import document_keys
from ordain.agent.model import RawDocument
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused, Where, only_errors
from ordain.transforms.model import Document, Kind
from ordain.transforms.resolve.resolve import certain_conflicts, duplicates


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """The content of a release: ``names`` maps ``SCOPE/FILE`` to a SHA-256, and ``blobs`` maps that to the bytes.

    ``problems`` are warnings.
    """

    names: Mapping[str, str]
    blobs: Mapping[str, bytes]
    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()


def assemble(files: Iterable[RawDocument]) -> Assembled:
    """Put each file into the scopes of its documents, so that a machine fetches only the files that it may match.

    Files keep their bytes, and with them their line numbers. Raises `Refused` for invalid documents, for two files of
    one name, and for a file that is a release itself.
    """
    names: dict[str, str] = {}
    blobs: dict[str, bytes] = {}
    documents: list[Document] = []
    problems: list[Problem] = []
    path_of: dict[str, str] = {}
    for path, data in files:
        documents_of_file, problems_of_file = read(path, data)
        problems += problems_of_file
        documents += documents_of_file
        name = PurePosixPath(path).name
        if name in path_of:
            message = f"two files are called {name}; the other is {path_of[name]}"
            problems.append(Problem(where=Where(path=path), what=message, hint="rename one", code="Duplicate"))
        path_of[name] = path
        for document in documents_of_file:
            if document.kind is Kind.RELEASE:
                message = "a release cannot contain a release"
                problems.append(Problem(where=document.where, what=message, hint="leave this file out"))
        blobs[hash := hashlib.sha256(data).hexdigest()] = data
        for scope in sorted({scope for document in documents_of_file for scope in document_keys.scopes_of(document)}):
            names[f"{scope}/{name}"] = hash
    problems += [*duplicates(documents), *certain_conflicts(documents)]
    if only_errors(problems):
        raise Refused(problems)
    return Assembled(
        names=dict(sorted(names.items())), blobs=blobs, documents=tuple(documents), problems=tuple(problems)
    )
