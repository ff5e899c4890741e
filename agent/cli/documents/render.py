"""render: prints or writes the files that documents result in, on any machine or on all systems."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import read_valid, transforms
from ordain.agent.cli.documents.target_machine import machine
from ordain.agent.cli.json_shapes import JsonRendered, JsonRenderedForAll, JsonSystemGroup, json_packages, json_problems
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.agent.model import to_json
from ordain.transforms.artifact_text import as_text
from ordain.transforms.artifacts import (
    AbsentFile,
    Artifact,
    CredentialFile,
    PlacedDirectory,
    RegularFile,
    SymbolicLink,
    UnitFile,
    UnitLink,
    row,
)
from ordain.transforms.errors import Problem, Severity, sorted_problems
from ordain.transforms.machine.machine_accounts import read_accounts
from ordain.transforms.model import Compiled, Document


def render(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl render`."""
    from ordain.transforms.compile import compile

    documents, warnings = read_valid(request.file)
    if request.netboot:
        from ordain.agent.cli.documents.netboot import render_script

        return render_script(request, documents, warnings, console)
    if request.mac or request.files:
        raise Usage("--mac and --files are used with --netboot")
    if request.all_os:
        if request.fact:
            raise Usage("--fact is used with one system")
        return _render_all(request, documents, warnings, console)
    facts, installed = machine(request, documents)
    accounts = read_accounts(request.root) if installed else None
    compiled = compile(documents, facts, installed, accounts=accounts, shipped=transforms(request.root))
    problems = sorted_problems((*(w for w in warnings if w.severity is Severity.WARNING), *compiled.problems))
    if request.output:
        _write(Path(request.output), compiled)
    if request.json:
        console.json(
            JsonRendered(
                artifacts=[row(a) for a in compiled.artifacts],
                members=[to_json(m) for m in compiled.members],
                packages=json_packages(compiled.packages),
                layers=compiled.resolved.layers,
                problems=json_problems(problems),
            )
        )
    else:
        if not request.output:
            console.text(as_text(compiled.artifacts, compiled.packages))
        console.problems(problems)
        if not compiled.artifacts and not compiled.packages and not problems:
            console.note("these documents configure nothing on this machine")
    blocked = any(p.severity is Severity.BLOCKED for p in problems)
    return Exit.DEGRADED if blocked else Exit.OK


def _render_all(
    request: Namespace, documents: tuple[Document, ...], warnings: tuple[Problem, ...], console: Console
) -> Exit:
    from ordain.transforms.catalog.known_systems import known_systems
    from ordain.transforms.compare_systems import difference, group_systems

    if request.os or request.facts or request.output:
        raise Usage("--all-os cannot be used with --os, --facts or --output")
    machines = {name: machine(Namespace(**{**vars(request), "os": name}), documents)[0] for name in known_systems()}
    groups = group_systems(documents, machines, transforms(request.root))
    differences = [difference(groups[0], group) for group in groups]
    if request.json:
        listed = [
            JsonSystemGroup(
                systems=group.systems,
                artifacts=[row(a) for a in group.artifacts],
                problems=json_problems(group.problems),
                difference=text,
            )
            for group, text in zip(groups, differences, strict=True)
        ]
        console.json(JsonRenderedForAll(groups=listed, problems=json_problems(sorted_problems(warnings))))
    else:
        for group, text in zip(groups, differences, strict=True):
            console.line(f"{plural(len(group.systems), 'system')}: {', '.join(group.systems)}", Style.STRONG)
            console.text(text)
        console.problems(sorted_problems(warnings))
    severities = {problem.severity for group in groups for problem in group.problems}
    if Severity.ERROR in severities:
        return Exit.REFUSED
    return Exit.DEGRADED if Severity.BLOCKED in severities else Exit.OK


def _write(directory: Path, compiled: Compiled) -> None:
    """Write every artifact below ``directory``. Raises `Failure` unless that is empty or missing."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise Failure(f"{directory} is not empty; nothing was written")
        for artifact in compiled.artifacts:
            _place(directory, artifact)
    except OSError as error:
        raise Failure(f"{error.filename or directory}: {error.strerror}") from error


def _place(directory: Path, artifact: Artifact) -> None:
    path = directory / artifact.path.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    match artifact:
        case UnitLink() | SymbolicLink():
            path.symlink_to(artifact.target)
        case UnitFile() | RegularFile():
            path.write_bytes(artifact.content.encode())
            path.chmod(artifact.mode)
        case PlacedDirectory():
            path.mkdir(exist_ok=True)
            path.chmod(artifact.mode)
        case CredentialFile():  # only the machine has its content
            path.touch()
            path.chmod(artifact.mode)
        case AbsentFile():
            pass
