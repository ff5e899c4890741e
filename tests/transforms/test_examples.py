"""The examples are documents without a problem, and have the effects that their comments describe."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.settings import Settings, read_settings
from ordain.agent.source_settings import SourceKind
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.reader import read
from ordain.transforms.model import Document
from ordain.transforms.netboot.boot_target import netboot_documents, resolve_netboot
from ordain.transforms.netboot.machine_query import BEFORE_ANY_SYSTEM
from ordain.transforms.resolve.resolve import resolve

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not beside the tests")


def examples() -> tuple[Document, ...]:
    documents: list[Document] = []
    for path in sorted(EXAMPLES.glob("*.yaml")):
        found, problems = read(path.name, path.read_bytes())
        assert problems == ()
        documents += found
    return tuple(documents)


def test_the_example_settings_are_the_defaults_and_the_alternatives_are_valid(tmp_path: Path) -> None:
    (tmp_path / "etc/ordain").mkdir(parents=True)
    text = (EXAMPLES / "machine/agent.yaml").read_text()
    (tmp_path / "etc/ordain/agent.yaml").write_text(text)
    assert read_settings(tmp_path) == (Settings(labels={"role": ("web",), "rack": ("r12",)}), ())

    kinds = set()
    for block in re.findall(r"(?:^# (?:source:| +\w+:).*\n)+", text, re.MULTILINE):
        lines = (line[2:] for line in block.splitlines())
        (tmp_path / "etc/ordain/agent.yaml").write_text("\n".join(lines))
        settings, problems = read_settings(tmp_path)
        assert problems == ()
        kinds.add(settings.source.type)
    assert kinds == {SourceKind.HTTP, SourceKind.ETCD, SourceKind.COUCHDB}


@pytest.mark.parametrize("os", list(known_systems()))
@pytest.mark.parametrize("hostname", ["web-1", "other"])
def test_the_examples_resolve_without_a_problem(os: str, hostname: str) -> None:
    resolved, problems = resolve(examples(), facts_for(os, hostname=hostname), shared_versions(shipped()))
    assert problems == ()
    assert ("web" in resolved.layers) == (hostname == "web-1")


def test_the_node_overrides_all_layers() -> None:
    resolved, _ = resolve(examples(), facts_for("fedora-42", hostname="web-1"), shared_versions(shipped()))
    assert resolved.layers == ("base", "jobs", "on-demand", "web", "workers", "workers-fedora", "web-1")
    hello = resolved.tree.branch("services").branch("hello")
    memory = hello.branch("limits").leaf("memory")
    assert memory
    assert (memory.value, memory.layer, [old.layer for old in memory.overrode]) == ("256M", "web-1", ["web"])
    assert set(resolved.tree.branch("services").branch("worker").branch("instances")) == {"small", "large", "spare"}


def test_the_files_about_a_cluster_are_those_of_its_golden_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(EXAMPLES / "cluster")]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "image", "roots"),
    [(1, "debian-13:4", []), (2, "debian-13:5", []), (3, "debian-13:4", ["root", "root-b"]), (9, "", [])],
)
def test_the_machines_of_the_example_about_boots_start_what_its_comments_say(
    number: int, image: str, roots: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = EXAMPLES / "netboot/machines.yaml"
    assert main(["validate", str(path)]) == 0, capsys.readouterr()
    documents = netboot_documents(read(path.name, path.read_bytes())[0])

    target, problems = resolve_netboot(documents, replace(BEFORE_ANY_SYSTEM, mac=(f"52:54:00:00:00:{number:02}",)))

    assert problems == ()
    assert target is not None
    assert (target.image.text if target.image else "") == image
    assert [partition.name for partition in (target.disk.roots if target.disk else ())] == roots
    if not image:
        assert target.root is not None
        assert target.root.value == "next-device"
