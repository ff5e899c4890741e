"""What is compiled once is not compiled again, and what this machine is; effect: reads the machine below ``root``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.compile.credentials import missing
from ordain.agent.compile.executor import MAKE, Elsewhere
from ordain.agent.model import Generation, RawDocument, RawDocuments
from ordain.transforms.catalog.machine_catalog import local_transforms
from ordain.transforms.errors import Problem
from ordain.transforms.machine.facts import survey
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Facts, Installed

CREDENTIAL_MISSING = "CredentialMissing"
"""The code of the problem that a credential which comes would solve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """All that a generation is made from besides documents; ``problems`` are those of the facts.

    ``live``: it runs, so that what is missing on it is missing.
    """

    root: Path
    facts: Facts
    problems: tuple[Problem, ...]
    installed: Installed
    transforms: RawDocuments
    live: bool = True


class Compiler:
    """Compiles on one machine, and does not do again what it did last: a thousand services take half a second.

    What is remembered is no more than a hash and the problems; the generation is the one in force.
    """

    def __init__(self, root: Path, elsewhere: Elsewhere) -> None:
        self._root = root
        self._elsewhere = elsewhere
        self._made_from = b""
        self._hash = ""
        self._problems: tuple[Problem, ...] = ()

    def compile(self, texts: Iterable[RawDocument], last: Generation) -> tuple[Generation, tuple[Problem, ...]]:
        """See `compile.compile_texts`. Raises `Refused`, `Failure`."""
        machine = look(self._root)
        texts = tuple(texts)
        made_from = hashlib.sha256(repr((texts, machine)).encode("utf-8", "surrogateescape")).digest()
        absent = any(problem.code == CREDENTIAL_MISSING for problem in self._problems) or missing(last, self._root)
        if made_from == self._made_from and last.hash == self._hash and not absent:
            return last, self._problems
        # Of the last generation only the units of blocked items are wanted.
        bare = Generation(number=last.number, hash=last.hash, artifacts=last.artifacts, members=last.members)
        new, problems = self._elsewhere(MAKE, texts, machine, bare)
        self._made_from, self._hash, self._problems = made_from, new.hash, problems
        return new, problems


def look(root: Path) -> Machine:
    """What the machine below ``root`` is."""
    facts, problems = survey(root)
    return Machine(
        root=root,
        facts=facts,
        problems=tuple(problems),
        installed=read_installed(root),
        transforms=local_transforms(root),
    )
