"""`machines()` shows templates the Nodes of other machines: ordered, bounded, and nothing that no Node says."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.memo import Memo
from ordain.transforms.model import Document
from ordain.transforms.resolve.other_machines import MAX_MACHINES, OtherMachines
from ordain.transforms.template.budget import BudgetExceeded, full_budget

NODES = """\
ordain: v1
kind: Node
name: web2
match: {mac: "52:54:00:00:00:02", machine-id: "0123456789abcdef0123456789abcdef"}
labels: {role: [web, cache], data-center: b}
host: {hostname: web2.example.org}
network:
  ethernets:
    eth0: {addresses: [10.0.0.2/24, {2001:db8::2/64: {label: x}}], nameservers: {addresses: [9.9.9.9]}}
---
ordain: v1
kind: Node
name: web10
labels: {role: web, spare: true}
values: {address: 10.0.0.10, ports: [80]}
---
ordain: v1
kind: Node
name: db1
match: {hostname: db-*}
labels: {role: db}
"""


def documents(*texts: str) -> tuple[Document, ...]:
    made: list[Document] = []
    for n, text in enumerate(texts):
        more, problems = read(f"{n}.yaml", text.encode())
        assert problems == ()
        made += more
    return tuple(made)


def names(selector: dict[str, object] | None = None, **labels: object) -> list[str]:
    with full_budget():
        return [
            record["name"] for record in OtherMachines(documents(NODES))(*([selector] if selector else []), **labels)
        ]


def test_a_record_holds_what_the_node_says() -> None:
    with full_budget():
        db1, web10, web2 = OtherMachines(documents(NODES))()

    assert web2 == {
        "name": "web2",
        "hostname": "web2.example.org",
        "machine_id": "0123456789abcdef0123456789abcdef",
        "mac": ("52:54:00:00:00:02",),
        "labels": {"role": ("web", "cache"), "data-center": "b"},
        "addresses": ("10.0.0.2", "2001:db8::2"),
        "address": "10.0.0.2",
        "value": {},
    }
    assert (web10["address"], web10["value"]) == ("10.0.0.10", {"address": "10.0.0.10", "ports": [80]})
    assert (db1["hostname"], db1["address"]) == ("db1", "")


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {}, ["db1", "web10", "web2"]),
        (None, {"role": "web"}, ["web10", "web2"]),
        (None, {"role": ["cache", "db"]}, ["db1", "web2"]),
        ({"data-center": "b"}, {"role": "web"}, ["web2"]),
        (None, {"spare": True}, ["web10"]),
        (None, {"spare": None, "role": "web"}, ["web2"]),
        (None, {"name": "web*"}, ["web10", "web2"]),
        (None, {"hostname": "*.example.org"}, ["web2"]),
        (None, {"role": "none"}, []),
    ],
)
def test_a_selector_is_compared_with_the_labels(
    selector: dict[str, object] | None, labels: dict[str, object], expected: list[str]
) -> None:
    assert names(selector, **labels) == expected


def test_too_many_nodes_are_refused() -> None:
    node = documents("ordain: v1\nkind: Node\nname: a\n")[0]

    with full_budget(), pytest.raises(BudgetExceeded, match="at most"):
        OtherMachines([node] * (MAX_MACHINES + 1))()


HOSTS = """\
ordain: v1
kind: Layer
name: hosts
match: {hostname: reader}
files:
  /etc/cluster: {template: "{% for m in machines(role='web') %}{{ m.name }} {{ m.address }};{% endfor %}"}
services:
  proxy:
    command: [/usr/bin/sleep, infinity]
    environment: {WEB: {template: "{{ machines(role='web')|map(attribute='name')|join(',') }}"}}
  other: {command: [/usr/bin/sleep, infinity]}
"""


def texts_of(memo: Memo, hostname: str, *texts: str) -> dict[str, str]:
    compiled = compile(documents(*texts), facts_for("debian-13", hostname=hostname), memo=memo)
    assert [str(problem) for problem in compiled.problems] == []
    return {a.path: getattr(a, "content", "") for a in compiled.artifacts}


def test_a_changed_node_changes_only_what_reads_it() -> None:
    memo = Memo()
    before = texts_of(memo, "reader", HOSTS, NODES)
    assert before["/etc/cluster"] == "web10 10.0.0.10;web2 10.0.0.2;"
    assert "Environment=WEB=web10,web2" in before["normal/proxy.service"]

    after = texts_of(memo, "reader", HOSTS, NODES.replace("10.0.0.2/24", "10.0.0.22/24"))
    assert [path for path in after if after[path] != before[path]] == ["/etc/cluster"]

    renamed = texts_of(memo, "reader", HOSTS, NODES.replace("name: web10", "name: web11"))
    assert [path for path in renamed if renamed[path] != before[path]] == ["/etc/cluster", "normal/proxy.service"]

    assert texts_of(memo, "reader", HOSTS, NODES.replace("role: db", "role: none")) == before


def test_a_hosts_file_of_two_thousand_machines_is_within_the_limits() -> None:
    node = "---\nordain: v1\nkind: Node\nname: n{0:04}.cluster.example.org\nlabels: {{role: web}}\n"
    node += "values: {{address: 10.1.{1}.{2}}}\n"
    nodes = "".join(node.format(n, n // 250, n % 250) for n in range(2000))

    text = texts_of(Memo(), "reader", HOSTS.partition("services:")[0], nodes)["/etc/cluster"]

    assert text.count(";") == 2000
    assert len(text) > 65_536


def test_a_call_with_something_else_than_labels_blocks_only_its_item() -> None:
    layer = HOSTS.replace("machines(role='web')", "machines(1)", 1)

    compiled = compile(documents(layer, NODES), facts_for("debian-13", hostname="reader"))

    assert [(p.item, "takes labels" in p.what) for p in compiled.problems] == [("files/~1etc~1cluster", True)]
