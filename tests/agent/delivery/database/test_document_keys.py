"""The keys of documents in a store: a machine reads every document that can match it, and no others."""

from __future__ import annotations

import pytest

from ordain.agent.delivery.database import document_keys
from ordain.transforms.document.reader import read
from ordain.transforms.model import Document, Facts
from ordain.transforms.resolve.match import match_layer

WEB3 = Facts(
    id="rocky",
    like=("rhel", "fedora"),
    version="9.3",
    systemd=252,
    arch="x86-64",
    virtualization="none",
    hostname="web3",
    machine_id="0" * 31 + "3",
    mac=("52:54:00:00:00:03",),
    root="disk",
    labels={"role": ("web", "cache"), "site/row": ("ams 1",)},
)


def document(match: str, kind: str = "Layer", name: str = "x") -> Document:
    text = f"ordain: v1\nkind: {kind}\nname: {name}\n" + (f"match: {match}\n" if match else "")
    found, problems = read("x.yaml", text.encode())
    assert not problems
    return found[0]


@pytest.mark.parametrize(
    ("match", "scopes"),
    [
        ("", ["common"]),
        ("{role: web}", ["role=web"]),
        ("{role: [web, db]}", ["role=db", "role=web"]),
        ("{role: {not: web}}", ["common"]),
        ("{role: null}", ["common"]),
        ("{role: [web, null]}", ["common"]),
        ("{role: [web, db], site: ams}", ["site=ams"]),
        ("{os: debian, role: [web, db]}", ["role=db", "role=web"]),
        ("{id: debian}", ["os=debian"]),
        ("{arch: arm64}", ["common"]),
        ("{hostname: web3}", ["hostname=web3"]),
        ('{hostname: "web*"}', ["common"]),
        ('{hostname: "web*", role: web}', ["role=web"]),
        ("{mac: 52-54-00-00-00-0A}", ["mac=52:54:00:00:00:0a"]),
        ("{site/row: ams 1}", ["site%2Frow=ams%201"]),
        ("{role: [%s]}" % ", ".join(f"r{i}" for i in range(17)), ["role=*"]),  # noqa: UP031
    ],
)
def test_a_document_lies_in_the_scopes_of_its_narrowest_condition(match: str, scopes: list[str]) -> None:
    assert document_keys.scopes_of(document(match)) == tuple(scopes)


def test_a_node_lies_in_the_scope_of_its_machine() -> None:
    assert document_keys.keys_of(document("", "Node", "web3")) == ("documents/hostname=web3/node/web3",)


@pytest.mark.parametrize(
    "match",
    [
        "",
        "{role: web}",
        "{role: [db, cache]}",
        "{site/row: ams 1}",
        "{os: fedora}",
        "{id: rocky}",
        "{hostname: web3}",
        '{hostname: "web?"}',
        "{machine-id: 00000000-0000-0000-0000-000000000003}",
        "{mac: 52-54-00-00-00-03}",
        '{os: rhel, version: ">=9", arch: x86-64}',
        "{role: [web, %s]}" % ", ".join(f"r{i}" for i in range(20)),  # noqa: UP031
        "{pool: {not: a}}",
    ],
)
def test_a_machine_reads_a_scope_of_every_document_that_matches_it(match: str) -> None:
    layer = document(match)
    assert match_layer(layer, WEB3, {"rocky": "rhel"}).holds
    assert set(document_keys.scopes_of(layer)) & set(document_keys.scopes_for(WEB3))


@pytest.mark.parametrize("match", ["{role: db}", "{os: debian}", "{hostname: web4}", "{pool: a}", "{role: [db, mail]}"])
def test_a_machine_reads_no_scope_of_a_document_for_others(match: str) -> None:
    assert not set(document_keys.scopes_of(document(match))) & set(document_keys.scopes_for(WEB3))


def test_a_key_can_be_read_back() -> None:
    assert document_keys.parse_key(document_keys.key("common", "Layer", "a/b c")) == ("common", "layer", "a/b c")
    assert document_keys.parse_key("status/0003") is None
