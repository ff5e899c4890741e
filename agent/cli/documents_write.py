"""documents put, delete, edit: checked first, told where it is felt, and never over somebody else's change."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.document_files import transforms
from ordain.agent.cli.documents_read import Wanted, named, opened_shelf, unified, wanted_of
from ordain.agent.delivery.database.database import Conflict
from ordain.agent.delivery.database.named_documents import NamedDocument, NamedDocuments, split_file
from ordain.agent.delivery.fleet.preview import ABSENT, PreviewGroup, preview_change
from ordain.agent.delivery.fleet.reports import read_reports
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.channel import STABLE
from ordain.agent.delivery.release.publish import head_key
from ordain.agent.errors import Failure
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.errors import Problem, Refused, errors
from ordain.transforms.model import Document
from ordain.transforms.resolve.resolve import certain_conflicts, duplicates


def put(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents put`."""

    async def run() -> Exit:
        async with opened_shelf(request) as shelf:
            there = await shelf.all()
            wanted = wanted_of(request, there)
            warnings = _checked(wanted, there)
            news = [each for each in wanted if each.news or (each.was and shelf.missing_keys(each.was))]
            after = _after(wanted, there)
            touched = await _effects(request, shelf, there, after)
            if not request.preview:
                _accepted(touched)
                for each in news:
                    await shelf.put(each.document, each.data, each.was)
            released = await shelf.database.get(head_key(STABLE))
        told = [(each.title, _fate(each, each in news)) for each in wanted]
        if not request.json:
            console.problems(warnings)
        if released:
            console.note("there are releases here: machines take those, and not this until `ordainctl release` says so")
        _tell(told, touched, request, console)
        return Exit.OK

    return asyncio.run(run())


def delete(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents delete`."""

    async def run() -> Exit:
        async with opened_shelf(request) as shelf:
            there = await shelf.all()
            text = named(there, request.name)
            after = [document for each in there if each is not text for document in each.documents()]
            touched = await _effects(request, shelf, there, after)
            if not request.preview:
                await shelf.delete(text)
        _tell([(text.title, "removed")], touched, request, console)
        return Exit.OK

    return asyncio.run(run())


def edit(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents edit`."""

    async def run() -> Exit:
        async with opened_shelf(request) as shelf:
            there = await shelf.all()
            text = named(there, request.name)
            path = _edited(text)
            data = path.read_bytes()
            if data == text.data:
                path.unlink()
                console.line(f"{text.title} is as it was")
                return Exit.OK
            try:
                found, problems = split_file(str(path), data)
                if errors(problems):
                    raise Refused(problems)
                if len(found) != 1 or (found[0][0].kind.lower(), found[0][0].name) != (text.kind, text.name):
                    raise Failure(f"this is no longer {text.title}; `ordainctl documents put` writes others")
                wanted = [Wanted(document=found[0][0], data=data, was=text)]
                console.problems(_checked(wanted, there))
                touched = await _effects(request, shelf, there, _after(wanted, there))
                _accepted(touched)
                await shelf.put(wanted[0].document, data, text)
            except Conflict:
                now = named(await shelf.all(), text.title)
                console.text(unified(text.data, now.data, "as you got it", "as somebody else has left it"))
                raise Failure(f"{text.title} was changed meanwhile, see above; your text is in {path}") from None
            except (Refused, Failure):
                console.note(f"nothing was written; your text is in {path}", Style.WARN)
                raise
            path.unlink()
        _tell([(text.title, "changed")], touched, request, console)
        return Exit.OK

    return asyncio.run(run())


def _checked(wanted: Sequence[Wanted], there: Sequence[NamedDocument]) -> tuple[Problem, ...]:
    """What is wrong with the whole set that would be, and is not wrong with it now. Raises `Refused` for errors."""
    before = [document for text in there for document in text.documents()]
    after = _after(wanted, there)
    known = {problem.what for problem in certain_conflicts(before)}
    problems = (*duplicates(after), *(p for p in certain_conflicts(after) if p.what not in known))
    if errors(problems):
        raise Refused(problems)
    return problems


def _after(wanted: Sequence[Wanted], there: Sequence[NamedDocument]) -> list[Document]:
    written = {each.title for each in wanted}
    kept = [document for text in there if text.title not in written for document in text.documents()]
    return [*kept, *(each.document for each in wanted)]


async def _effects(
    request: Namespace, shelf: NamedDocuments, there: Sequence[NamedDocument], after: Sequence[Document]
) -> tuple[int, tuple[PreviewGroup, ...]]:
    """How many machines report there, and what would become of it on them."""
    try:
        found, _, _ = await read_reports(shelf.database)
    except SourceError:  # who may write documents may not be one who may read reports
        return 0, ()
    before = [document for text in there for document in text.documents()]
    shared = shared_versions((*transforms(request.root), *after))
    return len(found), preview_change(before, after, found, shared)


def _fate(wanted: Wanted, written: bool) -> str:
    if wanted.was is None:
        return "new"
    if not written:
        return "as it was"
    return "changed" if wanted.news else "moved to where machines look"


def _accepted(touched: tuple[int, tuple[PreviewGroup, ...]]) -> None:
    """Raises `Refused` if a machine would refuse its documents: then it follows no change any more."""
    if problems := [problem for effect in touched[1] for problem in effect.problems]:
        raise Refused(problems)


def _tell(
    told: Sequence[tuple[str, str]], touched: tuple[int, tuple[PreviewGroup, ...]], request: Namespace, console: Console
) -> None:
    known, found = touched
    preview = getattr(request, "preview", False)
    if getattr(request, "json", False):
        machines = [
            {
                "machines": effect.machines,
                "changes": [
                    {"pointer": v.pointer, "before": _plain(v.before), "after": _plain(v.after)} for v in effect.values
                ],
                "problems": [problem.to_json() for problem in effect.problems],
            }
            for effect in found
        ]
        console.json({"documents": dict(told), "written": not preview, "known": known, "touches": machines})
        return
    for title, what in told:
        console.line(f"{title}: {what}{' (not written)' if preview else ''}", Style.GOOD)
    if known:
        count = sum(len(effect.machines) for effect in found)
        console.line(f"touches {count} of {plural(known, 'known machine')}")
    for effect in found:
        console.line(f"  {_listed(effect.machines)}:")
        for problem in effect.problems:
            console.line(f"    refused: {problem}", Style.BAD)
        for value in effect.values:
            console.line(f"    {value.pointer}: {_shown(value.before)} → {_shown(value.after)}")


def _listed(machines: Sequence[str], most: int = 5) -> str:
    rest = len(machines) - most
    return ", ".join(machines[:most]) + (f" and {rest} more" if rest > 0 else "")


def _plain(value: object) -> object:
    return None if value is ABSENT else value


def _shown(value: object) -> str:
    text = "nothing" if value is ABSENT else _words(value)
    return text if len(text) < 60 else f"{text[:57]}…"


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_words, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _edited(text: NamedDocument) -> Path:
    """A file with the text after somebody has edited it. Raises `Failure`."""
    descriptor, name = tempfile.mkstemp(prefix=f"{text.name}-", suffix=".yaml")
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.data)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), name], check=False)
    except OSError as error:
        raise Failure(f"{editor}: {error.strerror} (set EDITOR)") from None
    if done.returncode:
        raise Failure(f"{editor} ended with {done.returncode}; nothing was written; your text is in {name}")
    return Path(name)
