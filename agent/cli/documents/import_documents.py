"""import: converts unit files, compose files and the like to documents."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import STANDARD_INPUT, transforms
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.transforms.catalog.names import Names, names_for, shared_versions
from ordain.transforms.document.formats import formats
from ordain.transforms.document.reader import read
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.errors import Problem, Refused, Where, only_errors, sorted_problems
from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter, yaml_writer
from ordain.transforms.importing.draft.document_draft import MAX_BYTES, NOT_CONVERTED, DocumentDraft, InputFile
from ordain.transforms.importing.units import unit_assignments, unit_files, whole_machine
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.facts import read_facts
from ordain.transforms.machine.installed_units import read_installed

NULL = Path("/dev/null")
PULLS = {".wants": "WantedBy", ".requires": "RequiredBy"}
"""Directories of links, and the key of [Install] that makes these links."""


def import_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl import`."""
    if not request.file and not request.tree:
        raise Usage("name a FILE, or use --root DIR")
    name = request.name or _name(request.file)
    try:
        formats.FORMATS["name"](name)
    except ValueError as error:
        raise Usage(f"{name!r} is not a valid name of a document: {error}; use --name NAME") from None
    imported = DocumentDraft()
    root = Path(request.tree) if request.tree else request.root
    neutral = _names(root)
    if request.tree:
        units = whole_machine.administrators_units(read_installed(root), lambda path: rootfs.read(root, path), imported)
        unit_files.convert(units, neutral, imported)
    kind = file_types.FileType(request.kind) if request.kind else None
    file_types.convert(_sources(request.file, imported), neutral, imported, kind)
    schema_filter.remove_invalid(imported)
    if any(imported.sections.values()):
        inputs = [*([f"--root {request.tree}"] if request.tree else []), *request.file]
        header = f"Made by `ordainctl import` from {inputs[0]}"
        header += f" and {plural(len(inputs) - 1, 'other')}." if len(inputs) > 1 else "."
        text = yaml_writer.write(imported, name, header=header)
        _place(request.output, text, console)
        imported.problems.extend(_on_machine(text, imported, root))
    return _report(imported, console)


def _report(imported: DocumentDraft, console: Console) -> Exit:
    """Print the lines that were not converted, sorted by place, and return the exit status."""
    problems = sorted_problems(imported.problems)
    for problem in problems:
        hint = f" ({problem.hint})" if problem.hint else ""
        is_converted = problem.code != NOT_CONVERTED
        severity, code = (problem.severity.value, f" [{problem.code}]") if is_converted else ("not converted", "")
        console.note(f"{problem.where}: {severity}: {problem.what}{hint}{code}")
    if not problems and not any(imported.sections.values()):
        raise Failure("nothing to import was found")
    if not problems:
        return Exit.OK
    lost = sum(problem.code == NOT_CONVERTED for problem in problems)
    counts = [f"{plural(lost, 'item')} not converted"] if lost else []
    counts += [f"{plural(len(problems) - lost, 'problem')} on this machine"] if lost < len(problems) else []
    console.note(", ".join(counts), Style.WARN)
    return Exit.DEGRADED if any(imported.sections.values()) else Exit.REFUSED


def _on_machine(text: str, imported: DocumentDraft, root: Path) -> Iterator[Problem]:
    """Yield the problems of the document on a machine with systemd, at the places that its entries come from."""
    from ordain.transforms.compile import compile

    facts = read_facts(root)
    if not facts.systemd:
        return
    documents, _ = read("", text.encode())
    compiled = compile(documents, facts, read_installed(root), shipped=transforms(root))
    for problem in compiled.problems:
        section, _, rest = (problem.where.pointer or problem.item).partition("/")
        name, *steps = (unescape_key(part) for part in rest.split("/"))
        where = imported.place(section, name, steps)
        yield replace(problem, where=where, what=f"{problem.where.pointer or problem.item}: {problem.what}")


def _place(output: str | None, text: str, console: Console) -> None:
    if not output:
        console.text(text)
        return
    try:
        Path(output).write_bytes(text.encode())
    except OSError as error:
        raise Failure(f"{output}: {error.strerror}") from error


