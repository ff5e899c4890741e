"""packages: the packages that documents want, by their names on any system."""

from __future__ import annotations

from argparse import Namespace

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console
from ordain.agent.cli.documents.document_files import read_valid, transforms
from ordain.agent.cli.documents.match import own_documents
from ordain.agent.cli.documents.target_machine import machine
from ordain.agent.cli.json_shapes import json_packages
from ordain.transforms.errors import Severity
from ordain.transforms.package_set import PackageState


def packages(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl packages`."""
    from ordain.transforms.compile import compile

    documents, _ = read_valid(request.file) if request.file else own_documents(request.root)
    facts, installed = machine(request, documents)
    compiled = compile(documents, facts, installed, shipped=transforms(request.root))
    problems = [problem for problem in compiled.problems if problem.item.startswith("packages/")]
    if request.json:
        console.json(json_packages(compiled.packages))
    else:
        for package in compiled.packages.wanted:
            if package.state is PackageState.PRESENT:
                console.line(compiled.packages.manager.argument(package))
    console.problems(problems)
    blocked = any(problem.severity is Severity.BLOCKED for problem in problems)
    return Exit.DEGRADED if blocked else Exit.OK
