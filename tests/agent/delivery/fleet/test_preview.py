"""The preview of a change names the machines on which a value changes, also one of their next boot from the network."""

from __future__ import annotations

from ordain.agent.delivery.fleet.preview import ABSENT, PreviewGroup, ValueChange, preview_change
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.transforms.document.reader import read
from ordain.transforms.model import Document, Facts

NODE = """\
---
ordain: v1
kind: Node
name: web{n}
match: {{mac: "52:54:00:00:00:0{n}"}}
labels: {{image: "{image}"}}
"""
DEBIAN = "---\nordain: v1\nkind: Layer\nname: debian\nmatch: {os: debian}\nnetboot: {kernel: %s}\nvalues: {a: %s}\n"
IMAGE = "---\nordain: v1\nkind: Layer\nname: new\ntier: role\nmatch: {image: new}\nnetboot: {kernel: new}\n"
BASE = "ordain: v1\nkind: Layer\nname: base\nnetboot: {kernel: old, arguments: {quiet: true}}\n"


def documents(text: str, *, first: str = "old") -> tuple[Document, ...]:
    nodes = "".join(NODE.format(n=n, image=first if n == 1 else "old") for n in (1, 2))
    found, problems = read("all.yaml", (text + nodes).encode())
    assert problems == ()
    return found


MACHINES = tuple(
    MachineReport(
        machine=str(n) * 32,
        hostname=f"host{n}",
        facts=Facts(id="debian", version="13", systemd=257, hostname=f"host{n}", mac=(f"52:54:00:00:00:0{n}",)),
    )
    for n in (1, 2)
)


def test_a_label_that_selects_another_kernel_is_a_change_of_one_machine() -> None:
    before, after = documents(BASE + IMAGE), documents(BASE + IMAGE, first="new")

    assert preview_change([(before, MACHINES)], after, {}) == (
        PreviewGroup(machines=("host1",), values=(ValueChange(pointer="netboot/kernel", before="old", after="new"),)),
    )


def test_a_layer_for_a_running_system_changes_no_boot_from_the_network() -> None:
    before, after = documents(BASE), documents(BASE + DEBIAN % ("debian", 1))

    (group,) = preview_change([(before, MACHINES)], after, {})

    assert group.machines == ("host1", "host2")
    assert group.values == (ValueChange(pointer="values/a", before=ABSENT, after=group.values[0].after),)


def test_machines_with_other_documents_are_compared_with_their_own() -> None:
    after = documents(BASE + DEBIAN % ("debian", 3))
    changes = [(documents(BASE + DEBIAN % ("debian", value)), [machine]) for value, machine in enumerate(MACHINES, 2)]

    (group,) = preview_change(changes, after, {})

    assert group.machines == ("host1",)
    assert [(change.pointer, change.before, change.after) for change in group.values] == [("values/a", 2, 3)]
