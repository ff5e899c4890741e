"""Transform documents override the shipped ones by tier, and a wrong one only blocks the items that use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.compile.compiler import compile_texts
from ordain.agent.model import Generation
from ordain.agent.plan.explain import explain, provenance_entries
from ordain.agent.state.store import Store
from ordain.transforms.artifacts import content_of
from ordain.transforms.errors import Problem, Refused, Severity

LAYER = """\
ordain: v1
kind: Layer
name: base
values: {port: 80}
services:
  ssh: {limits: {memory: MEMORY}}
  cron: {limits: {memory: MEMORY}}
  web: {command: [/usr/bin/sleep, infinity], after: [network-online], description: MEMORY}
mounts: {/srv: {what: tmpfs, type: tmpfs, options: {size: MEMORY}}}
"""
HEAD = "ordain: v1\nkind: Transform\nname: own\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/libsystemd-shared-257.so").touch()
    for name in ("ssh", "cron", "corp-sshd"):
        (units / f"{name}.service").write_text("[Service]\nExecStart=/usr/bin/true\n")
    return tmp_path


def made(
    root: Path, transform: str, memory: str = "64M", last: Generation | None = None
) -> tuple[Generation, tuple[Problem, ...]]:
    texts = [("layer.yaml", LAYER.replace("MEMORY", memory).encode()), ("transform.yaml", transform.encode())]
    return compile_texts(texts, root, last or Generation())


def says(generation: Generation, path: str) -> str:
    return next((content_of(a) for a in generation.artifacts if a.path == f"normal/{path}"), "")


SSH, CRON, WEB, SRV = "ssh.service.d/00-ordain.conf", "cron.service.d/00-ordain.conf", "web.service", "srv.mount"


def test_a_transform_of_the_documents_overrides_a_shipped_one_by_its_tier(root: Path) -> None:
    row = "services: {ssh: {unit: corp-sshd.service}}\n"
    generation, problems = made(root, f"{HEAD}tier: os\n{row}")
    assert [p for p in problems if p.severity is not Severity.WARNING] == []
    assert "64M" in says(generation, "corp-sshd.service.d/00-ordain.conf")
    # In the tier of the shipped ones it has the same rank, unless it matches more closely.
    assert "have the same rank" in made(root, HEAD + row)[1][0].what
    assert "64M" in says(made(root, f"{HEAD}tier: os\nmatch: {{os: fedora}}\n{row}")[0], SSH)


def test_null_removes_a_row(root: Path) -> None:
    _, problems = made(root, f"{HEAD}tier: site\nservices: {{ssh: null}}\n")
    assert [(p.item, p.code) for p in problems] == [("services/ssh", "Unmapped")]


ONE_ROW = {
    "a row": "services: {ssh: {unit: [a]}}",
    "a word": "services: {ssh: {unti: ssh.service}}",
    "a unit name": "services: {ssh: {unit: nothing}}",
    "a path": "services: {ssh: {config: ../../etc}}",
    "a shape": "services: {ssh: [a, b]}",
    "a command": "services: {ssh: {check: [[/bin/x], {template: x}]}}",
    "a tier": "tier: highest\nservices: {ssh: {unit: corp-sshd.service}}",
    "a match": "match: {version: new}\nservices: {ssh: {unit: corp-sshd.service}}",
    "a name": "name: [x]\nservices: {ssh: {unit: corp-sshd.service}}",
    "a template without a text": "tier: site\nservices: {ssh: {unit: {template: '{{ values.gone }}.service'}}}",
    "a text that is not a unit": "tier: site\nservices: {ssh: {unit: {template: 'a/../{{ values.port }}'}}}",
    "a text that is not a path": "tier: site\nservices: {ssh: {config: {template: '../{{ values.port }}'}}}",
    "a bomb": "tier: site\nservices: {ssh: {config: {template: \"/{{ 'a' * 10**9 }}\"}}}",
    "an escape": "tier: site\nservices: {ssh: {config: {template: \"/{{ ''.__class__.__mro__ }}\"}}}",
    "a conflict": "tier: site\nservices: {ssh: {unit: a.service}}\n---\nordain: v1\nkind: Transform\nname: other\n"
    "tier: site\nservices: {ssh: {unit: b.service}}",
}


@pytest.mark.parametrize("what", ONE_ROW)
def test_a_wrong_row_only_blocks_the_items_that_use_it(root: Path, what: str) -> None:
    good, problems = made(root, HEAD)
    assert problems == ()
    head = HEAD.replace("name: own\n", "") if what == "a name" else HEAD

    generation, problems = made(root, f"{head}{ONE_ROW[what]}\n", "128M", good)

    blocked = [p for p in problems if p.severity is Severity.BLOCKED]
    assert {p.item for p in blocked} <= {"services/ssh", ""}
    assert "services/ssh" in {p.item for p in blocked}
    assert all(p.where.path == "transform.yaml" and p.where.line for p in blocked)
    assert not [p for p in problems if p.severity is Severity.ERROR]
    assert "64M" in says(generation, SSH), "it keeps its last good form"
    assert ["128M" in says(generation, unit) for unit in (CRON, WEB, SRV)] == [True] * 3


@pytest.mark.parametrize(
    "text", [f"{HEAD}services: {{ssh: [\n", f"{HEAD}x: &a [*b]\n", f"{HEAD}name: twice\n", HEAD + "\x07"]
)
def test_an_unreadable_transform_blocks_every_item_that_uses_a_name(root: Path, text: str) -> None:
    good, _ = made(root, HEAD)

    generation, problems = made(root, text, "128M", good)

    assert not [p for p in problems if p.severity is Severity.ERROR]
    assert [("128M" in says(generation, unit)) for unit in (SSH, CRON, WEB, SRV)] == [False, False, False, True]
    assert {"services/ssh", "services/cron", "services/web"} <= {p.item for p in problems}


REFUSED = {
    "an unreadable layer": "ordain: v1\nkind: Layer\nname: own\nservices: [\n",
    "an unreadable transform and another document": f"{HEAD}---\nordain: v1\nkind: Layer\nname: x\n---\n[\n",
    "a text without a kind at column one": "{ordain: v1, kind: Transform, name: own, services: [\n",
    "versions, on which every match depends": f"{HEAD}versions: {{debian: [x]}}\n",
    "versions under a wrong head": f"{HEAD}weight: heavy\nversions: {{debian: ubuntu}}\n",
    "versions in an unreadable text": f"{HEAD}versions: [\n",
}


@pytest.mark.parametrize("what", REFUSED)
def test_everything_is_refused_if_documents_could_be_lost(root: Path, what: str) -> None:
    with pytest.raises(Refused):
        made(root, REFUSED[what])


def test_a_wrong_row_for_another_system_is_ignored(root: Path) -> None:
    generation, problems = made(root, f"{HEAD}match: {{os: fedora}}\nservices: {{ssh: {{unit: [a]}}}}\n")
    assert problems == ()
    assert "64M" in says(generation, SSH)


def test_a_wrong_row_that_nothing_uses_blocks_nothing(root: Path) -> None:
    _, problems = made(root, f"{HEAD}services: {{nginx: {{unit: [a]}}}}\n")
    assert [(p.item, p.code, p.where.line) for p in problems] == [("", "BadTransform", 4)]


def test_a_row_may_hold_templates(root: Path) -> None:
    rows = """\
