"""Machines as subjects of queries: their reports as attributes, and the document that each of them resolves.

    reports ┐
            ├─▶ `FleetQuery.machines` ──▶ `QueriedMachine`: attributes, resolved document, problems
    store ──┘   (the documents of the release that a machine has, or the plain ones)

Templates are expanded with the facts that a machine reported, except for paths, which only the machine knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.document_keys import DOCUMENTS
from ordain.agent.delivery.database.named_documents import group_by_name
from ordain.agent.delivery.fleet.fleet_holds import FleetHolds, read_holds
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.reports import BAD_STATES, is_lost
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release.manifest import read_release
from ordain.agent.delivery.release.publish import PUBLISH_AGAIN, number_key, read_blobs, read_head
from ordain.agent.errors import Failure
from ordain.transforms.catalog.names import Names, names_for, shared_versions
from ordain.transforms.document.reader import read
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Problem, Refused, only_errors
from ordain.transforms.model import Branch, Document, Facts, Tree
from ordain.transforms.query.evaluate import Subject
from ordain.transforms.resolve.machine_index import MachineIndex, machine_index
from ordain.transforms.resolve.other_machines import OtherMachines
from ordain.transforms.resolve.resolve import resolve
from ordain.transforms.template.expand import Scope, expand, fact_values, holds_template

HELD = ("Held", "Paused", "Pinned")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueriedMachine:
    """A machine that reports, with its resolved document; ``problem`` is the reason if there is none."""

    report: MachineReport
    subject: Subject
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class FleetQuery:
    """Resolves the documents of machines as they read them: each set of documents is read once.

    ``transforms`` are the shipped database, and ``now`` is a time in seconds since 1970, by which machines are silent.
    ``left_out`` are the errors of documents that could not be read.
    """

    database: Database
    transforms: Sequence[Document]
    now: float
    left_out: list[Problem] = field(default_factory=list)
    _sets: dict[ReleaseReference, _DocumentSet] = field(default_factory=dict)
    _heads: dict[str, int] = field(default_factory=dict)
    _holds: FleetHolds | None = None

    async def machines(self, reports: Iterable[MachineReport]) -> tuple[QueriedMachine, ...]:
        """Return a subject for each report. Raises `SourceError`."""
        return tuple([await self._machine(report) for report in reports])

    async def documents_of(self, release: ReleaseReference) -> tuple[tuple[Document, ...], str]:
        """Return the documents that a machine with ``release`` reads, and the reason if they cannot be read, or "".

        Without a release, a machine reads the plain documents of the store. Raises `SourceError`.
        """
        documents = await self._set(release)
        return documents.documents, documents.problem

    async def _set(self, release: ReleaseReference) -> _DocumentSet:
        if release not in self._sets:
            self._sets[release] = await self._documents(release)
        return self._sets[release]

    async def _machine(self, report: MachineReport) -> QueriedMachine:
        release = report.release
        if release.channel and release.channel not in self._heads:
            self._heads[release.channel] = await self._head(release.channel)
        documents = await self._set(release)
        tree, problem = Branch(), documents.problem or ("" if report.facts else "it has not reported its facts")
        if report.facts and not problem:
            tree, problem = documents.resolved(report.facts)
        if self._holds is None:
            self._holds = (await read_holds(self.database)).holds
        held = self._holds.of(report, datetime.fromtimestamp(self.now, UTC)) is not None
        attributes = attributes_of(report, self.now, self._heads.get(release.channel, 0), held=held)
        return QueriedMachine(report=report, subject=Subject(tree=tree, attributes=attributes), problem=problem)

    async def _documents(self, release: ReleaseReference) -> _DocumentSet:
        try:
            texts = await (self._texts_of_release(release) if release.number else self._plain_texts())
        except (Refused, Failure) as error:
            return _DocumentSet(documents=(), transforms=self.transforms, problem=str(error))
        documents: list[Document] = []
        for path, data in texts:
            readable, problems = read(path, data)
            documents += readable
            self.left_out += only_errors(problems)
        return _DocumentSet(documents=tuple(documents), transforms=self.transforms)

    async def _plain_texts(self) -> list[tuple[str, bytes]]:
        listing = await self.database.list(DOCUMENTS)
        return [(named.path, named.data) for named in group_by_name(listing.entries, listing.conflicts)]

    async def _texts_of_release(self, reference: ReleaseReference) -> list[tuple[str, bytes]]:
        key = number_key(reference.channel, reference.number)
        entry = await self.database.get(key)
        if entry is None:
            raise Failure(f"release {reference.title} is not in the store any more")
        if entry.conflict:
            raise Failure(f"{key} {entry.conflict}; {PUBLISH_AGAIN}")
        release = read_release(key, entry.data)
        blobs = await read_blobs(self.database, release, set(release.documents.values()))
        return [(name, blobs[hash]) for name, hash in sorted(release.documents.items()) if hash in blobs]

    async def _head(self, channel: str) -> int:
        try:
            head, _ = await read_head(self.database, channel)
        except Failure:
            return 0
        return head.number if head else 0


@dataclass(kw_only=True)
class _DocumentSet:
    """The documents that some machines read; ``problem`` is the reason if they cannot be read."""

    documents: tuple[Document, ...]
    transforms: Sequence[Document]
    problem: str = ""

    @cached_property
    def shared(self) -> Mapping[str, str]:
        """The IDs of systems that have the version numbers of another one."""
        return shared_versions((*self.transforms, *self.documents))

    @cached_property
    def _index(self) -> MachineIndex:
        return machine_index(self.documents)

    def resolved(self, facts: Facts) -> tuple[Branch, str]:
        """Return the document of a machine with its templates expanded, and the first problem or ""."""
        try:
            resolved, _ = resolve(self._index.for_machine(facts), facts, self.shared)
        except Refused as refused:
            return Branch(), f"it refuses its documents: {refused.problems[0]}"
        if not holds_template(resolved.tree):
            return resolved.tree, ""
        scope = Scope(
            facts=resolved.facts,
            values=plain(resolved.tree.branch("values")),
            path_of=lambda name: self._names(resolved.facts).path(name),
            service_of=lambda name: self._names(resolved.facts).service_values(name),
            machines=OtherMachines(self.documents),
        )
        problems: list[Problem] = []
        sections = {name: _expanded(branch, scope, name, problems) for name, branch in resolved.tree.branches()}
        tree = replace(resolved.tree, children={**resolved.tree.children, **sections})
        return tree, str(problems[0]) if problems else ""

    def _names(self, facts: Facts) -> Names:
        return names_for((*self.transforms, *self.documents), facts, self.shared)[0]


def _expanded(section: Branch, scope: Scope, pointer: str, problems: list[Problem]) -> Branch:
    """Return a section with its templates expanded; each item has its own credentials."""
    children: dict[str, Tree] = {}
    for name, child in section.children.items():
        item = child if isinstance(child, Branch) else Branch(children={name: child})
        expanded, wrong = expand(item, scope, f"{pointer}/{name}", instance=True)
        children[name] = expanded if isinstance(child, Branch) else expanded.children[name]
        problems += wrong
    return replace(section, children=children)


def attributes_of(report: MachineReport, now: float, head: int, *, held: bool = False) -> Mapping[str, tuple[str, ...]]:
    """Return what a machine reports, by the names of `ATTRIBUTES`, its facts and its labels.

    ``head`` is the number of the latest release of its channel, 0 if there is none. ``held``: the fleet holds it. A
    label that has the name of an attribute or a fact is reached as ``label.NAME``.
    """
    codes = tuple(sorted({condition.code for condition in report.conditions}))
    facts = fact_values(report.facts) if report.facts else {}
    labels = {name: tuple(values) for name, values in report.labels.items()}
    flags = {
        "behind": report.wanted_generation > report.generation or report.release.number < head,
        "degraded": report.phase in BAD_STATES,
        "held": held or any(code in HELD for code in codes),
        "silent": is_lost(report, now),
    }
    return {
        **(report.facts.details if report.facts else {}),
        **{f"label.{name}": values for name, values in labels.items()},
        **labels,
        **{name: _words(value) for name, value in facts.items()},
        "machine": (report.machine,),
        "hostname": (report.hostname,),
        "state": (report.phase,),
        "generation": (str(report.generation),),
        "release": (str(report.release.number),) if report.release.number else (),
        "channel": (report.release.channel,) if report.release.number else (),
        "condition": codes,
        "unit": tuple(sorted(report.units)),
        "failed": tuple(sorted(name for name, unit in report.units.items() if unit.state == "failed")),
        "drift": report.drift,
        "source": (report.source.type,),
        **{name: ("true",) if holds else () for name, holds in flags.items()},
    }


ATTRIBUTES: Mapping[str, str] = {
    "state": "converged, degraded, rolled-back, paused, …",
    "behind": "it has not applied the newest release or generation yet",
    "held": "the fleet or an administrator holds it, units of it are held, or it is paused or pinned",
    "degraded": "its state is degraded or rolled-back",
    "silent": "it has not reported for too long",
    "condition": "the codes of its conditions",
    "unit": "the units that it reports",
    "failed": "the units that have failed",
    "drift": "the units that differ from the documents",
    "generation": "the number of its generation",
    "release": "the number of its release",
    "channel": "the channel of its release",
    "source": "the type of its source",
    "hostname": "its host name",
    "machine": "its machine-id",
}
"""The attributes of a machine beside its facts and labels, for people."""


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return tuple(str(item) for item in value)
    return (str(value),) if value not in (None, "") else ()
