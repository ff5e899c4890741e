"""documents list, get, put, delete, edit, history, diff: the documents of a store, or of this machine's directory.

Changes are checked first, shown with their effect on the machines that report, and never overwrite somebody else's.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.documents.document_files import contents, transforms
from ordain.agent.cli.json_shapes import (
    JsonDocumentDifference,
    JsonDocumentText,
    JsonDocumentVersion,
    JsonDocumentWrite,
    JsonEffect,
    JsonStoredDocument,
    JsonValueChange,
    json_problems,
)
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.open_store import note_releases, opened, require_reason, store_author
from ordain.agent.cli.store.required_tests import require_tests
from ordain.agent.delivery.database.database import ABSENT as DELETED
from ordain.agent.delivery.database.database import Conflict, Write
from ordain.agent.delivery.database.named_documents import NamedDocument, NamedDocuments, split_file
from ordain.agent.delivery.fleet.fleet_query import FleetQuery
from ordain.agent.delivery.fleet.preview import ABSENT, PreviewGroup, preview_change
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.reports import read_reports
from ordain.agent.delivery.protocol import ReleaseReference, SourceError
from ordain.agent.delivery.release.change_log import (
    Author,
    ChangeAction,
    StoreChange,
    change_entry,
    new_change,
    read_changes,
)
from ordain.agent.delivery.source.local_database import LocalDatabase
from ordain.agent.errors import Failure
from ordain.agent.local_time import local_time
from ordain.agent.model import to_json
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.document.text.node import SUFFIXES
from ordain.transforms.errors import Problem, Refused, did_you_mean, only_errors
from ordain.transforms.model import Document
from ordain.transforms.model import Kind as DocumentKind
from ordain.transforms.resolve.resolve import certain_conflicts, duplicates

T = TypeVar("T")

MOST_VERSIONS = 100
MOST_NAMES = 5
"""The number of machines that are named for one effect; the others are counted."""
LONGEST_VALUE = 60


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The effects of a change on the ``known`` machines, those that report to the store.

    ``unknown`` are the numbers of machines that cannot be compared, by the reason. ``released``: some follow releases.
    """

    known: int
    effects: tuple[PreviewGroup, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)
    released: bool = False


def list_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents list`."""

    async def work(store: NamedDocuments) -> tuple[tuple[NamedDocument, ...], dict[str, tuple[str, ...]]]:
        texts = await store.all()
        return texts, {text.title: keys for text in texts if (keys := store.missing_keys(text))}

    texts, misplaced = _in_store(request, work)
    _note_conflicts(texts, console)
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


def get(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents get`."""

    async def work(store: NamedDocuments) -> tuple[NamedDocument, bytes]:
        text = _named(await store.all(), request.name)
        if not request.version:
            return text, text.data
        for version, data in await _versions(store, text):
            if version == request.version:
                return text, data
        raise Failure(f"{text.title}: the store does not have version {request.version}")

    text, data = _in_store(request, work)
    _note_conflicts([text], console)
    if request.json:
        console.json(JsonDocumentText(kind=text.kind, name=text.name, scopes=text.scopes, text=data.decode()))
    else:
        console.text(data.decode("utf-8", "replace"))
    return Exit.OK


def history(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents history`."""

    async def work(
        store: NamedDocuments,
    ) -> tuple[NamedDocument, list[tuple[str, bytes]], dict[str, StoreChange]]:
        text = _named(await store.all(), request.name)
        versions = await _versions(store, text)
        return text, versions, await _writers(store, text, versions)

    text, versions, writers = _in_store(request, work)
    if request.json:
        console.json(
            [
                JsonDocumentVersion(version=version, text=data.decode(), change=to_json(writers.get(version)))
                for version, data in versions
                if version != DELETED
            ]
        )
        return Exit.OK
    if not versions:
        console.line(f"the store keeps no earlier versions of {text.title}", Style.DIM)
        return Exit.OK
    rows: list[tuple[Cell, ...]] = [
        (version, f"{len(data):,}", *_writer_cells(writers.get(version)), _changed_lines(older, data))
        for (version, data), older in zip(versions, [*versions[1:], None], strict=True)
        if version != DELETED
    ]
    console.table(("VERSION", "BYTES", "TIME", "BY", "WHY", "CHANGE"), rows)
    return Exit.OK


