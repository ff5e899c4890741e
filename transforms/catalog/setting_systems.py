"""The holes of settings: what keeps a system from writing a setting, and the known systems that can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ordain.transforms.catalog.config_directories import takes_drop_ins
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import Names, names_for, shared_versions
from ordain.transforms.model import Branch, Document, Kind

READERS = ("reload", "restart", "reader")
"""The keys of a write that name the service that reads it."""


def service_of(write: Branch) -> str:
    """Return the neutral name of the service that reads what is written, "" for none."""
    return str(next((leaf.value for key in READERS if (leaf := write.leaf(key))), ""))


def holes(writes: Iterable[Branch], names: Names) -> Iterator[str]:
    """Yield each reason why a system cannot have a setting with the chosen ``writes``."""
    writes = tuple(writes)
    if not writes:
        yield "nothing writes it on this system"
    for write in writes:
        service = service_of(write)
        for needed in filter(None, (service, *write.branch("services"))):
            if not names.service(needed, "unit"):
                yield f"no Transform names the unit of {needed} on this system"
                return
        if "drop-in" in write and not takes_drop_ins(names.service(service, "config")):
            yield f"{names.service(service, 'unit')} reads no directory of files on this system, only one main file"
            return


def systems_with_setting(name: str, documents: Iterable[Document]) -> tuple[str, ...]:
    """Return the known systems for which the Transforms among ``documents`` write ``name``.

    A system all of whose versions do is named without a version.
    """
    return _systems(name, documents, True)


def systems_without_setting(name: str, documents: Iterable[Document]) -> tuple[str, ...]:
    """Return the other known systems, in the same form."""
    return _systems(name, documents, False)


def _systems(name: str, documents: Iterable[Document], wanted: bool) -> tuple[str, ...]:
    transforms = [document for document in documents if document.kind is Kind.TRANSFORM]
    shared = shared_versions(transforms)
    rows = [row for document in transforms if (row := _only(document, name)).sections]
    by_id: dict[str, list[str]] = {}
    partly: set[str] = set()
    for system in known_systems():
        facts = facts_for(system)
        names = names_for(rows, facts, shared)[0]
        writes = [w for _, w in names.setting(name).branch("writes").branches() if w.value("fallback") is not True]
        if (next(holes(writes, names), None) is None) is wanted:
            by_id.setdefault(facts.id, []).append(system)
        else:
            partly.add(facts.id)
    return tuple(word for id, own in by_id.items() for word in (own if id in partly else [id]))


def _only(document: Document, name: str) -> Document:
    """Return ``document`` with the row of one setting and those of services, which it may need."""
    settings = document.sections.branch("settings")
    kept = {"services": document.sections.branch("services")} if "services" in document.sections else {}
    if name in settings:
        kept["settings"] = replace(settings, children={name: settings.children[name]})
    return replace(document, sections=replace(document.sections, children=kept))
