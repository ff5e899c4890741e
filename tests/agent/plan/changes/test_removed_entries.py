"""The entries of one generation that another no longer has."""

from __future__ import annotations

from ordain.agent.model import Generation
from ordain.agent.plan.changes.removed_entries import removed_entries
from ordain.transforms.model import Member, Wanted

BEFORE = Generation(
    hash="1",
    document={
        "services": {"a": {}, "b": {"state": "running"}},
        "files": {"/etc/motd": {"content": "x"}},
        "sysctl": {"vm.swappiness": "10", "vm.dirty_ratio": "5"},
        "network": {"bridges": {"br0": {}, "br1": {}}, "renderer": "networkd"},
        "host": {"hostname": "one"},
        "values": {"a": "1"},
    },
)


def test_an_entry_of_any_section_is_named_by_its_pointer() -> None:
    after = Generation(
        hash="2",
        document={
            "services": {"a": {"nice": 1}},
            "sysctl": {"vm.swappiness": "20"},
            "network": {"bridges": {"br1": {}}},
        },
    )

    assert removed_entries(BEFORE, after) == (
        "files/~1etc~1motd",
        "host/hostname",
        "network/bridges/br0",
        "network/renderer",
        "services/b",
        "sysctl/vm.dirty_ratio",
    )
    assert removed_entries(after, BEFORE) == ()


def test_a_generation_without_a_document_is_compared_by_its_members() -> None:
    members = tuple(Member(unit=f"{n}.service", item=f"services/{n}", wanted=Wanted.RUNNING, ours=True) for n in "ab")
    cached = Generation(hash="1", members=members)

    assert removed_entries(cached, Generation(hash="2", document={"services": {"a": {}}})) == ("services/b",)
