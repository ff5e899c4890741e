"""The inputs of a compile besides documents, and a cache: the same inputs are not compiled twice.

This module loads nothing that reads documents; the compile itself runs in an `Executor`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.compile.blocked_items import keep_last_values
from ordain.agent.compile.credentials import CREDENTIAL_MISSING, missing_credentials
from ordain.agent.compile.executor import COMPILE, Executor
from ordain.agent.compile.supported_types import unsupported_types
from ordain.agent.compile.unopened_secrets import UnopenedSecret
from ordain.agent.model import Generation, RawDocument
from ordain.transforms.catalog.local_transforms import local_transforms
from ordain.transforms.errors import Problem
from ordain.transforms.machine.facts import survey
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.machine.machine_accounts import read_accounts
from ordain.transforms.model import Facts, Installed, MachineAccounts


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineInputs:
    """Everything that a generation is made from besides the documents; ``problems`` are those of the facts.

    ``live``: the machine runs, so that a program that is missing on it is reported. ``has_credentials``: it is the
    machine itself, so that a service whose credential is missing would fail. ``unsupported`` are the types of units
    that it cannot have. ``unopened`` are the sealed secrets that it cannot open, by `secret_digest`.
    """

    root: Path
    facts: Facts
    problems: tuple[Problem, ...]
    installed: Installed
    transforms: tuple[RawDocument, ...]
    accounts: MachineAccounts
    live: bool = True
    has_credentials: bool = True
    unsupported: tuple[str, ...] = ()
    unopened: tuple[UnopenedSecret, ...] = ()


def read_machine(root: Path) -> MachineInputs:
    """Return the inputs from the machine below ``root``."""
    facts, problems = survey(root)
    return MachineInputs(
        root=root,
        facts=facts,
        problems=tuple(problems),
        installed=read_installed(root),
        transforms=local_transforms(root),
        accounts=read_accounts(root),
        unsupported=unsupported_types(root),
    )


class CompileCache:
    """Compiles on the machine below ``root``, but not again with the inputs of the last time.

    A compile of a thousand services takes half a second. The cache keeps only a hash of the inputs and the problems:
    the result of the last compile is the generation in force.
    """

    def __init__(self, root: Path, executor: Executor) -> None:
        self._root = root
        self._executor = executor
        self._made_from = b""
        self._hash = ""
        self._problems: tuple[Problem, ...] = ()

    def machine_digest(self) -> bytes:
        """Return a hash of the inputs from the machine: another one means that a compile could have another result."""
        return hashlib.sha256(repr(read_machine(self._root)).encode("utf-8", "surrogateescape")).digest()

    def compile(
        self, texts: Iterable[RawDocument], last: Generation, unopened: tuple[UnopenedSecret, ...] = ()
    ) -> tuple[Generation, tuple[Problem, ...]]:
        """Return the generation of ``texts`` and its problems; see `compiler.compile_generation`.

        ``last`` is the generation in force, ``unopened`` are the secrets that cannot be opened. Raises `Refused`,
        `Failure`.
        """
        machine = replace(read_machine(self._root), unopened=unopened)
        texts = tuple(texts)
        made_from = hashlib.sha256(repr((texts, machine)).encode("utf-8", "surrogateescape")).digest()
        if made_from == self._made_from and last.hash == self._hash and not self._credentials_missing(last):
            return last, self._problems
        # The compiler needs only the units of the last generation, for blocked items: the rest is large to send.
        bare = Generation(number=last.number, hash=last.hash, artifacts=last.artifacts, members=last.members)
        new, problems = self._executor(COMPILE, texts, machine, bare)
        new = keep_last_values(new, last, problems)
        self._made_from, self._hash, self._problems = made_from, new.hash, problems
        return new, problems

    def _credentials_missing(self, last: Generation) -> bool:
        """Return whether credentials are or were missing: they are not among the inputs, so compile again."""
        was_missing = any(problem.code == CREDENTIAL_MISSING for problem in self._problems)
        return was_missing or bool(missing_credentials(last, self._root))