tier: site
match: {os: debian}
services:
  ssh: {unit: {template: "{{ values.unit|default('corp-sshd') }}.service"}, check: [{template: "{{ path('sh') }}"}, -n]}
paths: {page: {template: "/srv/{{ facts.id }}/{{ facts.version }}"}}
"""
    generation, problems = made(root, HEAD + rows)
    assert problems == ()
    assert "64M" in says(generation, "corp-sshd.service.d/00-ordain.conf")
    (member,) = (m for m in generation.members if m.unit == "corp-sshd.service")
    assert member.check in ((), (("/bin/sh", "-n"),), (("/usr/bin/sh", "-n"),))


def test_a_generation_keeps_the_names_of_its_transforms(root: Path) -> None:
    """Another database makes another generation; the old one does not change."""
    store = Store(root)
    first, _ = store.save(made(root, HEAD)[0])
    new, _ = store.save(made(root, f"{HEAD}tier: os\nservices: {{ssh: {{unit: corp-sshd.service}}}}\n", last=first)[0])
    same, _ = made(root, f"# a remark\n{HEAD}", last=first)

    assert len({first.transforms, new.transforms}) == 2
    assert same.transforms == first.transforms
    assert (first.number, new.number) == (1, 2)
    old = store.load(1)
    assert old == first
    assert says(old, SSH)
    assert not says(store.load(2), SSH)


def test_a_transform_without_effect_here_makes_no_new_generation(root: Path) -> None:
    first, _ = made(root, HEAD)
    other, _ = made(root, f"{HEAD}services: {{ntpd-of-ours: {{unit: ours.service}}}}\n")
    assert other.transforms != first.transforms
    assert other.hash == first.hash


def test_explain_names_the_row_in_use_and_the_rows_that_it_overrides(root: Path) -> None:
    own = f"{HEAD}tier: site\nmatch: {{os: debian, systemd: 257}}\nservices: {{ssh: {{unit: corp-sshd.service}}}}\n"
    generation, _ = made(root, own)

    (entry,) = explain("services/ssh/unit", generation).origins

    assert entry.pointer == "transforms/services/ssh/unit"
    assert entry.value == "corp-sshd.service"
    assert str(entry) == "transform.yaml:6 (own; os: is debian, systemd: is 257)"
    assert [(o.value, o.layer, o.match, Path(o.path).name) for o in entry.overrode] == [
        ("ssh.service", "debian", "os: is debian", "debian.yaml"),
        ("sshd.service", "services", "os: is not flatcar or gentoo", "10-services.yaml"),
    ]
    # By the unit, by the neutral name, and in the list of all names.
    assert entry in explain("corp-sshd.service", generation).origins
    assert entry in explain("ssh", generation).origins
    assert entry in tuple(provenance_entries("", generation))
    assert "transforms/milestones/network-online/unit" in {
        entry.pointer for entry in explain("web", generation).origins
    }
    assert "transforms/services/cron/unit" not in {entry.pointer for entry in explain("web", generation).origins}
