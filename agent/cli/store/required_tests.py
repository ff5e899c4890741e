"""Tests that documents must pass before a command writes them: those of --tests, or that the store's policy demands."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from ordain.agent.cli.console import Console
from ordain.agent.cli.documents.document_tests import folders_beside, run_required
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.release.change_log import read_policy
from ordain.agent.errors import Failure
from ordain.transforms.model import Document


async def require_tests(
    request: Namespace, database: Database, files: Iterable[str], documents: Iterable[Document], console: Console
) -> None:
    """Run the tests that ``documents`` must pass before they are in the store.

    If the policy of the store demands tests and --tests names none, the tests beside ``files`` count. Raises `Failure`
    if a test fails, or if there is none.
    """
    folders = [Path(folder) for folder in request.tests]
    if not folders and (await read_policy(database)).requires_tests:
        folders = list(folders_beside(files))
        if not folders:
            raise Failure(
                f"{database.location} accepts only documents that pass tests; name the folder of the tests with "
                "--tests DIR; nothing was written"
            )
    run_required(folders, tuple(documents), request.root, console)
