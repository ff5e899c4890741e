"""The versions that a store still has of a document, also of one that was deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ordain.agent.cli.store.stored_documents import document_named
from ordain.agent.delivery.database.database import ABSENT, Database
from ordain.agent.delivery.database.document_keys import DOCUMENTS
from ordain.agent.delivery.database.named_documents import NamedDocument, NamedDocuments
from ordain.agent.delivery.release.change_log import ChangeAction, StoreChange, read_changes
from ordain.agent.delivery.source.local_database import LocalDatabase
from ordain.agent.errors import Failure

MOST_VERSIONS = 100
_OF_DOCUMENTS = (ChangeAction.PUT, ChangeAction.DELETE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentVersions:
    """The ``versions`` of the document ``title``, latest first, where `ABSENT` stands for a time without it.

    ``text`` is what is stored now, None of a deleted document; ``log`` are the entries of the log, oldest first.
    """

    title: str
    text: NamedDocument | None
    versions: tuple[tuple[str, bytes], ...]
    log: tuple[StoreChange, ...]


async def read_versions(store: NamedDocuments, name: str) -> DocumentVersions:
    """Return the versions of the document called ``name``, or ``kind/name``. Raises `Failure`, and `SourceError`."""
    log = () if isinstance(store.database, LocalDatabase) else (await read_changes(store.database)).changes
    text: NamedDocument | None = None
    try:
        text = document_named(await store.all(), name)
        title = text.title
    except Failure:
        title = _deleted_title(log, name)
        if not title:
            raise
    own = tuple(change for change in log if change.action in _OF_DOCUMENTS and title in change.subjects)
    versions: list[tuple[str, bytes]] = []
    if text:
        versions = await _versions(store.database, min(text.versions))
    for deletion in reversed(own):
        key, version = min(deletion.removed.items(), default=("", ""))
        if not key.startswith(DOCUMENTS) or any(version == known for known, _ in versions):
            continue
        earlier = await _versions(store.database, key, latest=version)
        separator = [(ABSENT, b"")] if earlier and (not versions or versions[-1][0] != ABSENT) else []
        versions += [*separator, *earlier]
    return DocumentVersions(title=title, text=text, versions=tuple(versions), log=own)


async def _versions(database: Database, key: str, *, latest: str = "") -> list[tuple[str, bytes]]:
    return [(entry.version, entry.data) for entry in await database.history(key, MOST_VERSIONS, latest=latest)]


def _deleted_title(log: Iterable[StoreChange], name: str) -> str:
    """Return the title of the only document with this name or title in the log, "" if there is not exactly one."""
    titles = {title for change in log if change.action in _OF_DOCUMENTS for title in change.subjects}
    matching = [title for title in titles if name in (title, title.partition("/")[2])]
    return matching[0] if len(matching) == 1 else ""
