"""With --client-ca, a machine gets the documents for the names in its certificate."""

from __future__ import annotations

import pytest

from ordain.agent.delivery.source.http_source import MachineIdentity
from ordain.agent.server.certificate_identity import certificate_names, proven_identity
from ordain.agent.server.machine_documents import split_documents

ID, OTHER = "1" * 32, "2" * 32
MAC = "52:54:00:00:00:01"
STATED = MachineIdentity(machine_id=ID, hostname="web1", mac=(MAC,), channel="stable")


@pytest.mark.parametrize(
    ("names", "proven"),
    [
        ({ID}, MachineIdentity(machine_id=ID, hostname="", channel="stable")),
        ({"web1"}, MachineIdentity(machine_id="", hostname="web1", channel="stable")),
        ({ID, "web1", "52-54-00-00-00-01"}, STATED),
        ({OTHER}, None),
        ({OTHER, "web1"}, None),
        ({"web2"}, None),
        (set(), None),
    ],
)
def test_the_certificate_decides_who_a_machine_is(names: set[str], proven: MachineIdentity | None) -> None:
    assert proven_identity(STATED, frozenset(names)) == proven


def test_the_names_of_a_certificate_are_its_common_name_and_its_dns_names() -> None:
    certificate = {
        "subject": ((("organizationName", "x"),), (("commonName", ID),)),
        "subjectAltName": (("DNS", "WEB1"), ("IP Address", "127.0.0.1"), ("URI", "https://db1")),
    }

    assert certificate_names(certificate) == {ID, "web1"}


def test_documents_for_names_that_are_not_proven_are_not_sent() -> None:
    head = "ordain: v1\nkind: Layer\nname: "
    texts = {
        "all": "", "mine": f"match: {{machine-id: {ID}}}\n", "other": f"match: {{machine-id: {OTHER}}}\n",
        "host": "match: {hostname: web1}\n", "mac": f'match: {{mac: "{MAC}"}}\n', "label": "match: {role: web}\n",
    }  # fmt: skip
    documents = split_documents(
        [(f"{name}.yaml", (head + name + "\n" + rest).encode()) for name, rest in texts.items()]
    )
    proven = proven_identity(STATED, frozenset({ID}))
    assert proven is not None

    sent = documents.for_machine(proven, proven=True).decode()

    assert [name for name in texts if f"name: {name}\n" in sent] == ["all", "mine", "label"]
    unproven = documents.for_machine(MachineIdentity(machine_id=ID, hostname="")).decode()
    assert [name for name in texts if f"name: {name}\n" in unproven] == ["all", "mine", "host", "mac", "label"]
