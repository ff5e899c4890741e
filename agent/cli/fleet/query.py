"""query documents, query machines: conditions on the documents of a store, and on the machines that report to it."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.documents.document_files import contents, transforms
from ordain.agent.cli.fleet.fleet_status import note_unused_reports
from ordain.agent.cli.json_shapes import JsonFoundDocument, JsonFoundMachine, JsonFoundValue
from ordain.agent.cli.machine.status import STATES
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.fleet_reports import FleetReader
from ordain.agent.cli.store.open_store import with_store
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.named_documents import NamedDocument, NamedDocuments
from ordain.agent.delivery.fleet.fleet_query import ATTRIBUTES, FleetQuery, QueriedMachine
from ordain.agent.delivery.fleet.reports import FleetReports
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, did_you_mean, only_errors
from ordain.transforms.model import Document, Leaf, Tree
from ordain.transforms.query.evaluate import Subject, holds, matching_parts, texts
from ordain.transforms.query.expression import Expression, QueryError, field_tests, parse_expression

DOCUMENT_ATTRIBUTES = ("name", "kind", "tier", "scope")
MOST_PROBLEMS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundValue:
    """A value that a query names, with the place that sets it."""

    pointer: str = ""
    value: str = ""
    where: str = ""


def documents(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl query documents`."""
    expression = _expression(request)
    for test in field_tests(expression):
        if not test.pointer and test.field not in DOCUMENT_ATTRIBUTES:
            hint = did_you_mean(test.field, DOCUMENT_ATTRIBUTES) or f"known: {', '.join(DOCUMENT_ATTRIBUTES)}"
            raise Usage(f"documents have no attribute {test.field} ({hint}; a pointer has a slash: services/nginx)")
    results: list[tuple[Document, tuple[FoundValue, ...]]] = []
    searched = _searched_documents(request)
    for document, scopes in searched.documents:
        attributes = {
            "name": (document.name,),
            "kind": (document.kind.lower(),),
            "tier": (document.tier,),
            "scope": scopes,
        }
        if holds(expression, Subject(tree=document.sections, attributes=attributes)):
            results.append((document, tuple(_values(expression, document.sections))))
    if request.count:
        console.line(str(len(results)))
    elif request.json:
        console.json(
            [
                JsonFoundDocument(kind=document.kind.lower(), name=document.name, values=_as_json(values))
                for document, values in results
            ]
        )
    elif results:
        cells: list[tuple[Cell, ...]] = [
            (f"{document.kind.lower()}/{document.name}", value.pointer, value.value, value.where)
            for document, values in results
            for value in values or (FoundValue(where=str(document.where)),)
        ]
        console.table(("DOCUMENT", "POINTER", "VALUE", "PLACE"), cells)
    else:
        console.line("no document matches", Style.DIM)
    return _note_left_out(searched.left_out, console)


