"""documents put, delete, edit: changes of the documents of a store, or of the directory of this machine.

Changes are checked first, shown with their effect on the machines that report, and never overwrite somebody else's.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import transforms
from ordain.agent.cli.json_shapes import (
    JsonDocumentWrite,
    JsonEffect,
    JsonValueChange,
    json_problems,
)
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.fleet_reports import FleetReader
from ordain.agent.cli.store.open_store import note_releases, require_reason, store_author
from ordain.agent.cli.store.required_tests import require_tests
from ordain.agent.cli.store.stored_documents import (
    NewText,
    changed_lines,
    document_named,
    in_store,
    read_new_texts,
    unified_diff,
)
from ordain.agent.delivery.database.database import ABSENT as DELETED
from ordain.agent.delivery.database.database import Conflict, Write
from ordain.agent.delivery.database.named_documents import NamedDocument, NamedDocuments, split_file
from ordain.agent.delivery.fleet.fleet_query import FleetQuery
from ordain.agent.delivery.fleet.preview import ABSENT, PreviewGroup, preview_change
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.protocol import ReleaseReference, SourceError
from ordain.agent.delivery.release.change_log import (
    Author,
    ChangeAction,
    change_entry,
    new_change,
)
from ordain.agent.delivery.source.local_database import LocalDatabase
from ordain.agent.errors import Failure
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.errors import Problem, Refused, only_errors
from ordain.transforms.model import Document
from ordain.transforms.resolve.resolve import certain_conflicts, duplicates

MOST_NAMES = 5
"""The number of machines that are named for one effect; the others are counted."""


LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The effects of a change on the ``known`` machines, those that report to the store.

    ``unknown`` are the numbers of machines that cannot be compared, by the reason. ``released``: some follow releases.
    """

    known: int
    effects: tuple[PreviewGroup, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)
    released: bool = False


def put(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents put`."""

    async def work(store: NamedDocuments) -> None:
        author = await _author(request, store, console)
        stored = await store.all()
        new_texts = read_new_texts(request, stored)
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

    in_store(request, work)
    return Exit.OK


def delete(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents delete`."""

    async def work(store: NamedDocuments) -> None:
        author = await _author(request, store, console)
        stored = await store.all()
        text = document_named(stored, request.name)
        after = [document for other in stored if other is not text for document in other.documents()]
        await require_tests(request, store.database, (), after, console)
        preview = await _preview(request, store, stored, after)
        if not request.preview:
            change = author and replace(new_change(ChangeAction.DELETE, [text.title], author), removed=text.versions)
            also = [change_entry(change)] if change else []
            await store.delete(text, also)
        _report([(text.title, "deleted")], preview, request, console)

    in_store(request, work)
    return Exit.OK


def edit(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl documents edit`."""

    async def work(store: NamedDocuments) -> None:
        author = await _author(request, store, console)
        stored = await store.all()
        text = document_named(stored, request.name)
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
                now = document_named(await store.all(), text.title)
                console.text(unified_diff(text.data, now.data, "as you opened it", "as it is in the store now"))
                raise Failure(f"{text.title} was changed by somebody else, see above; your text is in {path}") from None
            except (Refused, Failure):
                console.note(
                    f"nothing was written; correct your text in {path}, and put it: ordainctl documents put {path}",
                    Style.WARN,
                )
                raise
            _report([(text.title, "changed")], preview, request, console)
        path.unlink()

    in_store(request, work)
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
        ChangeAction.PUT, [new.title], author, what=changed_lines(old, new.data), texts={new.title: new.data}
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
        machines = (await FleetReader().read(store.database)).machines
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
