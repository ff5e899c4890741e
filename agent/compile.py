"""Source texts and this machine → a generation; effect: reads the machine below ``root``.

texts ─documents▶ Document ─compile▶ Compiled ─generation▶ Generation, Problems
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.generation import digest, generation
from ordain.agent.model import Generation
from ordain.transforms import documents
from ordain.transforms.catalog import shipped
from ordain.transforms.compile import compile
from ordain.transforms.errors import NOWHERE, Problem, Refused, Severity, errors, in_order
from ordain.transforms.facts import survey
from ordain.transforms.installed import read_installed
from ordain.transforms.model import Document, Facts, Installed

TRANSFORMS = "etc/ordain/transforms"
"""The admin's additions to the transformation database."""
SUFFIXES = (".yaml", ".yml", ".json")


class Compiler:
    """`compile_texts` on one machine, which does not do again what it did last: a thousand services take half a second.

    What is remembered is no more than a hash and the problems; the generation is the one in force.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made_from = b""
        self._hash = ""
        self._problems: tuple[Problem, ...] = ()

    def compile(self, texts: Iterable[tuple[str, bytes]], last: Generation) -> tuple[Generation, tuple[Problem, ...]]:
        """See `compile_texts`."""
        machine = _look(self._root)
        texts = tuple(texts)
        made_from = hashlib.sha256(repr((texts, machine)).encode("utf-8", "surrogateescape")).digest()
        if made_from == self._made_from and last.hash == self._hash:
            return last, self._problems
        new, problems = _compile(texts, machine, last)
        self._made_from, self._hash, self._problems = made_from, new.hash, problems
        return new, problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    facts: Facts
    problems: tuple[Problem, ...]
    installed: Installed
    transforms: tuple[tuple[str, bytes], ...]


def _look(root: Path) -> _Machine:
    facts, problems = survey(root)
    return _Machine(
        facts=facts, problems=tuple(problems), installed=read_installed(root), transforms=_local_transforms(root)
    )


def compile_texts(
    texts: Iterable[tuple[str, bytes]], root: Path, last: Generation
) -> tuple[Generation, tuple[Problem, ...]]:
    """What the documents come to on the machine below ``root``, and what they hold back or warn of.

    ``last`` is the last good generation: an item that this machine cannot have keeps its form from there
    (documents.md, rule 3). The result has no number yet. Raises `Refused`.
    """
    return _compile(texts, _look(root), last)


def _compile(
    texts: Iterable[tuple[str, bytes]], machine: _Machine, last: Generation
) -> tuple[Generation, tuple[Problem, ...]]:
    found, wrong = read_texts([*texts, *machine.transforms])
    if errors(wrong):
        raise Refused([*machine.problems, *wrong])
    # What is wrong with a Transform is told again by those that are for this machine, and by what needs them.
    wrong = tuple(problem for problem in wrong if problem.severity is not Severity.BLOCKED)
    compiled = compile(found, machine.facts, machine.installed, shipped=shipped())
    new = generation(compiled)
    blocked = {p.item for p in compiled.problems if p.severity is Severity.BLOCKED and p.item}
    new = keep(new, last, blocked)
    left_out = blocked - {member.item for member in new.members}
    all_problems = in_order([*machine.problems, *wrong, *compiled.problems, *_without(new, left_out)])
    return new, all_problems


def read_texts(texts: Iterable[tuple[str, bytes]]) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """The documents of many files, and all problems of all of them."""
    found: list[Document] = []
    problems: list[Problem] = []
    for path, data in texts:
        read, wrong = documents.read(path, data)
        found += read
        problems += wrong
    return tuple(found), in_order(problems)


def keep(new: Generation, last: Generation, blocked: Iterable[str]) -> Generation:
    """``new`` with the blocked items as they were in ``last``: artifacts, members, nothing else.

    What ``new`` places under the same path, or says of the same unit, goes before.
    """
    items = set(blocked)
    paths = {artifact.path for artifact in new.artifacts}
    units = {member.unit for member in new.members}
    kept = [a for a in last.artifacts if a.item in items and a.path not in paths]
    members = [m for m in last.members if m.item in items and m.unit not in units]
    if not kept and not members:
        return new
    artifacts = tuple(sorted((*new.artifacts, *kept), key=lambda a: a.path))
    all_members = tuple(sorted((*new.members, *members), key=lambda m: m.unit))
    return replace(
        new,
        artifacts=artifacts,
        members=all_members,
        hash=digest(new.document, artifacts, all_members),
    )


def _without(new: Generation, left_out: Iterable[str]) -> Iterator[Problem]:
    """Name the services that require a blocked one that has no last good form."""
    names = {item.removeprefix("services/") for item in left_out if item.startswith("services/")}
    for name, service in sorted(new.document.get("services", {}).items()):
        for required in sorted(names & set(service.get("requires") or ())):
            yield Problem(
                where=replace(NOWHERE, pointer=f"services/{name}/requires/{required}"),
                what=f"requires {required}, which this machine cannot have, so it will not start",
                code="RequiresBlocked",
                severity=Severity.WARNING,
                item=f"services/{name}",
            )


def transforms(root: Path) -> tuple[Document, ...]:
    """The transformation database of the machine below ``root``, with its admin's additions."""
    return (*shipped(), *read_texts(_local_transforms(root))[0])


def _local_transforms(root: Path) -> tuple[tuple[str, bytes], ...]:
    directory = root / TRANSFORMS
    if not directory.is_dir():
        return ()
    names = sorted(path.name for path in directory.iterdir() if path.name.endswith(SUFFIXES))
    return tuple(
        (f"/{TRANSFORMS}/{name}", (directory / name).read_bytes()) for name in names if not name.startswith(".")
    )
