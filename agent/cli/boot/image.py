"""image: adds documents to a root file system that is not running."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.documents.document_files import contents
from ordain.agent.cli.json_shapes import JsonImage, json_problems
from ordain.agent.compile.image import bake
from ordain.transforms.errors import Refused, Severity


def image(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl image`."""
    texts, problems = contents(request.file)
    if problems:
        raise Refused(problems)
    baked = bake(Path(request.directory).absolute(), texts)
    if request.json:
        console.json(
            JsonImage(
                hash=baked.generation.hash,
                documents=baked.documents,
                written=baked.written,
                unknown=baked.unknown,
                problems=json_problems(baked.problems),
            )
        )
    else:
        console.problems(baked.problems)
        for path in baked.written:
            console.line(f"wrote {path}")
        if baked.unknown:
            facts = ", ".join(baked.unknown)
            console.line(f"{facts}: known only in the boot; the agent will add the layers that match on it")
        files = plural(len(baked.generation.artifacts), "file")
        documents = plural(baked.documents, "document")
        console.line(f"generation {baked.generation.hash[:12]}: {documents}, {files}", Style.GOOD)
    blocked = any(problem.severity is Severity.BLOCKED for problem in baked.problems)
    return Exit.DEGRADED if blocked else Exit.OK
