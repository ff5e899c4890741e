"""run import, run export: scripts of schedulers and XML to Run documents, and back."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import STANDARD_INPUT
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.transforms.document.formats.formats import FORMATS
from ordain.transforms.document.reader import read_node, read_nodes
from ordain.transforms.document.text.node import Node, Unreadable
from ordain.transforms.errors import Problem, Refused, did_you_mean, only_errors, sorted_problems
from ordain.transforms.model import Document, Kind
from ordain.transforms.runs.jsdl import export_jsdl, import_jsdl
from ordain.transforms.runs.run_draft import RunDraft, node_yaml
from ordain.transforms.runs.run_xml import NAMESPACE, is_xml, read_xml_nodes, write_xml
from ordain.transforms.runs.script_dialects import DIALECTS, dialect_of
from ordain.transforms.runs.script_import import convert
from ordain.transforms.runs.xml_elements import read_elements

MAX_BYTES = 4 << 20


def import_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run import`."""
    path, data = _content(request.file)
    try:
        draft = _imported(path, data, request.kind)
    except Unreadable as error:
        raise Refused([error.problem]) from None
    if isinstance(draft, str):
        _place(request.output, draft, console)
        return Exit.OK
    if request.name:
        _check_name(request.name)
        draft.name = request.name
    if not draft.name:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).name.partition(".")[0]).strip("-_")
        draft.name = stem or "imported"
    draft.remove_invalid()
    if not draft.keys:
        _report(draft.problems, console)
        return Exit.REFUSED
    _place(request.output, draft.text(f"Made by `ordainctl run import` from {path}."), console)
    _report(draft.problems, console)
    return Exit.DEGRADED if draft.problems else Exit.OK


def _check_name(name: str) -> None:
    try:
        FORMATS["name"](name)
    except ValueError as error:
        raise Usage(f"--name {name!r} cannot be the name of a document: {error}") from None


def _imported(path: str, data: bytes, kind: str | None) -> RunDraft | str:
    """Return the draft of the Run in a file; the text of our own XML form as YAML. Raises `Unreadable`."""
    if kind in {"xml", "jsdl"} or (kind is None and is_xml(path, data)):
        root = read_elements(path, data)
        if root.namespace == NAMESPACE and kind != "jsdl":
            return "---\n".join(node_yaml(node) for node in _checked(list(read_xml_nodes(path, data))))
        return import_jsdl(root)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failure(f"{path}: the byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise Failure(f"{path}:{line}: a NUL byte, which no script has; save the file as text")
    dialect = DIALECTS[kind] if kind else dialect_of(text)
    if dialect is None:
        raise Usage(f"{path}: no directive tells the scheduler of the script; use --from: {', '.join(DIALECTS)}")
    return convert(text, path, dialect)


def export(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run export`."""
    if not request.kind:
        raise Usage("name the form with --to: xml, jsdl or yaml")
    path, data = _content(request.file)
    try:
        nodes = list(read_xml_nodes(path, data) if is_xml(path, data) else read_nodes(path, data))
    except Unreadable as error:
        raise Refused([error.problem]) from None
    nodes = [node for node in _checked(nodes) if _named(node, request.run)]
    if not nodes:
        known = [_name(node) for node in _checked(list(nodes))]
        hint = did_you_mean(request.run or "", known)
        raise Failure(f"{path}: there is no Run {request.run or ''}".rstrip() + (f"; {hint}" if hint else ""))
    if request.kind == "xml":
        try:
            console.text(write_xml(nodes))
        except ValueError as error:
            raise Failure(f"{path}: {error}; rename it") from None
        return Exit.OK
    if request.kind == "yaml":
        console.text("---\n".join(map(node_yaml, nodes)))
        return Exit.OK
    if len(nodes) > 1:
        raise Usage("JSDL holds one job; name the run with --run")
    document, _ = read_node(nodes[0])
    assert isinstance(document, Document)
    text, problems = export_jsdl(document)
    console.text(text)
    _report(problems, console)
    return Exit.DEGRADED if problems else Exit.OK


def _checked(nodes: list[Node]) -> list[Node]:
    """Return the Runs among ``nodes``. Raises `Refused` for an error in one of them."""
    runs: list[Node] = []
    problems: list[Problem] = []
    for node in nodes:
        document, wrong = read_node(node)
        problems += wrong
        if document and document.kind is Kind.RUN:
            runs.append(node)
    if only_errors(problems):
        raise Refused(problems)
    return runs


def _name(node: Node) -> str:
    return str(node.value["name"].value) if isinstance(node.value, Mapping) else ""


def _named(node: Node, name: str | None) -> bool:
    return not name or _name(node) == name


def _content(name: str) -> tuple[str, bytes]:
    try:
        if name == STANDARD_INPUT:
            return "<stdin>", sys.stdin.buffer.read(MAX_BYTES + 1)
        return name, Path(name).read_bytes()[: MAX_BYTES + 1]
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from error


def _place(output: str | None, text: str, console: Console) -> None:
    if not output:
        console.text(text)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{output}: {error.strerror}") from error


def _report(problems: list[Problem] | tuple[Problem, ...], console: Console) -> None:
    """Print the lines that were not converted, sorted by place."""
    for problem in sorted_problems(problems):
        hint = f" ({problem.hint})" if problem.hint else ""
        console.note(f"{problem.where}: not converted: {problem.what}{hint}")
    if problems:
        console.note(f"{plural(len(sorted_problems(problems)), 'item')} not converted", Style.WARN)
