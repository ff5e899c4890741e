"""documents list, diff: the documents of a store, or of the directory of this machine."""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.documents.document_files import contents
from ordain.agent.cli.json_shapes import (
    JsonDocumentDifference,
    JsonStoredDocument,
)
from ordain.agent.cli.store.open_store import opened, run_coroutine
from ordain.agent.delivery.database.database import ABSENT as DELETED
from ordain.agent.delivery.database.database import Conflict
from ordain.agent.delivery.database.named_documents import NamedDocument, NamedDocuments, split_file
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.local_database import LocalDatabase
from ordain.agent.errors import Failure
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind
from ordain.transforms.control_characters import visible
from ordain.transforms.document.text.node import SUFFIXES
from ordain.transforms.errors import Problem, Refused, did_you_mean, only_errors
from ordain.transforms.model import Document
from ordain.transforms.model import Kind as DocumentKind

T = TypeVar("T")

MOST_OF_KEY = 100
"""The characters of a key that are shown: those of other programs can have any length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewText:
    """A document to write, and the text that the store has of it now."""

    document: Document
    data: bytes
    stored: NamedDocument | None

    @property
    def title(self) -> str:
        """``layer/web``."""
        return f"{self.document.kind.lower()}/{self.document.name}"

    @property
    def differs(self) -> bool:
        """True unless the same text is stored already."""
        return self.stored is None or self.stored.data != self.data


def list_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents list`."""

    async def work(
        store: NamedDocuments,
    ) -> tuple[tuple[NamedDocument, ...], dict[str, tuple[str, ...]], tuple[str, ...]]:
        texts, others = await store.all_and_others()
        return texts, {text.title: keys for text in texts if (keys := store.missing_keys(text))}, others

    texts, misplaced, others = in_store(request, work)
    note_conflicts(texts, console)
    if others:
        what = f"{plural(len(others), 'key')} of other programs, such as {visible(others[0][:MOST_OF_KEY])}"
        console.note(f"the store has {what}: no machine reads them; find the program that writes there", Style.WARN)
    for title, keys in misplaced.items():
        console.note(f"{title}: machines look for it at {', '.join(keys)}; write it again", Style.WARN)
    if request.json:
        console.json(
            [
                JsonStoredDocument(
                    kind=t.kind, name=t.name, scopes=t.scopes, bytes=len(t.data), versions=dict(t.versions)
                )
                for t in texts
            ]
        )
        return Exit.OK
    rows: list[tuple[Cell, ...]] = [(t.kind, t.name, f"{len(t.data):,}", ", ".join(t.scopes)) for t in texts]
    console.table(("KIND", "NAME", "BYTES", "SCOPE"), rows)
    if not rows:
        console.line("there are no documents", Style.DIM)
        _note_files(request, console)
    return Exit.OK


def _note_files(request: Namespace, console: Console) -> None:
    """Tell of files with documents in a directory that was named as a store: `ordainctl serve` reads them."""
    folder = Path(request.store or "")
    if request.store and folder.is_dir() and any(path.suffix in SUFFIXES for path in folder.iterdir()):
        console.note(
            f"{folder} has files with documents but is not a store (`ordainctl validate {folder}` checks the files; "
            f"`ordainctl documents put FILE --store STORE` writes one to a store)",
            Style.WARN,
        )


def diff(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents diff`."""

    async def work(store: NamedDocuments) -> list[NewText]:
        return read_new_texts(request, await store.all())

    changed = [new for new in in_store(request, work) if new.differs]
    texts = {
        new.title: unified_diff(new.stored.data if new.stored else b"", new.data, new.title, new.document.where.path)
        for new in changed
    }
    if request.json:
        console.json([JsonDocumentDifference(document=title, diff=text) for title, text in texts.items()])
    else:
        console.text("".join(texts.values()))
    return Exit.CHANGES if changed and request.exit_code else Exit.OK


def in_store(request: Namespace, work: Callable[[NamedDocuments], Coroutine[Any, Any, T]]) -> T:
    """Return the result of ``work`` on the opened store. Raises `Failure`."""

    async def run() -> T:
        async with _opened_store(request) as store:
            return await work(store)

    return run_coroutine(run())


@asynccontextmanager
async def _opened_store(request: Namespace) -> AsyncIterator[NamedDocuments]:
    """Open the store, or without one the directory of this machine. Raises `Failure`."""
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


def document_named(texts: Sequence[NamedDocument], name: str) -> NamedDocument:
    """Return the document called ``name``, or ``kind/name``. Raises `Failure`."""
    matching = [text for text in texts if name in (text.name, text.title)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise Failure(f"several documents are called {name}: {', '.join(text.title for text in matching)}")
    hint = did_you_mean(name, [*(text.name for text in texts), *(text.title for text in texts)])
    raise Failure(f"there is no document {name}" + (f"; {hint}" if hint else ""))


def read_new_texts(request: Namespace, stored: Sequence[NamedDocument]) -> list[NewText]:
    """Return the documents in the files, each with the stored text of its title. Raises `Refused`."""
    files, problems = contents(request.file)
    by_title = {text.title: text for text in stored}
    new_texts: list[NewText] = []
    for path, data in files:
        documents, wrong = split_file(path, data)
        problems = (*problems, *wrong)
        for document, text in documents:
            if document.kind is DocumentKind.RELEASE:
                fault = "a Release cannot be written with `documents put`"
                hint = "use `ordainctl release publish`"
                problems = (*problems, Problem(where=document.where, what=fault, hint=hint))
            title = f"{document.kind.lower()}/{document.name}"
            new_texts.append(NewText(document=document, data=text, stored=by_title.get(title)))
    if only_errors(problems):
        raise Refused(problems)
    return new_texts


def note_conflicts(texts: Sequence[NamedDocument], console: Console) -> None:
    """Name each document of which it is not clear which version is intended."""
    for text in texts:
        for reason in text.conflicts.values():
            console.note(
                f"{text.title} {reason}; machines keep what they have until `ordainctl documents put {text.name}.yaml` "
                "or `documents delete` settles it",
                Style.WARN,
            )


def unified_diff(old: bytes, new: bytes, before: str, after: str) -> str:
    """Return the difference of two texts as `diff -u` shows it."""
    lines = difflib.unified_diff(_lines(old), _lines(new), before, after)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines(keepends=True)


def changed_lines(older: tuple[str, bytes] | None, data: bytes) -> str:
    """Return the number of lines by which a text differs from its version before, in words."""
    if older is None:
        return "the version before it is not in the store any more"
    if older[0] == DELETED:
        return "new"
    signs = [line[0] for line in difflib.ndiff(_lines(older[1]), _lines(data))]
    return f"{plural(signs.count('+'), 'line')} added, {signs.count('-')} removed"
