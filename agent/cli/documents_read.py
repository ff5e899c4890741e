"""documents list, get, history, diff: the documents of a store, or of this machine's directory."""

from __future__ import annotations

import asyncio
import difflib
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.document_files import contents
from ordain.agent.cli.store_option import opened
from ordain.agent.delivery.database.database import ABSENT, Conflict
from ordain.agent.delivery.database.named_documents import NamedDocument, NamedDocuments, split_file
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.local_database import LocalDatabase
from ordain.agent.errors import Failure
from ordain.agent.model import RawDocument
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind
from ordain.transforms.errors import Problem, Refused, errors, near
from ordain.transforms.model import Document
from ordain.transforms.model import Kind as DocumentKind

MOST_VERSIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A document to write, and what is there of it."""

    document: Document
    data: bytes
    was: NamedDocument | None

    @property
    def title(self) -> str:
        """``layer/web``."""
        return f"{self.document.kind.lower()}/{self.document.name}"

    @property
    def news(self) -> bool:
        """Whether the text is another."""
        return self.was is None or self.was.data != self.data


def list_(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents list`."""

    async def run() -> tuple[tuple[NamedDocument, ...], dict[str, tuple[str, ...]]]:
        async with opened_shelf(request) as shelf:
            texts = await shelf.all()
            return texts, {text.title: keys for text in texts if (keys := shelf.missing_keys(text))}

    found, astray = asyncio.run(run())
    for title, keys in astray.items():
        console.note(f"{title}: machines look for it at {', '.join(keys)}; put it anew", Style.WARN)
    if request.json:
        keys = ("kind", "name", "scopes", "bytes", "versions")
        console.json([dict(zip(keys, (t.kind, t.name, t.scopes, len(t.data), t.versions), strict=True)) for t in found])
        return Exit.OK
    rows: list[tuple[Cell, ...]] = [(t.kind, t.name, ", ".join(t.scopes), f"{len(t.data):,}") for t in found]
    if rows:
        console.table(("KIND", "NAME", "SCOPE", "BYTES"), rows)
    else:
        console.line("there is no document", Style.DIM)
    return Exit.OK


def get(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents get`."""

    async def run() -> tuple[NamedDocument, bytes]:
        async with opened_shelf(request) as shelf:
            text = named(await shelf.all(), request.name)
            if not request.version:
                return text, text.data
            past = await shelf.database.history(min(text.versions), MOST_VERSIONS)
            there = [entry.data for entry in past if entry.version == request.version]
            if not there:
                raise Failure(f"{text.title} has no version {request.version} (any more)")
            return text, there[0]

    text, data = asyncio.run(run())
    if request.json:
        console.json({"kind": text.kind, "name": text.name, "scopes": text.scopes, "text": data.decode()})
    else:
        console.text(data.decode("utf-8", "replace"))
    return Exit.OK


def history(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents history`."""

    async def run() -> tuple[NamedDocument, list[RawDocument]]:
        async with opened_shelf(request) as shelf:
            text = named(await shelf.all(), request.name)
            past = await shelf.database.history(min(text.versions), MOST_VERSIONS)
            return text, [(entry.version, entry.data) for entry in past]

    text, past = asyncio.run(run())
    if request.json:
        console.json([{"version": version, "text": data.decode()} for version, data in past if version != ABSENT])
        return Exit.OK
    if not past:
        console.line(f"the store keeps no history; {text.title} is all there is", Style.DIM)
        return Exit.OK
    rows: list[tuple[Cell, ...]] = []
    for (version, data), older in zip(past, [*past[1:], None], strict=True):
        if version != ABSENT:
            rows.append((version, f"{len(data):,}", _changed(older, data)))
    console.table(("VERSION", "BYTES", "AGAINST THE ONE BEFORE"), rows)
    return Exit.OK


def diff(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents diff`."""

    async def run() -> list[Wanted]:
        async with opened_shelf(request) as shelf:
            return wanted_of(request, await shelf.all())

    wanted = [each for each in asyncio.run(run()) if each.news]
    for each in wanted:
        console.text(unified(each.was.data if each.was else b"", each.data, each.title, each.document.where.path))
    return Exit.CHANGES if wanted and request.exit_code else Exit.OK


@asynccontextmanager
async def opened_shelf(request: Namespace) -> AsyncIterator[NamedDocuments]:
    """The store, or without one the directory of this machine. Raises `Failure`."""
    source = read_settings(request.root)[0].source
    if not request.store and source.type is SourceKind.DIRECTORY:
        try:
            path = request.root / source.path.lstrip("/")
            yield NamedDocuments(LocalDatabase(path), LocalDatabase.keys)
        except (SourceError, Conflict) as error:
            raise Failure(str(error)) from None
        return
    async with opened(request) as database:
        yield NamedDocuments(database)


def named(texts: Sequence[NamedDocument], name: str) -> NamedDocument:
    """The document called ``name``, or ``kind/name``. Raises `Failure`."""
    found = [text for text in texts if name in (text.name, text.title)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Failure(f"there are several {name}: {', '.join(text.title for text in found)}")
    hint = near(name, [*(text.name for text in texts), *(text.title for text in texts)])
    raise Failure(f"there is no document {name}" + (f"; {hint}" if hint else ""))


def wanted_of(request: Namespace, there: Sequence[NamedDocument]) -> list[Wanted]:
    """The documents of the files, each with what is there of it. Raises `Refused`."""
    files, problems = contents(request.file)
    by_title = {text.title: text for text in there}
    found: list[Wanted] = []
    for path, data in files:
        documents, wrong = split_file(path, data)
        problems = (*problems, *wrong)
        for document, text in documents:
            if document.kind is DocumentKind.RELEASE:
                hint = "ordainctl release publish"
                problems = (*problems, Problem(where=document.where, what="a release is not put by hand", hint=hint))
            was = by_title.get(f"{document.kind.lower()}/{document.name}")
            found.append(Wanted(document=document, data=text, was=was))
    if errors(problems):
        raise Refused(problems)
    return found


def unified(old: bytes, new: bytes, before: str, after: str) -> str:
    """The difference of two texts as `diff -u` shows it."""
    lines = difflib.unified_diff(_lines(old), _lines(new), before, after)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines(keepends=True)


def _changed(older: tuple[str, bytes] | None, data: bytes) -> str:
    if older is None:
        return "the one before is gone from the store"
    if older[0] == ABSENT:
        return "new"
    signs = [line[0] for line in difflib.ndiff(_lines(older[1]), _lines(data))]
    return f"{signs.count('+')} lines more, {signs.count('-')} less"
