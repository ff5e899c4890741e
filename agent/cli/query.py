"""query documents, query machines: conditions on the documents of a store, and on the machines that report to it."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.document_files import contents, transforms
from ordain.agent.cli.fleet import note_unused_reports
from ordain.agent.cli.open_store import with_store
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.status import STATES
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.named_documents import NamedDocuments
from ordain.agent.delivery.fleet.fleet_query import ATTRIBUTES, FleetQuery, QueriedMachine
from ordain.agent.delivery.fleet.reports import FleetReports, read_reports
from ordain.transforms.document.reader import read
from ordain.transforms.errors import did_you_mean
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
    for document, scopes in _documents(request):
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
                {"kind": document.kind.lower(), "name": document.name, "values": _as_json(values)}
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
    return Exit.OK


def machines(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl query machines`."""
    expression = _expression(request)

    async def work(database: Database) -> tuple[FleetReports, tuple[QueriedMachine, ...]]:
        reports = await read_reports(database)
        query = FleetQuery(database=database, transforms=tuple(transforms(request.root)), now=time.time())
        return reports, await query.machines(reports.machines)

    reports, everyone = with_store(request, work)
    matching = [machine for machine in everyone if holds(expression, machine.subject)]
    if request.count:
        console.line(str(len(matching)))
    elif request.json:
        console.json([_machine_as_json(machine, expression) for machine in matching])
    elif matching:
        cells: list[tuple[Cell, ...]] = [
            (
                machine.report.hostname or machine.report.machine,
                (machine.report.phase, STATES[machine.report.phase]),
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
    _note_problems(expression, everyone, console)
    note_unused_reports(reports, console)
    return Exit.OK


def _expression(request: Namespace) -> Expression:
    text = " ".join(request.expression)
    try:
        return parse_expression(text)
    except QueryError as error:
        raise Usage(f"{text[:100]!r}: {error}; an example is: services/nginx and role=web") from None


def _documents(request: Namespace) -> Iterator[tuple[Document, tuple[str, ...]]]:
    """Yield the documents of the store, or of the files that --file names, with their scopes."""
    if request.file:
        for path, data in contents(request.file)[0]:
            yield from ((document, ()) for document in read(path, data)[0])
        return

    async def work(database: Database) -> list[tuple[Document, tuple[str, ...]]]:
        stored = await NamedDocuments(database).all()
        return [(document, named.scopes) for named in stored for document in named.documents()]

    yield from with_store(request, work)


def _values(expression: Expression, tree: Tree) -> Iterator[FoundValue]:
    """Yield the values that the tests of an expression name, each once."""
    seen: set[str] = set()
    for test in field_tests(expression):
        for pointer, part in matching_parts(test, tree):
            if pointer not in seen:
                seen.add(pointer)
                value = list(texts(part))[-1] if isinstance(part, Leaf) else f"{{{', '.join(part.children)}}}"
                yield FoundValue(pointer=pointer, value=value, where=str(part.where))


def _note_problems(expression: Expression, everyone: Sequence[QueriedMachine], console: Console) -> None:
    """Say what the answer cannot include: machines without a document, and names that no machine has."""
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


def _machine_as_json(machine: QueriedMachine, expression: Expression) -> dict[str, object]:
    attributes = machine.subject.attributes
    return {
        "machine": machine.report.machine,
        "hostname": machine.report.hostname,
        "attributes": {name: values for name, values in attributes.items() if values and not name.startswith("label.")},
        "values": _as_json(_values(expression, machine.subject.tree)),
        "problem": machine.problem,
    }


def _as_json(values: Iterable[FoundValue]) -> list[dict[str, str]]:
    return [{"pointer": value.pointer, "value": value.value, "place": value.where} for value in values]