def diff(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents diff`."""

    async def work(store: NamedDocuments) -> list[NewText]:
        return _new_texts(request, await store.all())

    changed = [new for new in _in_store(request, work) if new.differs]
    texts = {
        new.title: _unified(new.stored.data if new.stored else b"", new.data, new.title, new.document.where.path)
        for new in changed
    }
    if request.json:
        console.json([JsonDocumentDifference(document=title, diff=text) for title, text in texts.items()])
    else:
        console.text("".join(texts.values()))
    return Exit.CHANGES if changed and request.exit_code else Exit.OK


def put(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents put`."""

    async def work(store: NamedDocuments) -> None:
        author = await _author(request, store, console)
        stored = await store.all()
        new_texts = _new_texts(request, stored)
        warnings = _check(new_texts, stored)
        await require_tests(request, store.database, request.file, _after(new_texts, stored), console)
        to_write = [
            new
            for new in new_texts
            if new.differs or (new.stored and (new.stored.conflicts or store.missing_keys(new.stored)))
        ]
        preview = await _preview(request, store, stored, _after(new_texts, stored))
        if not request.preview:
            _refuse_problems(preview, request)
            for new in to_write:
                await store.put(new.document, new.data, new.stored, _put_entry(new, author))
        if not request.json:
            console.problems(warnings)
        await note_releases(store.database, console)
        _report([(new.title, _result(new, new in to_write)) for new in new_texts], preview, request, console)

    _in_store(request, work)
    return Exit.OK


def delete(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents delete`."""

    async def work(store: NamedDocuments) -> None:
        author = await _author(request, store, console)
        stored = await store.all()
        text = _named(stored, request.name)
        after = [document for other in stored if other is not text for document in other.documents()]
        await require_tests(request, store.database, (), after, console)
        preview = await _preview(request, store, stored, after)
        if not request.preview:
            also = [change_entry(new_change(ChangeAction.DELETE, [text.title], author))] if author else []
            await store.delete(text, also)
        _report([(text.title, "deleted")], preview, request, console)

    _in_store(request, work)
    return Exit.OK


def edit(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents edit`."""

    async def work(store: NamedDocuments) -> None:
        author = await _author(request, store, console)
        stored = await store.all()
        text = _named(stored, request.name)
        path, data = _edited(text)
        if data == text.data:
            console.line(f"{text.title}: not changed")
        else:
            try:
                new = _checked_edit(path, data, text)
                console.problems(_check([new], stored))
                await require_tests(request, store.database, (), _after([new], stored), console)
                preview = await _preview(request, store, stored, _after([new], stored))
                _refuse_problems(preview, request)
                await store.put(new.document, data, text, _put_entry(new, author))
            except Conflict:
                now = _named(await store.all(), text.title)
                console.text(_unified(text.data, now.data, "as you opened it", "as it is in the store now"))
                raise Failure(f"{text.title} was changed by somebody else, see above; your text is in {path}") from None
            except (Refused, Failure):
                console.note(f"nothing was written; your text is in {path}", Style.WARN)
                raise
            _report([(text.title, "changed")], preview, request, console)
        path.unlink()

    _in_store(request, work)
    return Exit.OK


async def _author(request: Namespace, store: NamedDocuments, console: Console) -> Author | None:
    """Return who changes the store, and why; None for the directory of this machine, which has no log.

    Raises `Failure` if a reason is missing.
    """
    if isinstance(store.database, LocalDatabase):
        if request.why:
            raise Usage(
                "the directory of this machine keeps no reasons; leave out --why (`ordainctl history` has the owner)"
            )
        return None
    if getattr(request, "preview", False):
        return store_author(request)
    return await require_reason(store.database, store_author(request), console)


def _put_entry(new: NewText, author: Author | None) -> list[Write]:
    """Return the entry of the log of a store for a document that is written."""
    if author is None:
        return []
    old = (new.stored.title, new.stored.data) if new.stored else (DELETED, b"")
    change = new_change(
        ChangeAction.PUT, [new.title], author, what=_changed_lines(old, new.data), texts={new.title: new.data}
    )
    return [change_entry(change)]


def _edited(text: NamedDocument) -> tuple[Path, bytes]:
    """Open the text in the user's editor, and return the file and its content afterwards. Raises `Failure`."""
    descriptor, name = tempfile.mkstemp(prefix=f"{text.name}-", suffix=".yaml")
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.data)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or shutil.which("editor") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), name], check=False)
    except OSError as error:
        raise Failure(f"cannot run the editor {editor}: {error.strerror}; set EDITOR") from None
    if done.returncode:
        raise Failure(f"{editor} exited with {done.returncode}; nothing was written; your text is in {name}")
    return Path(name), Path(name).read_bytes()


def _checked_edit(path: Path, data: bytes, text: NamedDocument) -> NewText:
    """Return the edited document if it is valid and still the same one. Raises `Refused` or `Failure`."""
    documents, problems = split_file(str(path), data)
    if only_errors(problems):
        raise Refused(problems)
    if len(documents) != 1 or (documents[0][0].kind.lower(), documents[0][0].name) != (text.kind, text.name):
        raise Failure(f"the text is not {text.title} any more; use `ordainctl documents put` for other documents")
    return NewText(document=documents[0][0], data=data, stored=text)


def _in_store(request: Namespace, work: Callable[[NamedDocuments], Coroutine[Any, Any, T]]) -> T:
    """Return the result of ``work`` on the opened store. Raises `Failure`."""

    async def run() -> T:
        async with _opened_store(request) as store:
            return await work(store)

    return asyncio.run(run())


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


async def _versions(store: NamedDocuments, text: NamedDocument) -> list[tuple[str, bytes]]:
    """Return the versions of a document that the store keeps, latest first."""
    entries = await store.database.history(min(text.versions), MOST_VERSIONS)
    return [(entry.version, entry.data) for entry in entries]


async def _writers(
    store: NamedDocuments, text: NamedDocument, versions: Sequence[tuple[str, bytes]]
) -> dict[str, StoreChange]:
    """Return the entry of the log that wrote each version: the latest one with its hash that is not used yet."""
    if isinstance(store.database, LocalDatabase):
        return {}
    log = [change for change in (await read_changes(store.database)).changes if text.title in change.sha256]
    writers = {}
    for version, data in versions:
        sha256 = hashlib.sha256(data).hexdigest()
        while log and log[-1].sha256[text.title] != sha256 and any(c.sha256[text.title] == sha256 for c in log):
            log.pop()
        if log and log[-1].sha256[text.title] == sha256:
            writers[version] = log.pop()
    return writers


def _writer_cells(change: StoreChange | None) -> tuple[str, str, str]:
    return (local_time(change.time), change.by, change.why) if change else ("", "", "")


def _named(texts: Sequence[NamedDocument], name: str) -> NamedDocument:
    """Return the document called ``name``, or ``kind/name``. Raises `Failure`."""
    matching = [text for text in texts if name in (text.name, text.title)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise Failure(f"several documents are called {name}: {', '.join(text.title for text in matching)}")
    hint = did_you_mean(name, [*(text.name for text in texts), *(text.title for text in texts)])
    raise Failure(f"there is no document {name}" + (f"; {hint}" if hint else ""))


def _new_texts(request: Namespace, stored: Sequence[NamedDocument]) -> list[NewText]:
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


def _check(new_texts: Sequence[NewText], stored: Sequence[NamedDocument]) -> tuple[Problem, ...]:
    """Return the problems that the change adds to the whole set of documents. Raises `Refused` for errors."""
    before = [document for text in stored for document in text.documents()]
    after = _after(new_texts, stored)
    known = {problem.what for problem in (*duplicates(before), *certain_conflicts(before))}
    problems = tuple(p for p in (*duplicates(after), *certain_conflicts(after)) if p.what not in known)
    if only_errors(problems):
        raise Refused(problems)
    return problems


def _after(new_texts: Sequence[NewText], stored: Sequence[NamedDocument]) -> list[Document]:
    """Return all documents of the store after the change."""
    replaced = {new.title for new in new_texts}
    kept = [document for text in stored if text.title not in replaced for document in text.documents()]
    return [*kept, *(new.document for new in new_texts)]


async def _preview(
    request: Namespace, store: NamedDocuments, stored: Sequence[NamedDocument], after: Sequence[Document]
) -> Preview:
    """Return the effects of the change on the machines that report to the store.

    A machine that follows releases is compared with the documents of the one that it has: the change would reach it
    with the next one.
    """
    try:
        machines = (await read_reports(store.database)).machines
    except SourceError:  # a user who may write documents is perhaps not allowed to read reports
        return Preview(known=0, effects=())
    plain = [document for text in stored for document in text.documents()]
    by_release: dict[ReleaseReference, list[MachineReport]] = {}
    for report in machines:
        by_release.setdefault(report.release if report.release.number else ReleaseReference(), []).append(report)
    query = FleetQuery(database=store.database, transforms=transforms(request.root), now=time.time())
    documents: Sequence[Document] = ()
    changes: list[tuple[Sequence[Document], list[MachineReport]]] = []
    unknown: dict[str, int] = {}
    for release, reports in by_release.items():
        try:
            documents, problem = await query.documents_of(release) if release.number else (plain, "")
        except SourceError as error:  # the user may perhaps not read releases
            problem = str(error)
        if problem:
            unknown[problem] = len(reports)
        else:
            changes.append((documents, reports))
    shared = shared_versions((*transforms(request.root), *after))
    known = sum(len(reports) for _, reports in changes)
    return Preview(
        known=known,
        effects=preview_change(changes, after, shared),
        unknown=unknown,
        released=any(release.number for release in by_release),
    )


def _refuse_problems(preview: Preview, request: Namespace) -> None:
    """Raise `Refused` if a machine would refuse its documents, because it would then follow no change any more.

    A machine reports its labels and facts itself; --force overrules those that are wrong about themselves.
    """
    if request.force:
        return
    hint = "change the documents, or use --force if these machines are wrong about themselves"
    if problems := [
        replace(problem, what=f"{problem.what}; refused by {_names(effect.machines)}", hint=problem.hint or hint)
        for effect in preview.effects
        for problem in effect.problems
    ]:
        raise Refused(problems)


def _result(new: NewText, written: bool) -> str:
    if new.stored is None:
        return "new"
    if not written:
        return "not changed"
    if new.stored.conflicts:
        return "the conflict is settled"
    return "changed" if new.differs else "moved to the keys that machines read"


def _note_conflicts(texts: Sequence[NamedDocument], console: Console) -> None:
    """Name each document of which it is not clear which version is intended."""
    for text in texts:
        for reason in text.conflicts.values():
            console.note(
                f"{text.title} {reason}; machines keep what they have until `ordainctl documents put {text.name}.yaml` "
                "or `documents delete` settles it",
                Style.WARN,
            )


def _report(results: Sequence[tuple[str, str]], preview: Preview, request: Namespace, console: Console) -> None:
    """Print the result for each document, and the effects on machines."""
    only_preview = getattr(request, "preview", False)
    if getattr(request, "json", False):
        machines = [_effect_to_json(effect) for effect in preview.effects]
        console.json(
            JsonDocumentWrite(documents=dict(results), written=not only_preview, known=preview.known, touches=machines)
        )
        return
    for title, result in results:
        console.line(f"{title}: {result}{' (preview, not written)' if only_preview else ''}", Style.GOOD)
    if preview.known:
        affected = sum(len(effect.machines) for effect in preview.effects)
        later = ", with the next release: compared with the one that each of them has" if preview.released else ""
        console.line(f"affects {affected} of {plural(preview.known, 'known machine')}{later}")
    for reason, machines_of_reason in preview.unknown.items():
        console.line(f"not known for {plural(machines_of_reason, 'machine')}: {reason}", Style.WARN)
    for effect in preview.effects:
        console.line(f"  {_names(effect.machines)}:")
        for problem in effect.problems:
            console.line(f"    refused: {problem}", Style.BAD)
        for value in effect.values:
            console.line(f"    {value.pointer}: {_shown(value.before)} → {_shown(value.after)}")


def _effect_to_json(effect: PreviewGroup) -> JsonEffect:
    return JsonEffect(
        machines=effect.machines,
        changes=[
            JsonValueChange(pointer=v.pointer, before=_json_value(v.before), after=_json_value(v.after))
            for v in effect.values
        ],
        problems=json_problems(effect.problems),
    )


def _names(machines: Sequence[str]) -> str:
    rest = len(machines) - MOST_NAMES
    return ", ".join(machines[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _json_value(value: object) -> object:
    return None if value is ABSENT else value


def _shown(value: object) -> str:
    text = "nothing" if value is ABSENT else _words(value)
    return text if len(text) < LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}…"


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_words, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unified(old: bytes, new: bytes, before: str, after: str) -> str:
    """Return the difference of two texts as `diff -u` shows it."""
    lines = difflib.unified_diff(_lines(old), _lines(new), before, after)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines(keepends=True)


def _changed_lines(older: tuple[str, bytes] | None, data: bytes) -> str:
    if older is None:
        return "the version before it is not in the store any more"
    if older[0] == DELETED:
        return "new"
    signs = [line[0] for line in difflib.ndiff(_lines(older[1]), _lines(data))]
    return f"{plural(signs.count('+'), 'line')} added, {signs.count('-')} removed"
