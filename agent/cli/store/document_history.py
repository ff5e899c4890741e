"""documents get, history: the versions that the store keeps of a document, and what its log says of them."""

from __future__ import annotations

import hashlib
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.json_shapes import JsonDocumentText, JsonDocumentVersion
from ordain.agent.cli.store.document_versions import read_versions
from ordain.agent.cli.store.stored_documents import changed_lines, document_named, in_store, note_conflicts
from ordain.agent.delivery.database.database import ABSENT
from ordain.agent.delivery.database.named_documents import NamedDocuments
from ordain.agent.delivery.release.change_log import ChangeAction, StoreChange
from ordain.agent.errors import Failure
from ordain.agent.local_time import local_time
from ordain.agent.model import to_json

MOST_EVENTS = 100
_GONE = "the store does not have this version"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEvent:
    """A version of a document, or its deletion; ``version`` is "" if the store has no text of it.

    ``change`` is the entry of the log, if there is one, and ``what`` describes the event.
    """

    version: str = ""
    data: bytes = b""
    change: StoreChange | None = None
    what: str = ""


def history(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents history`."""

    async def work(store: NamedDocuments) -> tuple[str, tuple[DocumentEvent, ...]]:
        known = await read_versions(store, request.name)
        versions = known.versions
        if known.text and known.log and not versions:  # a directory has the text of now only
            versions = ((min(known.text.versions.items())[1], known.text.data),)
        return known.title, document_events(versions, known.log)

    title, events = in_store(request, work)
    if request.json:
        console.json(
            [
                JsonDocumentVersion(version=event.version, text=event.data.decode(), change=to_json(event.change))
                for event in events
            ]
        )
        return Exit.OK
    if not events:
        console.line(f"the store keeps no earlier versions of {title}", Style.DIM)
        return Exit.OK
    console.table(("VERSION", "BYTES", "TIME", "BY", "WHY", "CHANGE"), [_row(event) for event in events])
    return Exit.OK


def get(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents get`."""

    async def work(store: NamedDocuments) -> tuple[str, tuple[str, ...], bytes]:
        if not request.version:
            text = document_named(await store.all(), request.name)
            note_conflicts([text], console)
            return text.title, text.scopes, text.data
        known = await read_versions(store, request.name)
        for version, data in known.versions:
            if version == request.version:
                return known.title, known.text.scopes if known.text else (), data
        raise Failure(f"{known.title}: the store does not have version {request.version}")

    title, scopes, data = in_store(request, work)
    if request.json:
        kind, _, name = title.partition("/")
        console.json(JsonDocumentText(kind=kind, name=name, scopes=scopes, text=data.decode()))
    else:
        console.text(data.decode("utf-8", "replace"))
    return Exit.OK


def document_events(versions: Sequence[tuple[str, bytes]], log: Sequence[StoreChange]) -> tuple[DocumentEvent, ...]:
    """Return what happened to a document, latest first.

    ``versions`` are those that the store has, latest first, where `ABSENT` stands for a time without the document;
    ``log`` are its entries, oldest first. The writer of a version is the latest entry with its hash that is left.
    """
    events: list[DocumentEvent] = []
    left = list(log)
    for place, (version, data) in enumerate(versions):
        older = versions[place + 1] if place + 1 < len(versions) else None
        if version == ABSENT:
            is_logged = any(change.action is ChangeAction.DELETE for change in left) or _last_is_deletion(events)
            if older is not None and not is_logged:
                events.append(DocumentEvent(what="deleted"))
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        writer = next((change for change in reversed(left) if sha256 in change.sha256.values()), None)
        while writer and left[-1] is not writer:
            events.append(_from_log(left.pop()))
        if writer:
            left.pop()
        logged = writer.what if writer and older is None else ""
        events.append(
            DocumentEvent(version=version, data=data, change=writer, what=logged or changed_lines(older, data))
        )
    events += [_from_log(change) for change in reversed(left)]
    return tuple(events[:MOST_EVENTS])


def _last_is_deletion(events: Sequence[DocumentEvent]) -> bool:
    return bool(events) and not events[-1].version and events[-1].what == "deleted"


def _from_log(change: StoreChange) -> DocumentEvent:
    """Return the event of an entry whose version the store does not have."""
    if change.action is ChangeAction.DELETE:
        return DocumentEvent(change=change, what="deleted")
    return DocumentEvent(change=change, what=f"{change.what}; {_GONE}" if change.what else _GONE)


def _row(event: DocumentEvent) -> tuple[Cell, ...]:
    change = event.change
    writer = (local_time(change.time), change.by, change.why) if change else ("", "", "")
    return event.version, f"{len(event.data):,}" if event.version else "", *writer, event.what
