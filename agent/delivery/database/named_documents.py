"""The documents of a store as people handle them: by kind and name, wherever their ``match`` puts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ordain.agent.delivery.database import document_keys as layout
from ordain.agent.delivery.database.database import Database, StoredEntry, Write
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem
from ordain.transforms.model import Document

Keys = Callable[[Document], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedDocument:
    """A document as it is stored. ``versions`` maps each key it lies under to the version there."""

    kind: str
    name: str
    data: bytes
    versions: Mapping[str, str]

    @property
    def title(self) -> str:
        """``layer/web``."""
        return f"{self.kind}/{self.name}"

    @property
    def path(self) -> str:
        """How it is named in problems."""
        return min(self.versions, default=self.title).removeprefix(layout.DOCUMENTS)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Where it lies."""
        return tuple(sorted(key.split("/")[1] for key in self.versions))

    def documents(self) -> tuple[Document, ...]:
        """What it says, as far as it can be read."""
        return read(self.path, self.data)[0]


class NamedDocuments:
    """The documents in ``database``; ``keys`` tells where one belongs."""

    def __init__(self, database: Database, keys: Keys = layout.keys_of) -> None:
        self.database = database
        self._keys = keys

    async def texts(self) -> tuple[NamedDocument, ...]:
        """All of them, by kind and name. Raises `SourceError`."""
        listing = await self.database.list(layout.DOCUMENTS)
        return grouped(listing.entries)

    def astray(self, text: NamedDocument) -> tuple[str, ...]:
        """The keys under which machines look for a document in vain: it lies elsewhere. It may be there twice, too."""
        return tuple(key for each in text.documents() for key in self._keys(each) if key not in text.versions)

    async def put(self, document: Document, data: bytes, was: NamedDocument | None) -> None:
        """Write a document to where it belongs now, and nowhere else, if it is still as ``was``. Raises `Conflict`."""
        versions = was.versions if was else {}
        keys = self._keys(document)
        changes = [Write(key=key, data=data, expect=versions.get(key)) for key in keys]
        # After it is in its new places: for a moment it may be there twice, but never nowhere.
        changes += [Write(key=key, data=None, expect=v) for key, v in versions.items() if key not in keys]
        await self.database.write(changes)

    async def delete(self, was: NamedDocument) -> None:
        """Remove a document, if it is still as ``was``. Raises `Conflict`."""
        await self.database.write([Write(key=key, data=None, expect=v) for key, v in was.versions.items()])


def grouped(entries: Iterable[StoredEntry]) -> tuple[NamedDocument, ...]:
    """The documents that lie under these keys; of texts that differ, the one of the first key."""
    found: dict[tuple[str, str], list[StoredEntry]] = {}
    for entry in entries:
        if parts := layout.split(entry.key):
            found.setdefault((parts[1], parts[2]), []).append(entry)
    return tuple(
        NamedDocument(kind=kind, name=name, data=each[0].data, versions={entry.key: entry.version for entry in each})
        for (kind, name), each in sorted(found.items())
    )


def pieces(path: str, data: bytes) -> tuple[tuple[tuple[Document, bytes], ...], tuple[Problem, ...]]:
    """The documents of one file, each with its own text, comments and all; and what is wrong with the file."""
    documents, problems = read(path, data)
    if len(documents) < 2:
        return tuple((document, data) for document in documents), problems
    texts = list(split(data))
    found = []
    for document in documents:
        start, text = next((s, t) for s, t in reversed(texts) if s <= document.where.line)
        found.append((document, text))
        texts = [(s, t) for s, t in texts if s >= start]
    return tuple(found), problems


def split(data: bytes) -> Iterable[tuple[int, bytes]]:
    """The documents of a YAML stream, as line number and text without the marks between them."""
    start, lines = 1, list[bytes]()
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if line.rstrip() == b"---" or line.startswith(b"--- "):
            yield start, b"".join(lines)
            start, lines = number, []
        else:
            lines.append(line)
    yield start, b"".join(lines)
