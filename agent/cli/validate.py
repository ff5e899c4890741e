"""validate, schema: checks documents, and prints the schema that they are checked against."""

from __future__ import annotations

from argparse import Namespace

from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.document_files import read_all
from ordain.agent.cli.subcommand import Exit
from ordain.transforms.catalog.impossible_matches import impossible_conditions
from ordain.transforms.document.schema import DIALECT
from ordain.transforms.document.schema import schema as schema_of
from ordain.transforms.errors import Severity, sorted_problems
from ordain.transforms.model import Kind
from ordain.transforms.resolve.resolve import certain_conflicts, duplicates


def validate(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl validate`."""
    documents, settings, problems = read_all(request.file)
    problems = (*problems, *duplicates(documents), *certain_conflicts(documents), *impossible_conditions(documents))
    wrong = any(problem.severity is not Severity.WARNING for problem in problems)
    if request.json:
        listed = [{"kind": d.kind, "name": d.name, "path": d.where.path, "line": d.where.line} for d in documents]
        console.json({"documents": listed, "problems": [p.to_json() for p in sorted_problems(problems)]})
    else:
        console.problems(problems)
        if not wrong and (documents or not settings):
            console.line(f"{plural(len(documents), 'document')}: valid", Style.GOOD)
        for path in settings if not wrong else ():
            console.line(f"{path}: valid settings of the agent", Style.GOOD)
    return Exit.REFUSED if wrong else Exit.OK


def schema(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl schema`."""
    if request.kind == "agent":
        from ordain.transforms.document import agent_keys

        console.json(agent_keys.schema())
    elif request.kind:
        console.json(schema_of(Kind(request.kind)))
    else:
        console.json({"$schema": DIALECT, "title": "a document", "oneOf": [schema_of(kind) for kind in Kind]})
    return Exit.OK