def _names(root: Path) -> Names:
    """Return the meaning of neutral names on the machine with the root ``root``. Raises `Refused`."""
    documents = transforms(root)
    neutral, problems = names_for(documents, read_facts(root), shared_versions(documents))
    if only_errors(problems):
        raise Refused(problems)
    return neutral


def _name(files: Sequence[str]) -> str:
    """Return a name for the document: that of the first file, without characters that a name may not have."""
    stem = Path(files[0]).name.partition(".")[0] if files else ""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_") or "imported"


def _sources(names: Sequence[str], imported: DocumentDraft) -> Iterator[InputFile]:
    """Yield the files that ``names`` lead to; those that cannot be read are added to the problems."""
    given = {Path(name).resolve() for name in names if name != STANDARD_INPUT and not Path(name).is_symlink()}
    for name in names:
        path = Path(name)
        try:
            if name == STANDARD_INPUT:
                yield InputFile(path="<stdin>", data=sys.stdin.buffer.read(MAX_BYTES + 1))
            elif path.is_dir():
                yield from _directory(path, imported)
            elif path.is_symlink() and path.readlink() == NULL:
                yield InputFile(path=name, data=b"")
            elif path.is_symlink() and path.resolve() in given and path.resolve().name != path.name:
                _report_alias(path, imported)
            else:
                yield InputFile(path=name, data=_read(path))
        except OSError as error:
            imported.not_converted(Where(path=str(error.filename or name)), error.strerror or str(error), "")


def _directory(directory: Path, imported: DocumentDraft) -> Iterator[InputFile]:
    """Yield the files of a directory, with drop-ins and masks. Add other links and directories to the problems.

    As for systemd, a directory of drop-ins may be a link, and so may a unit file: then both names are the same.
    """
    for path in sorted(directory.iterdir()):
        if path.is_symlink() and path.readlink() == NULL:
            yield InputFile(path=str(path), data=b"")
        elif path.suffix in PULLS and path.is_dir():
            for link in sorted(path.iterdir()):
                _report_pull(link, directory, imported)
        elif path.suffix == ".d" and path.is_dir() and directory.suffix != ".d":
            yield from _directory(path, imported)
        elif path.is_dir():
            imported.not_converted(Where(path=str(path)), "the files of this directory are not read", "import it, too")
        elif path.is_symlink() and directory.suffix != ".d" and path.readlink().name != path.name:
            _report_alias(path, imported)
        else:
            try:
                yield InputFile(path=str(path), data=_read(path))
            except OSError as error:
                imported.not_converted(Where(path=str(path)), error.strerror or str(error), "")


def _report_alias(link: Path, imported: DocumentDraft) -> None:
    """Add the problem that a link, which is a second name of a unit, is not converted."""
    target = link.readlink().name
    hint = f"refer to {target} by its own name, or write `Alias` of [Install] under `units`"
    imported.not_converted(Where(path=str(link)), f"the link makes {link.name} another name of {target}", hint)


def _report_pull(link: Path, directory: Path, imported: DocumentDraft) -> None:
    """Add the problem that a link in ``….wants`` or ``….requires`` is not converted.

    A link that [Install] of the unit's file in ``directory`` makes is converted with that file.
    """
    starter, _, kind = link.parent.name.rpartition(".")
    unit = directory / link.name
    if unit.is_file():
        draft = DocumentDraft()
        key = PULLS[f".{kind}"]
        for assignment in unit_assignments.assignments(InputFile(path=str(unit), data=_read(unit)), draft):
            if assignment.place == ("Install", key) and starter in assignment.value.split():
                return
    stem, at, instance = link.name.rpartition(".")[0].partition("@")
    hint = (
        f"write `instances: [{instance}]` in the entry of {stem}@"
        if at
        else f"add `{PULLS[f'.{kind}']}={starter}` to [Install] of {link.name}, or write `state: running`"
    )
    imported.not_converted(Where(path=str(link)), f"the link makes {starter} start {link.name}", hint)


def _read(path: Path) -> bytes:
    return rootfs.read_resolved(path.resolve(), limit=MAX_BYTES + 1)
