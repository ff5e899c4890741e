"""Files that a tool of the distribution writes anew, such as grub.cfg: those of the documents last until it runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ordain.transforms.artifacts import AbsentFile, Artifact, PlacedDirectory, PlacedFile, RegularFile
from ordain.transforms.catalog.data_tables import read_table
from ordain.transforms.errors import Problem, warning
from ordain.transforms.graph.setting_places import PlaceOf
from ordain.transforms.lazy_patterns import LazyPattern, lazy_pattern
from ordain.transforms.model import Facts

TABLE = Path(__file__).parents[1] / "data" / "overwritten-files.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tool:
    """A row of the table: ``name`` writes the ``paths`` anew, unless a file in a ``directory`` has a ``content``.

    All paths are below ``folders``.
    """

    name: str
    folders: tuple[str, ...]
    paths: LazyPattern[str]
    instead: str
    systems: frozenset[str]
    directory: str
    content: str


def overwritten_files(artifacts: Iterable[Artifact], facts: Facts, place_of: PlaceOf) -> Iterator[Problem]:
    """Warn of each file of the documents that a tool writes anew on a system with ``facts``."""
    system = {facts.id, *facts.like}
    placed = [artifact for artifact in artifacts if isinstance(artifact, PlacedFile)]
    for artifact in placed:
        if isinstance(artifact, (PlacedDirectory, AbsentFile)):
            continue
        for tool in _tools():
            if not artifact.path.startswith(tool.folders) or (tool.systems and not tool.systems & system):
                continue
            if tool.paths.fullmatch(artifact.path) is None:
                continue
            if not any(_keeps_away(tool, other) for other in placed):
                what = f"{tool.name} writes {artifact.path} anew, and the file of the documents is lost then"
                yield warning(artifact.item, place_of(artifact.item), what, tool.instead, "Overwritten")


def _keeps_away(tool: _Tool, file: PlacedFile) -> bool:
    below = bool(tool.directory) and file.path.startswith(f"{tool.directory}/")
    return below and isinstance(file, RegularFile) and re.search(tool.content, file.content) is not None


def _folder(pattern: str) -> str:
    """Return the folder that all paths of a pattern are below, so that few patterns must be compiled.

    >>> _folder(r"/boot/grub2?/grub[.]cfg"), _folder("(/usr)?/lib/x")
    ('/boot/', '')
    """
    literal = re.split(r"[\\.()\[{*+?|]", pattern, maxsplit=1)[0]
    return literal[: literal.rfind("/") + 1]


@cache
def _tools() -> tuple[_Tool, ...]:
    return tuple(
        _Tool(
            name=row["tool"],
            folders=tuple(_folder(path) for path in row["paths"]),
            paths=lazy_pattern("|".join(f"(?:{path})" for path in row["paths"])),
            instead=row["instead"],
            systems=frozenset(row.get("systems", ())),
            directory=row.get("unless", ("", ""))[0],
            content=row.get("unless", ("", ""))[1],
        )
        for row in read_table(TABLE).values()
    )