def machines(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl query machines`."""
    expression = _expression(request)

    async def work(database: Database) -> tuple[FleetReports, tuple[QueriedMachine, ...], tuple[Problem, ...]]:
        reports = await FleetReader().read(database)
        query = FleetQuery(database=database, transforms=tuple(transforms(request.root)), now=time.time())
        return reports, await query.machines(reports.machines), tuple(query.left_out)

    reports, everyone, left_out = with_store(request, work)
    matching = [machine for machine in everyone if holds(expression, machine.subject)]
    if request.count:
        console.line(str(len(matching)))
    elif request.json:
        console.json([_machine_as_json(machine, expression) for machine in matching])
    elif matching:
        cells: list[tuple[Cell, ...]] = [
            (
                machine.report.hostname or machine.report.machine,
                (str(machine.report.phase), STATES.get(machine.report.phase, Style.WARN)),
                value.pointer,
                value.value,
                value.where,
            )
            for machine in matching
            for value in tuple(_values(expression, machine.subject.tree)) or (FoundValue(),)
        ]
        console.table(("MACHINE", "STATE", "POINTER", "VALUE", "PLACE"), cells)
    else:
        console.line("no machine matches", Style.DIM)
    is_whole = _note_problems(expression, everyone, console)
    note_unused_reports(reports, console)
    asks_documents = any(test.pointer for test in field_tests(expression))
    status = _note_left_out(left_out if asks_documents else (), console)
    return status if is_whole else Exit.DEGRADED


def _expression(request: Namespace) -> Expression:
    text = " ".join(request.expression)
    try:
        return parse_expression(text)
    except QueryError as error:
        raise Usage(f"{text[:100]!r}: {error}; an example is: services/nginx and role=web") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedDocuments:
    """The documents that a query looks into, with their scopes; ``left_out`` are the errors of those that it cannot."""

    documents: tuple[tuple[Document, tuple[str, ...]], ...]
    left_out: tuple[Problem, ...]


def _searched_documents(request: Namespace) -> SearchedDocuments:
    """Return the documents of the store, or of the files that --file names."""

    async def work(database: Database) -> tuple[NamedDocument, ...]:
        return await NamedDocuments(database).all()

    problems: tuple[Problem, ...] = ()
    texts: list[tuple[str, bytes, tuple[str, ...]]]
    if request.file:
        files, problems = contents(request.file)
        texts = [(path, data, ()) for path, data in files]
    else:
        texts = [(named.path, named.data, named.scopes) for named in with_store(request, work)]
    documents: list[tuple[Document, tuple[str, ...]]] = []
    for path, data, scopes in texts:
        readable, wrong = read(path, data)
        documents += [(document, scopes) for document in readable]
        problems = (*problems, *wrong)
    return SearchedDocuments(documents=tuple(documents), left_out=only_errors(problems))


def _note_left_out(left_out: Sequence[Problem], console: Console) -> Exit:
    """Name the documents that the answer cannot include, and return the exit status."""
    if not left_out:
        return Exit.OK
    console.problems(left_out[:MOST_PROBLEMS])
    paths = sorted({problem.where.path for problem in left_out})
    names = ", ".join(paths[:MOST_PROBLEMS]) + (
        f" and {len(paths) - MOST_PROBLEMS} more" * (len(paths) > MOST_PROBLEMS)
    )
    console.note(
        f"the answer is not complete: it leaves out {names}, which cannot be read; correct it "
        "(in a store: `ordainctl documents edit NAME`, or `documents put`)",
        Style.WARN,
    )
    return Exit.DEGRADED


def _values(expression: Expression, tree: Tree) -> Iterator[FoundValue]:
    """Yield the values that the tests of an expression name, each once."""
    seen: set[str] = set()
    for test in field_tests(expression):
        for pointer, part in matching_parts(test, tree):
            if pointer not in seen:
                seen.add(pointer)
                value = list(texts(part))[-1] if isinstance(part, Leaf) else f"{{{', '.join(part.children)}}}"
                yield FoundValue(pointer=pointer, value=value, where=str(part.where))


def _note_problems(expression: Expression, everyone: Sequence[QueriedMachine], console: Console) -> bool:
    """Say what the answer cannot include: machines without a document, and names that no machine has.

    Return whether every machine could be asked.
    """
    broken: Sequence[QueriedMachine] = ()
    if any(test.pointer for test in field_tests(expression)):
        broken = [machine for machine in everyone if machine.problem]
        for machine in broken[:MOST_PROBLEMS]:
            console.note(f"{machine.report.hostname}: {machine.problem}", Style.WARN)
        if len(broken) > MOST_PROBLEMS:
            console.note(f"the same or another problem on {len(broken) - MOST_PROBLEMS} more", Style.WARN)
    known = {name for machine in everyone for name in machine.subject.attributes} | set(ATTRIBUTES)
    for name in dict.fromkeys(test.field for test in field_tests(expression) if not test.pointer):
        if name not in known:
            hint = did_you_mean(name, known)
            console.note(f"no machine has a label or fact {name}" + (f"; {hint}" if hint else ""), Style.WARN)
    return not broken


def _machine_as_json(machine: QueriedMachine, expression: Expression) -> JsonFoundMachine:
    attributes = machine.subject.attributes
    return JsonFoundMachine(
        machine=machine.report.machine,
        hostname=machine.report.hostname,
        attributes={name: values for name, values in attributes.items() if values and not name.startswith("label.")},
        values=_as_json(_values(expression, machine.subject.tree)),
        problem=machine.problem,
    )


def _as_json(values: Iterable[FoundValue]) -> list[JsonFoundValue]:
    return [JsonFoundValue(pointer=value.pointer, value=value.value, place=value.where) for value in values]
