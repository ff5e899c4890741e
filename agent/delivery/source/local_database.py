"""A machine's own directory of documents as a store, for `ordainctl documents`.

The files are as their administrator wrote them: one file may contain several documents, each of which is an entry. A
new document becomes a file of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.database.database import ANY, Conflict, Listing, StoredEntry, Unchanged, Write
from ordain.agent.delivery.database.directory_database import content_version
from ordain.agent.delivery.database.named_documents import split_file
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.system import atomic_files
from ordain.transforms.document.text.node import is_document_name
from ordain.transforms.model import Document

SCOPE = "local"


class LocalDatabase:
    """The documents in ``path``; the key of each contains only its kind and name. See `Database`."""

    type = "directory"
    settle_sec = 0.0
    compares_ranges = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.location = str(path)

    @staticmethod
    def keys(document: Document) -> tuple[str, ...]:
        """Return the key of a document, for `NamedDocuments`."""
        return (document_keys.key(SCOPE, document.kind, document.name),)

    async def list(self, *prefixes: str) -> Listing:
        """See `Database.list`."""
        snapshot = await DirectorySource(self.path).read()
        entries = [entry for name, data in snapshot.texts for entry in _entries(name, data)]
        listed = sorted((e for e in entries if e.key.startswith(prefixes)), key=lambda entry: entry.key)
        return Listing(entries=tuple(listed), revision=snapshot.revision)

    async def get(self, key: str) -> StoredEntry | None:
        """See `Database.get`."""
        return next(iter((await self.list(key)).entries), None)

    async def history(self, key: str, most: int, *, latest: str = "") -> tuple[StoredEntry, ...]:
        """See `Database.history`; a directory keeps no old versions."""
        return ()

    async def write(self, writes: Iterable[Write]) -> None:
        """See `Database.write`."""
        writes = tuple(writes)
        for write in writes:
            current = await self.get(write.key)
            if write.expect not in (ANY, current.version if current else None):
                raise Conflict(write.key)
        try:
            for write in writes:
                await asyncio.to_thread(self._write, write)
        except OSError as error:
            raise SourceError(f"{error.filename}: {error.strerror}") from error

    async def put(
        self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0, provided: Unchanged | None = None
    ) -> str:
        """See `Database.put`."""
        await self.write([Write(key=key, data=data, expect=expect)])
        return content_version(data)

    async def delete(self, key: str, *, expect: str) -> None:
        """See `Database.delete`."""
        await self.write([Write(key=key, data=None, expect=expect)])

    async def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """See `Database.watch`."""
        async for _ in DirectorySource(self.path).changes():
            yield

    async def ask_replaced_servers(self) -> Mapping[str, SourceError]:
        """See `Database.ask_replaced_servers`: a directory has no servers."""
        return {}

    async def close(self) -> None:
        """See `Database.close`."""

    def _write(self, write: Write) -> None:
        """Change the file that contains the document, or make a new one."""
        for path in sorted(self.path.iterdir()):
            if not is_document_name(path.name):
                continue
            data = path.read_bytes()
            if any(entry.key == write.key for entry in _entries(str(path), data)):
                _rewrite(path, data, write)
                return
        if write.data is not None:
            _, kind, name = document_keys.parse_key(write.key) or ("", "", "")
            path = self.path / f"{name}.yaml"
            if path.exists():
                path = self.path / f"{kind}-{name}.yaml"
            atomic_files.replace(path, write.data, atomic_files.PUBLIC)


def _rewrite(path: Path, data: bytes, write: Write) -> None:
    """Replace or remove one document in the file at ``path``; a file without documents is removed."""
    documents, problems = split_file(str(path), data)
    if problems:
        raise SourceError(f"{path}: cannot change the file because of an error in it: {problems[0]}")
    texts = [text if _key(document) != write.key else write.data for document, text in documents]
    kept = [text for text in texts if text is not None]
    if not kept:
        path.unlink()
    elif len(documents) == 1:
        atomic_files.replace(path, kept[0], atomic_files.PUBLIC)
    else:
        atomic_files.replace(path, b"---\n".join(_with_newline(text) for text in kept), atomic_files.PUBLIC)


def _entries(path: str, data: bytes) -> list[StoredEntry]:
    documents, _ = split_file(path, data)
    return [StoredEntry(key=_key(document), data=text, version=content_version(text)) for document, text in documents]


def _key(document: Document) -> str:
    return LocalDatabase.keys(document)[0]


def _with_newline(text: bytes) -> bytes:
    return text if text.endswith(b"\n") or not text else text + b"\n"
