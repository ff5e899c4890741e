"""validate, schema: checks documents, and prints the schema that they are checked against."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import read_all
from ordain.agent.cli.json_shapes import JsonDocumentPlace, JsonValidation, json_problems
from ordain.agent.errors import Failure
from ordain.agent.model import Generation, RawDocuments
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind
from ordain.transforms.catalog.impossible_matches import impossible_conditions
from ordain.transforms.catalog.setting_schema import settings_schema
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.keys import expectation_keys
from ordain.transforms.document.keys.schema import DIALECT, for_editors
from ordain.transforms.document.keys.schema import schema as schema_of
from ordain.transforms.document.keys.shapes import Schema
from ordain.transforms.errors import Problem, Severity, Where, sorted_problems, warning
from ordain.transforms.model import Kind
from ordain.transforms.netboot.boot_target import SECTION, unknown_at_netboot
from ordain.transforms.resolve.resolve import certain_conflicts, duplicates
from ordain.transforms.runs.run_layers import certain_run_problems

NOTHING = "nothing was checked; names of documents end with .yaml, .yml or .json, and no folder below is read"


def validate(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl validate`."""
    if not request.file:
        request.file = _own_files(request.root)
    read = read_all(request.file)
    documents, settings = read.documents, read.settings
    problems = (
        *read.problems,
        *duplicates(documents),
        *certain_conflicts(documents),
        *certain_run_problems(documents),
        *impossible_conditions(documents),
        *unknown_at_netboot(documents),
    )
    wrong = any(problem.severity is not Severity.WARNING for problem in problems)
    if not wrong and any(SECTION in document.sections.children for document in documents):
        from ordain.agent.cli.documents.netboot import problems_of_nodes

        problems = (*problems, *(problem for problem in problems_of_nodes(documents) if problem not in problems))
    if request.this_machine and not wrong:
        problems = (*problems, *_problems_here(request, read.texts))
    if request.json:
        listed = [JsonDocumentPlace(kind=d.kind, name=d.name, path=d.where.path, line=d.where.line) for d in documents]
        console.json(JsonValidation(documents=listed, problems=json_problems(sorted_problems(problems))))
    else:
        console.problems(problems)
        if not wrong and (documents or not (settings or read.tests)):
            what = "valid" if documents else NOTHING
            console.line(f"{plural(len(documents), 'document')}: {what}", Style.GOOD if documents else Style.WARN)
        if not wrong and read.tests:
            console.line(f"{plural(read.tests, 'test')}: valid; `ordainctl test` runs them", Style.GOOD)
        for path in settings if not wrong else ():
            console.line(f"{path}: valid settings of the agent", Style.GOOD)
    blocked = any(problem.severity is Severity.BLOCKED for problem in problems)
    return Exit.REFUSED if wrong else Exit.DEGRADED if blocked else Exit.OK


def _own_files(root: Path) -> list[str]:
    """Return the directory of this machine's documents, and agent.yaml if there is one. Raises `Failure`."""
    settings, _ = read_settings(root)
    own = [str(root / "etc/ordain/agent.yaml")] if (root / "etc/ordain/agent.yaml").exists() else []
    if settings.source.type is not SourceKind.DIRECTORY:
        hint = "name FILE; `ordainctl status` shows the problems of documents from there"
        raise Failure(f"the documents of this machine come from {settings.source.location or 'no source'}: {hint}")
    return [str(root / settings.source.path.lstrip("/")), *own]


def _problems_here(request: Namespace, texts: RawDocuments) -> Iterator[Problem]:
    """Yield the problems of a compile for this machine, and the units of the documents that would have no effect."""
    from ordain.agent.apply.deviations.administrator_overrides import hiding_files
    from ordain.agent.compile.compile_cache import read_machine
    from ordain.agent.compile.compiler import compile_generation

    generation, problems = compile_generation(texts, read_machine(request.root), Generation())
    yield from problems
    items = {member.unit: member.item for member in generation.members}
    for unit, path in hiding_files(request.root, generation).items():
        item = items.get(unit, "")
        below = (pointer for pointer in sorted(generation.provenance) if f"{pointer}/".startswith(f"{item}/"))
        entry = generation.provenance.get(next(below, ""), {})
        where = Where(path=entry.get("path", ""), line=entry.get("line") or 0, pointer=item)
        what = f"{path} replaces the unit of the documents, which has no effect until that file is removed"
        yield warning(item, where, what, "remove that file, or choose another name", "Overridden")


def schema(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl schema`."""
    if request.kind == "agent":
        from ordain.transforms.document.keys import agent_keys

        console.json(for_editors(agent_keys.schema()))
    elif request.kind == expectation_keys.KIND:
        console.json(for_editors(expectation_keys.schema()))
    elif request.kind:
        console.json(for_editors(_with_settings(Kind(request.kind))))
    else:
        kinds = [for_editors(body) for body in (*map(_with_settings, Kind), expectation_keys.schema())]
        console.json({"$schema": DIALECT, "title": "a document", "oneOf": kinds})
    return Exit.OK


def _with_settings(kind: Kind) -> Schema:
    """Return the schema of ``kind`` with the types of the shipped settings."""
    body = schema_of(kind)
    if kind not in (Kind.LAYER, Kind.NODE):
        return body
    return {**body, "properties": {**body["properties"], "settings": settings_schema(shipped())}}
