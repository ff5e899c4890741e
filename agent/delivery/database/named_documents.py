"""The documents of a store by kind and name, wherever their ``match`` puts them: what `ordainctl documents` edits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.database.database import Database, StoredEntry, Write
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem
from ordain.transforms.model import Document

Keys = Callable[[Document], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedDocument:
    """A document as it is stored; ``versions`` maps each of its keys to the version there."""

    kind: str
    name: str
    data: bytes
    versions: Mapping[str, str]
    conflicts: Mapping[str, str] = field(default_factory=dict)
    """See `Listing.conflicts`."""

    @property
    def title(self) -> str:
        """Return kind and name, such as ``layer/web``."""
        return f"{self.kind}/{self.name}"

    @property
    def path(self) -> str:
        """Return the path that problems show."""
        return min(self.versions, default=self.title).removeprefix(document_keys.DOCUMENTS)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return the scopes in which it lies."""
        return tuple(sorted(key.split("/")[1] for key in self.versions))

    def documents(self) -> tuple[Document, ...]:
        """Return the documents in the text, as far as they can be read."""
        return read(self.path, self.data)[0]


class NamedDocuments:
    """The documents in ``database``; ``keys`` returns the keys that a document belongs to."""

    def __init__(self, database: Database, keys: Keys = document_keys.keys_of) -> None:
        self.database = database
        self._keys = keys

    async def all(self) -> tuple[NamedDocument, ...]:
        """Return all documents, sorted by kind and name. Raises `SourceError`."""
        return (await self.all_and_others())[0]

    async def all_and_others(self) -> tuple[tuple[NamedDocument, ...], tuple[str, ...]]:
        """Return all documents, and the keys beside them that are not those of documents: no machine reads these."""
        listing = await self.database.list(document_keys.DOCUMENTS)
        others = tuple(entry.key for entry in listing.entries if not document_keys.parse_key(entry.key))
        return group_by_name(listing.entries, listing.conflicts), others

    def missing_keys(self, stored: NamedDocument) -> tuple[str, ...]:
        """Return the keys where machines look for a document that is not stored there."""
        return tuple(key for doc in stored.documents() for key in self._keys(doc) if key not in stored.versions)

    async def put(
        self, document: Document, data: bytes, previous: NamedDocument | None, also: Iterable[Write] = ()
    ) -> None:
        """Write a document to its keys and to no others, if it still is ``previous``; then ``also``.

        Raises `Conflict`.
        """
        versions = previous.versions if previous else {}
        keys = self._keys(document)
        # First to the new places: for a moment it may exist twice, but it is never missing.
        writes = [Write(key=key, data=data, expect=versions.get(key)) for key in keys]
        writes += [Write(key=key, data=None, expect=v) for key, v in versions.items() if key not in keys]
        await self.database.write([*writes, *also])

    async def delete(self, stored: NamedDocument, also: Iterable[Write] = ()) -> None:
        """Remove a document, if it has not changed since it was read; then write ``also``. Raises `Conflict`."""
        removals = [Write(key=key, data=None, expect=v) for key, v in stored.versions.items()]
        await self.database.write([*removals, *also])


def group_by_name(
    entries: Iterable[StoredEntry], conflicts: Mapping[str, str] = MappingProxyType({})
) -> tuple[NamedDocument, ...]:
    """Return the documents in ``entries``; if the texts of one document differ, the text of its first key counts."""
    groups: dict[tuple[str, str], list[StoredEntry]] = {}
    for entry in entries:
        if parts := document_keys.parse_key(entry.key):
            groups.setdefault((parts[1], parts[2]), []).append(entry)
    return tuple(
        NamedDocument(
            kind=kind,
            name=name,
            data=group[0].data,
            versions={entry.key: entry.version for entry in group},
            conflicts={entry.key: conflicts[entry.key] for entry in group if entry.key in conflicts},
        )
        for (kind, name), group in sorted(groups.items())
    )


def split_file(path: str, data: bytes) -> tuple[tuple[tuple[Document, bytes], ...], tuple[Problem, ...]]:
    """Return the documents of a file, each with its own text and comments, and the problems of the file."""
    documents, problems = read(path, data)
    if len(documents) < 2:
        return tuple((document, data) for document in documents), problems
    texts = list(split_yaml(data))
    with_texts = []
    for document in documents:
        start, text = next((s, t) for s, t in reversed(texts) if s <= document.where.line)
        with_texts.append((document, text))
        texts = [(s, t) for s, t in texts if s >= start]
    return tuple(with_texts), problems


def split_yaml(data: bytes) -> Iterable[tuple[int, bytes]]:
    """Yield line number and text of each document in a YAML stream, without the ``---`` lines between them."""
    start, lines = 1, list[bytes]()
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if line.rstrip() == b"---" or line.startswith(b"--- "):
            yield start, b"".join(lines)
            start, lines = number, []
        else:
            lines.append(line)
    yield start, b"".join(lines)
