"""documents list, get, put, delete, edit, history, diff: the documents of a store, or of this machine's directory."""

from __future__ import annotations

import asyncio
import difflib
import os
import shlex
import subprocess
import tempfile
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.documents import contents, transforms
from ordain.agent.cli.storing import opened
from ordain.agent.failure import Failure
from ordain.agent.fleet.machines import reports
from ordain.agent.preview import ABSENT, Effect, effects
from ordain.agent.release.admit import STABLE
from ordain.agent.release.publish import head_key
from ordain.agent.settings import read_settings
from ordain.agent.sources import SourceError
from ordain.agent.sources.database import GONE, Conflict
from ordain.agent.sources.local_documents import LocalDocuments
from ordain.agent.sources.settings import Kind
from ordain.agent.sources.shelf import Shelf, Text, pieces
from ordain.transforms.errors import Problem, Refused, errors, near
from ordain.transforms.model import Document
from ordain.transforms.model import Kind as DocumentKind
from ordain.transforms.names import shared_versions
from ordain.transforms.resolve import certain_conflicts, duplicates

MOST_VERSIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A document to write, and what is there of it."""

    document: Document
    data: bytes
    was: Text | None

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

    async def run() -> tuple[tuple[Text, ...], dict[str, tuple[str, ...]]]:
        async with _shelf(request) as shelf:
            texts = await shelf.texts()
            return texts, {text.title: keys for text in texts if (keys := shelf.astray(text))}

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

    async def run() -> tuple[Text, bytes]:
        async with _shelf(request) as shelf:
            text = _named(await shelf.texts(), request.name)
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


def put(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents put`."""

    async def run() -> Exit:
        async with _shelf(request) as shelf:
            there = await shelf.texts()
            wanted = _wanted(request, there)
            warnings = _checked(wanted, there)
            news = [each for each in wanted if each.news or (each.was and shelf.astray(each.was))]
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
        async with _shelf(request) as shelf:
            there = await shelf.texts()
            text = _named(there, request.name)
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
        async with _shelf(request) as shelf:
            there = await shelf.texts()
            text = _named(there, request.name)
            path = _edited(text)
            data = path.read_bytes()
            if data == text.data:
                path.unlink()
                console.line(f"{text.title} is as it was")
                return Exit.OK
            try:
                found, problems = pieces(str(path), data)
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
                now = _named(await shelf.texts(), text.title)
                console.text(_diff(text.data, now.data, "as you got it", "as somebody else has left it"))
                raise Failure(f"{text.title} was changed meanwhile, see above; your text is in {path}") from None
            except (Refused, Failure):
                console.note(f"nothing was written; your text is in {path}", Style.WARN)
                raise
            path.unlink()
        _tell([(text.title, "changed")], touched, request, console)
        return Exit.OK

    return asyncio.run(run())


