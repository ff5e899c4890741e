"""The documents of the commands `ordainctl run`: those that are named, and those of the site and the user."""

from __future__ import annotations

import getpass
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from ordain.agent.cli.documents.document_files import contents
from ordain.agent.cli.parse import Usage
from ordain.transforms.catalog.machine_catalog import machine_transforms
from ordain.transforms.document.text.node import SUFFIXES
from ordain.transforms.errors import Problem, Refused, only_errors
from ordain.transforms.model import Document, Kind
from ordain.transforms.runs.run_xml import SUFFIX, read_runs
from ordain.transforms.runs.scheduler_rows import RunSystems, run_systems

SITE = "etc/ordain/runs"


def read_run_files(
    names: Sequence[str], request: Namespace
) -> tuple[tuple[Document, ...], RunSystems, tuple[Problem, ...]]:
    """Return all Runs, the systems, and the warnings. Raises `Refused`.

    Layers of the site and the user that are runs themselves do not count: only those in the files are submitted.
    """
    documents, problems = _read(names)
    site, user = (
        ((), ()) if request.only_files or not path.is_dir() else _read([str(path)])
        for path in (request.root / SITE, _own_directory())
    )
    problems = (*problems, *site[1], *user[1])
    if only_errors(problems):
        raise Refused(problems)
    layers = [d for d in (*site[0], *user[0]) if d.kind is Kind.RUN and d.match]
    transforms = [d for d in (*site[0], *documents) if d.kind is Kind.TRANSFORM]
    own = [d for d in user[0] if d.kind is Kind.TRANSFORM]
    systems, wrong = run_systems((*machine_transforms(request.root), *transforms), own)
    runs = tuple(d for d in (*layers, *documents) if d.kind is Kind.RUN)
    return runs, systems, (*problems, *wrong)


def _read(names: Sequence[str]) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    files, problems = contents(names, (*SUFFIXES, SUFFIX))
    documents: list[Document] = []
    all_problems = list(problems)
    for path, data in files:
        made, wrong = read_runs(path, data)
        documents += made
        all_problems += wrong
    return tuple(documents), tuple(all_problems)


def _own_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of the user."""
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "/")) / ".config")
    return Path(home) / "ordain/runs"


def system_name(request: Namespace, systems: RunSystems) -> str:
    """Return the system that ``--on`` names. Raises `Usage`."""
    if not request.system:
        raise Usage(f"name the system with --on: {', '.join(systems.names())}")
    return str(request.system)


def asking_user(request: Namespace) -> str:
    """Return the user whose layers match: that of ``--user``, or the one who asks."""
    if request.user:
        return str(request.user)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""
