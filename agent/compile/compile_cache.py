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
from ordain.agent.compile.executor import COMPILE_WITH_INPUTS, Executor
from ordain.agent.compile.supported_types import unsupported_types
from ordain.agent.compile.unopened_secrets import UnopenedSecret
from ordain.agent.model import Generation, RawDocument
from ordain.transforms.catalog.local_transforms import local_transforms
from ordain.transforms.errors import Problem
from ordain.transforms.machine.fact_readers import is_observed, read_details, unknown_details
from ordain.transforms.machine.facts import survey
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.machine.machine_accounts import read_accounts
from ordain.transforms.model import Facts, Installed, MachineAccounts

NOT_INSTALLED = "NotInstalled"
"""The code of the problem with an item whose unit, or the program in its ``subject``, is not installed."""


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
    the result of the last compile is the generation in force. A result that is to be compiled again at once, before it
    is in force, is kept for this one time.
    """

    def __init__(self, root: Path, executor: Executor) -> None:
        self._root = root
        self._executor = executor
        self._made_from = b""
        self._hash = ""
        self._problems: tuple[Problem, ...] = ()
        self._used_facts: frozenset[str] = frozenset()
        self._kept: tuple[bytes, str, Generation] | None = None

    def machine_digest(self) -> bytes:
        """Return a hash of the inputs from the machine: another one means that a compile could have another result."""
        return _digest(read_machine(self._root), self._details())

    def facts_digest(self) -> bytes:
        """Return a hash of the observed facts that the documents of the last compile use, b"" if they use none."""
        observed = sorted(filter(is_observed, self._used_facts))
        return (
            _digest(read_details(self._root, observed), sorted(unknown_details(self._root, observed)))
            if observed
            else b""
        )

    @property
    def observes_facts(self) -> bool:
        """True if the documents of the last compile use facts that the agent must observe."""
        return any(map(is_observed, self._used_facts))

    def _details(self) -> tuple[object, ...]:
        """Return the further facts that the documents of the last compile use, and that the compile reads itself."""
        unknown = sorted(unknown_details(self._root, self._used_facts))
        return (*sorted(read_details(self._root, self._used_facts).items()), *unknown)

    def compile(
        self,
        texts: Iterable[RawDocument],
        last: Generation,
        unopened: tuple[UnopenedSecret, ...] = (),
        *,
        keep: bool = False,
    ) -> tuple[Generation, tuple[Problem, ...]]:
        """Return the generation of ``texts`` and its problems; see `compiler.compile_generation`.

        ``last`` is the generation in force, ``unopened`` are the secrets that cannot be opened. With ``keep``, the next
        call gets the same result if its inputs are the same. Raises `Refused`, `Failure`.
        """
        kept, self._kept = self._kept, None
        machine = replace(read_machine(self._root), unopened=unopened)
        texts = tuple(texts)
        made_from = _digest(texts, machine, self._details())
        if made_from == self._made_from and last.hash == self._hash and not self._waits(last):
            return last, self._problems
        if kept and kept[:2] == (made_from, last.hash) and not self._waits(kept[2]):
            return kept[2], self._problems
        # The compiler needs only the units of the last generation, for blocked items: the rest is large to send.
        bare = replace(last, document={}, provenance={})
        new, problems, used = self._executor(COMPILE_WITH_INPUTS, texts, machine, bare)
        new = keep_last_values(new, last, problems)
        if used != self._used_facts:
            self._used_facts = used
            made_from = _digest(texts, machine, self._details())
        self._made_from, self._hash, self._problems = made_from, new.hash, problems
        if keep:
            self._kept = made_from, last.hash, new
        return new, problems

    def _waits(self, last: Generation) -> bool:
        """Return whether credentials or programs are or were missing: they are not among the inputs."""
        was_missing = any(
            p.code == CREDENTIAL_MISSING or (p.code == NOT_INSTALLED and p.subject) for p in self._problems
        )
        return was_missing or bool(missing_credentials(last, self._root))


def _digest(*inputs: object) -> bytes:
    return hashlib.sha256(repr(inputs).encode("utf-8", "surrogateescape")).digest()
