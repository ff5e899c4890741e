"""Queries over machines: each machine is asked about the document that it resolves itself."""

from __future__ import annotations

import random
from pathlib import Path

from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.document_keys import keys_of
from ordain.agent.delivery.fleet.fleet_query import FleetQuery, QueriedMachine
from ordain.agent.delivery.fleet.report import MachineReport, ReportedCondition
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release.assemble import assemble
from ordain.agent.delivery.release.manifest import ReleaseDraft
from ordain.agent.delivery.release.publish import publish
from ordain.agent.status import AgentState
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Facts
from ordain.transforms.query.evaluate import holds
from ordain.transforms.query.expression import parse_expression

NOW = 1_800_000_000


def layer(name: str, match: str, text: str) -> bytes:
    return f"ordain: v1\nkind: Layer\nname: {name}\nmatch: {match}\n{text}\n".encode()


def report(number: int, role: str = "web", **more: object) -> MachineReport:
    labels = {"role": (role,)}
    facts = Facts(
        machine_id=f"{number:032x}", hostname=f"m{number}", id="debian", version="13", systemd=257, labels=labels
    )
    values: dict[str, object] = {
        "machine": facts.machine_id,
        "hostname": facts.hostname,
        "facts": facts,
        "labels": facts.labels,
        "phase": AgentState.CONVERGED,
        "seen": NOW,
        **more,
    }
    return MachineReport(**values)  # type: ignore[arg-type]


async def store(folder: Path, *texts: bytes) -> DirectoryDatabase:
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240
    database = DirectoryDatabase(folder)
    for text in texts:
        (document,) = read("x", text)[0]
        for key in keys_of(document):
            await database.put(key, text, expect=None)
    return database


async def ask(database: DirectoryDatabase, expression: str, *reports: MachineReport) -> list[str]:
    """Return the host names of the machines for which the expression holds."""
    machines = await FleetQuery(database=database, transforms=(), now=NOW).machines(reports)
    return [one.report.hostname for one in machines if holds(parse_expression(expression), one.subject)]


async def test_a_machine_is_asked_about_the_layers_that_match_it(tmp_path: Path) -> None:
    database = await store(
        tmp_path,
        layer("all", "{}", "services: {nginx: {command: nginx, limits: {memory: 2G}}}"),
        layer("small", "{role: db}", "tier: role\nservices: {nginx: {limits: {memory: 512M}}}"),
    )

    assert await ask(database, "services/nginx/limits/memory<1G", report(1), report(2, "db")) == ["m2"]
    assert await ask(database, "services/nginx and role=web", report(1), report(2, "db")) == ["m1"]


async def test_templates_are_expanded_for_each_machine(tmp_path: Path) -> None:
    text = "services: {a: {command: x, environment: {NAME: {template: '{{ facts.hostname }}-{{ labels.role }}'}}}}"
    database = await store(tmp_path, layer("all", "{}", text))

    assert await ask(database, "services/a/environment/NAME=m2-web", report(1), report(2)) == ["m2"]


async def test_machines_of_a_release_are_asked_about_its_documents(tmp_path: Path) -> None:
    database = await store(tmp_path, layer("plain", "{}", "services: {plain: {command: x}}"))
    references = []
    for number, name in ((1, "old"), (2, "new")):
        made = assemble((("a.yaml", layer("a", "{}", f"services: {{{name}: {{command: x}}}}")),))
        draft = ReleaseDraft(channel="stable", number=number, documents=made.names, created="now")
        await publish(database, draft.release(), dict(made.blobs))
        references.append(ReleaseReference(channel="stable", number=number, hash=draft.release().hash))
    machines = report(1, release=references[0]), report(2, release=references[1]), report(3)

    assert await ask(database, "services/old", *machines) == ["m1"]
    assert await ask(database, "services/new", *machines) == ["m2"]
    assert await ask(database, "services/plain", *machines) == ["m3"]
    assert await ask(database, "behind", *machines) == ["m1"]
    assert await ask(database, "release=1 or not channel", *machines) == ["m1", "m3"]


async def test_reports_are_attributes(tmp_path: Path) -> None:
    database = await store(tmp_path)
    machines = (
        report(1, phase=AgentState.DEGRADED, conditions=(ReportedCondition(code="NotInstalled"),)),
        report(2, seen=NOW - 86_400),
        report(3, conditions=(ReportedCondition(code="Paused"),), drift=("a.service",)),
    )

    assert await ask(database, "degraded", *machines) == ["m1"]
    assert await ask(database, "condition=NotInstalled", *machines) == ["m1"]
    assert await ask(database, "silent", *machines) == ["m2"]
    assert await ask(database, "held or drift=a.service", *machines) == ["m3"]
    assert await ask(database, "os=debian version>=12 hostname=m[12]", *machines) == ["m1", "m2"]
    assert await ask(database, "label.role=web and not state=converged", *machines) == ["m1"]


async def machines_of(database: DirectoryDatabase, *reports: MachineReport) -> tuple[QueriedMachine, ...]:
    return await FleetQuery(database=database, transforms=(), now=NOW).machines(reports)


async def test_a_machine_without_a_document_is_named(tmp_path: Path) -> None:
    database = await store(
        tmp_path,
        layer("a", "{role: web}", "services: {x: {command: a}}"),
        layer("b", "{hostname: m1}", "services: {x: {command: b}}"),
    )

    refusing, fine, unknown, gone = await machines_of(
        database,
        report(1),
        report(2),
        report(3, facts=None),
        report(4, release=ReleaseReference(channel="stable", number=9)),
    )

    assert refusing.problem.startswith("it refuses its documents: ")
    assert fine.problem == ""
    assert unknown.problem == "it has not reported its facts"
    assert gone.problem == "release stable 9 is not in the store any more"


async def test_an_answer_equals_the_compile_of_every_machine(tmp_path: Path) -> None:
    numbers = random.Random(7)
    layers = [
        layer(f"l{n}", match, f"services: {{s{n}: {{command: x, limits: {{memory: {memory}}}}}}}")
        for n in range(30)
        for match in [numbers.choice(["{}", "{role: web}", "{role: db}", f"{{hostname: m{n}}}"])]
        for memory in [numbers.choice(["256M", "1G"] if "hostname" in match else ["1G", "2G"])]
    ]
    database = await store(tmp_path, *layers)
    documents = [document for text in layers for document in read("x", text)[0]]
    reports = [report(n, numbers.choice(["web", "db", "mail"])) for n in range(40)]

    answer = await ask(database, "services/*/limits/memory < 1G", *reports)

    brute = []
    for one in reports:
        assert one.facts is not None
        compiled = compile(documents, one.facts)
        if any("MemoryMax=256M" in str(artifact) or "268435456" in str(artifact) for artifact in compiled.artifacts):
            brute.append(one.hostname)
    assert answer == brute
    assert 0 < len(answer) < len(reports)
