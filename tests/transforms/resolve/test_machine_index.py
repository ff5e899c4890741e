"""A machine resolves the documents that the index gives it as it resolves all of them."""

from __future__ import annotations

import random

from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused
from ordain.transforms.model import Document, Facts, Resolved
from ordain.transforms.resolve.machine_index import machine_index
from ordain.transforms.resolve.resolve import resolve

MATCHES = (
    "{}",
    "{hostname: m1}",
    "{hostname: [m1, m2]}",
    "{hostname: 'm*'}",
    "{hostname: {not: m3}}",
    "{machine-id: 00000000-0000-0000-0000-00000000000A}",
    "{hostname: m4, role: web}",
    "{hostname: 'm?', machine-id: '00000000000000000000000000000005'}",
    "{role: web}",
    "{mac: '52:54:00:00:00:01'}",
)


def document(kind: str, name: str, match: str, more: str = "") -> Document:
    text = f"ordain: v1\nkind: {kind}\nname: {name}\n{f'match: {match}' if match else ''}\n{more}\n"
    (made,), problems = read(f"{name}.yaml", text.encode())
    assert not problems
    return made


def machine(number: int) -> Facts:
    return Facts(
        id="debian",
        version="13",
        systemd=257,
        hostname=f"m{number}",
        machine_id=f"{number:032x}",
        mac=(f"52:54:00:00:00:{number:02x}",),
    )


def result(documents: tuple[Document, ...], facts: Facts) -> Resolved | list[str]:
    try:
        return resolve(documents, facts, {})[0]
    except Refused as refused:
        return [str(problem) for problem in refused.problems]


def test_every_machine_resolves_the_same() -> None:
    numbers = random.Random(13)
    for _ in range(40):
        documents = [
            document("Layer", f"l{n}", numbers.choice(MATCHES), f"values: {{v{numbers.randrange(3)}: {n}}}")
            for n in range(12)
        ]
        documents += [
            document(
                "Node",
                f"m{n}",
                numbers.choice(("", *MATCHES[1:4])),
                f"labels: {{role: {numbers.choice(['web', 'db'])}}}",
            )
            for n in range(6)
        ]
        numbers.shuffle(documents)
        index = machine_index(documents)
        for number in range(13):
            facts = machine(number)
            assert result(index.for_machine(facts), facts) == result(tuple(documents), facts)


def test_nodes_of_other_machines_are_left_out() -> None:
    index = machine_index(document("Node", f"m{n}", "") for n in range(100))
    assert [node.name for node in index.for_machine(machine(7))] == ["m7"]


def test_two_documents_of_one_name_are_left_to_every_machine() -> None:
    index = machine_index((document("Node", "m1", ""), document("Node", "m1", ""), document("Node", "m2", "")))
    assert len(index.for_machine(machine(3))) == 3
