"""A machine's own directory of documents as a database, for people who put documents there by name.

Files are whatever their admin made of them: one may hold several documents, of which each is an entry. A new document
becomes a file of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.database.database import ANY, Conflict, Listing, StoredEntry, Write
from ordain.agent.delivery.database.named_documents import split_file
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.system import atomic_files
from ordain.transforms.document.node import is_document_name
from ordain.transforms.model import Document

SCOPE = "local"


class LocalDatabase:
    """The documents in ``path``; the key of each says no more than its kind and name."""

    type = "directory"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.location = str(path)

    @staticmethod
    def keys(document: Document) -> tuple[str, ...]:
        """Where a document lies, for `Shelf`."""
        return (document_keys.key(SCOPE, document.kind, document.name),)

    async def list(self, *prefixes: str) -> Listing:
        """See `Database.list`."""
        snapshot = await DirectorySource(self.path).read()
        entries = [entry for name, data in snapshot.texts for entry in _entries(name, data)]
        found = sorted((e for e in entries if e.key.startswith(prefixes)), key=lambda entry: entry.key)
        return Listing(entries=tuple(found), revision=snapshot.revision)

    async def get(self, key: str) -> StoredEntry | None:
        """See `Database.get`."""
        return next(iter((await self.list(key)).entries), None)

    async def history(self, key: str, most: int) -> tuple[StoredEntry, ...]:
        """See `Database.history`: none is kept."""
        return ()

    async def write(self, changes: Iterable[Write]) -> None:
        """See `Database.write`."""
        changes = tuple(changes)
        for change in changes:
            found = await self.get(change.key)
            if change.expect not in (ANY, found.version if found else None):
                raise Conflict(change.key)
        try:
            for change in changes:
                await asyncio.to_thread(self._write, change)
        except OSError as error:
            raise SourceError(f"{error.filename}: {error.strerror}") from error

    async def put(self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0) -> str:
        """See `Database.put`."""
        await self.write([Write(key=key, data=data, expect=expect)])
        return _version(data)

    async def delete(self, key: str, *, expect: str) -> None:
        """See `Database.delete`."""
        await self.write([Write(key=key, data=None, expect=expect)])

    async def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """See `Database.watch`."""
        async for _ in DirectorySource(self.path).changes():
            yield

    async def close(self) -> None:
        """See `Database.close`."""

    def _write(self, change: Write) -> None:
        for path in sorted(self.path.iterdir()):
            if not is_document_name(path.name):
                continue
            data = path.read_bytes()
            if all(entry.key != change.key for entry in _entries(str(path), data)):
                continue
            found, problems = split_file(str(path), data)
            if problems:
                raise SourceError(f"{path}: cannot be rewritten as it is: {problems[0]}")
            texts = [text if _key(document) != change.key else change.data for document, text in found]
            kept = [text for text in texts if text is not None]
            if not kept:
                path.unlink()
            elif len(found) == 1:
                atomic_files.replace(path, kept[0])
            else:
                atomic_files.replace(path, b"---\n".join(_ended(text) for text in kept))
            return
        if change.data is not None:
            _, kind, name = document_keys.parse_key(change.key) or ("", "", "")
            path = self.path / f"{name}.yaml"
            if path.exists():
                path = self.path / f"{kind}-{name}.yaml"
            atomic_files.replace(path, change.data)


def _entries(path: str, data: bytes) -> list[StoredEntry]:
    found, _ = split_file(path, data)
    return [StoredEntry(key=_key(document), data=text, version=_version(text)) for document, text in found]


def _key(document: Document) -> str:
    return LocalDatabase.keys(document)[0]


def _ended(text: bytes) -> bytes:
    return text if text.endswith(b"\n") or not text else text + b"\n"


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