def history(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents history`."""

    async def run() -> tuple[Text, list[tuple[str, bytes]]]:
        async with _shelf(request) as shelf:
            text = _named(await shelf.texts(), request.name)
            past = await shelf.database.history(min(text.versions), MOST_VERSIONS)
            return text, [(entry.version, entry.data) for entry in past]

    text, past = asyncio.run(run())
    if request.json:
        console.json([{"version": version, "text": data.decode()} for version, data in past if version != GONE])
        return Exit.OK
    if not past:
        console.line(f"the store keeps no history; {text.title} is all there is", Style.DIM)
        return Exit.OK
    rows: list[tuple[Cell, ...]] = []
    for (version, data), older in zip(past, [*past[1:], None], strict=True):
        if version != GONE:
            rows.append((version, f"{len(data):,}", _changed(older, data)))
    console.table(("VERSION", "BYTES", "AGAINST THE ONE BEFORE"), rows)
    return Exit.OK


def diff(request: Namespace, console: Console) -> Exit:
    """`ordainctl documents diff`."""

    async def run() -> list[Wanted]:
        async with _shelf(request) as shelf:
            return _wanted(request, await shelf.texts())

    wanted = [each for each in asyncio.run(run()) if each.news]
    for each in wanted:
        console.text(_diff(each.was.data if each.was else b"", each.data, each.title, each.document.where.path))
    return Exit.CHANGES if wanted and request.exit_code else Exit.OK


@asynccontextmanager
async def _shelf(request: Namespace) -> AsyncIterator[Shelf]:
    """The store, or without one the directory of this machine. Raises `Failure`."""
    source = read_settings(request.root)[0].source
    if not request.store and source.type is Kind.DIRECTORY:
        try:
            path = request.root / source.path.lstrip("/")
            yield Shelf(LocalDocuments(path), LocalDocuments.keys)
        except (SourceError, Conflict) as error:
            raise Failure(str(error)) from None
        return
    async with opened(request) as database:
        yield Shelf(database)


def _named(texts: Sequence[Text], name: str) -> Text:
    found = [text for text in texts if name in (text.name, text.title)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Failure(f"there are several {name}: {', '.join(text.title for text in found)}")
    hint = near(name, [*(text.name for text in texts), *(text.title for text in texts)])
    raise Failure(f"there is no document {name}" + (f"; {hint}" if hint else ""))


def _wanted(request: Namespace, there: Sequence[Text]) -> list[Wanted]:
    """The documents of the files, each with what is there of it. Raises `Refused`."""
    files, problems = contents(request.file)
    by_title = {text.title: text for text in there}
    found: list[Wanted] = []
    for path, data in files:
        documents, wrong = pieces(path, data)
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


def _checked(wanted: Sequence[Wanted], there: Sequence[Text]) -> tuple[Problem, ...]:
    """What is wrong with the whole set that would be, and is not wrong with it now. Raises `Refused` for errors."""
    before = [document for text in there for document in text.documents()]
    after = _after(wanted, there)
    known = {problem.what for problem in certain_conflicts(before)}
    problems = (*duplicates(after), *(p for p in certain_conflicts(after) if p.what not in known))
    if errors(problems):
        raise Refused(problems)
    return problems


def _after(wanted: Sequence[Wanted], there: Sequence[Text]) -> list[Document]:
    written = {each.title for each in wanted}
    kept = [document for text in there if text.title not in written for document in text.documents()]
    return [*kept, *(each.document for each in wanted)]


async def _effects(
    request: Namespace, shelf: Shelf, there: Sequence[Text], after: Sequence[Document]
) -> tuple[int, tuple[Effect, ...]]:
    """How many machines report there, and what would become of it on them."""
    try:
        found, _, _ = await reports(shelf.database)
    except SourceError:  # who may write documents may not be one who may read reports
        return 0, ()
    before = [document for text in there for document in text.documents()]
    shared = shared_versions((*transforms(request.root), *after))
    return len(found), effects(before, after, found, shared)


def _fate(wanted: Wanted, written: bool) -> str:
    if wanted.was is None:
        return "new"
    if not written:
        return "as it was"
    return "changed" if wanted.news else "moved to where machines look"


def _accepted(touched: tuple[int, tuple[Effect, ...]]) -> None:
    """Raises `Refused` if a machine would refuse its documents: then it follows no change any more."""
    if problems := [problem for effect in touched[1] for problem in effect.problems]:
        raise Refused(problems)


def _tell(
    told: Sequence[tuple[str, str]], touched: tuple[int, tuple[Effect, ...]], request: Namespace, console: Console
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


def _edited(text: Text) -> Path:
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


def _diff(old: bytes, new: bytes, before: str, after: str) -> str:
    lines = difflib.unified_diff(_lines(old), _lines(new), before, after)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines(keepends=True)


def _changed(older: tuple[str, bytes] | None, data: bytes) -> str:
    if older is None:
        return "the one before is gone from the store"
    if older[0] == GONE:
        return "new"
    signs = [line[0] for line in difflib.ndiff(_lines(older[1]), _lines(data))]
    return f"{signs.count('+')} lines more, {signs.count('-')} less"
