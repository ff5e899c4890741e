"""The documents of the commands `ordainctl run`: those that are named, and those of the site and the user."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ordain.agent.cli.document_files import contents
from ordain.transforms.catalog.machine_catalog import machine_transforms
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused, only_errors
from ordain.transforms.model import Document, Kind
from ordain.transforms.runs.run_xml import read_xml
from ordain.transforms.runs.scheduler_rows import RunSystems, run_systems

SITE = "etc/ordain/runs"


def read_run_files(
    names: Sequence[str], request: Namespace
) -> tuple[tuple[Document, ...], RunSystems, tuple[Problem, ...]]:
    """Return all Runs, the systems, and the warnings. Raise `Refused`.

    Layers of the site and the user that are runs themselves do not count: only those in the files are submitted.
    """
    documents, problems = _read(names)
    around, more = ((), ()) if request.only_files else _read([str(path) for path in _directories(request.root)])
    if only_errors((*problems, *more)):
        raise Refused((*problems, *more))
    layers = [d for d in around if d.kind is Kind.TRANSFORM or (d.kind is Kind.RUN and d.match)]
    transforms = [d for d in (*layers, *documents) if d.kind is Kind.TRANSFORM]
    systems, wrong = run_systems((*machine_transforms(request.root), *transforms))
    runs = tuple(d for d in (*layers, *documents) if d.kind is Kind.RUN)
    return runs, systems, (*problems, *more, *wrong)


def _read(names: Sequence[str]) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    files, problems = contents(names)
    documents: list[Document] = []
    found = list(problems)
    for path, data in files:
        made, wrong = read_xml(path, data) if is_xml(path, data) else read(path, data)
        documents += made
        found += wrong
    return tuple(documents), tuple(found)


def is_xml(path: str, data: bytes) -> bool:
    """Return whether a file is XML, by its name or else by its first character."""
    if path.endswith((".yaml", ".yml", ".json")):
        return False
    return path.endswith(".xml") or data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _directories(root: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Yield the directories of the site and of the user that exist."""
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "/")) / ".config")
    for path in (root / SITE, Path(home) / "ordain/runs"):
        if path.is_dir():
            yield path
