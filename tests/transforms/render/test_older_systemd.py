"""On an older systemd, every key has a line or a problem."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ordain.transforms.artifacts import content_of
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.keys.service_keys import SERVICE
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem
from ordain.transforms.section_pages import HEAD, page_texts

CASES = Path(__file__).parents[2] / "cases"
DOCUMENTS = ("service-every-key", "sockets-timers-instances", "machine-sections", "network-networkd")
VERSIONS = sorted({int(row["systemd"]) for row in known_systems().values()})
CAUSE = re.compile(r"^\s*# (?:documents|example)\.yaml:[0-9]+ \S+ (\S+)$", re.MULTILINE)


def rendered(name: str, data: bytes, systemd: int) -> tuple[set[str], tuple[Problem, ...]]:
    """Return the pointers that have a line on ``systemd``, and the problems."""
    documents, _ = read(name, data)
    compiled = compile(documents, facts_for("debian-12", systemd=systemd), shipped=shipped())
    pointers = {pointer for a in compiled.artifacts for pointer in CAUSE.findall(content_of(a))}
    return pointers, compiled.problems


REST = """\
services:
  once:
    {command: /bin/once, type: oneshot, remain: true, dynamic-user: true, on-remove: keep, on-change: none,
     uses: [/etc/once/], check: /bin/check, files: {once.conf: {content: x}}, credentials: {key: {file: /etc/key}},
     drift: enforce, on-source-loss: keep, health: {command: /bin/seen, within: 5s, settle: 1s}, phase: early}
  named: {command: /bin/named, type: dbus, bus-name: org.example.Named, part-of: [once], conflicts: [other.service]}
  time-sync: {provider: chrony}
  timed: {unit: apt-daily.timer, schedule: {calendar: daily, persistent: true, splay: 1h}}
"""
SETS = {
    "the rest": ("example.yaml", f"{HEAD}{REST}".encode()),
    **{name: ("documents.yaml", (CASES / name / "documents.yaml").read_bytes()) for name in DOCUMENTS},
    **{f"page of {name}": ("example.yaml", f"{HEAD}{row['example']}".encode()) for name, row in page_texts().items()},
}


@pytest.mark.parametrize("systemd", VERSIONS[:-1])
@pytest.mark.parametrize("name", SETS)
@pytest.mark.thorough
def test_a_key_with_a_line_on_the_newest_systemd_has_a_line_or_a_problem(name: str, systemd: int) -> None:
    newest, _ = rendered(*SETS[name], VERSIONS[-1])
    older, problems = rendered(*SETS[name], systemd)
    blocked = {problem.item for problem in problems if problem.severity != "warning"}
    with_problem = {problem.where.pointer for problem in problems}

    lost = {
        pointer
        for pointer in newest - older - with_problem
        if not any(pointer == item or pointer.startswith(f"{item}/") for item in blocked)
    }
    assert lost == set()


def test_the_oldest_tested_systemd_is_the_oldest_supported_one() -> None:
    assert VERSIONS[0] == 239


def test_the_documents_of_this_test_have_every_key_of_a_service() -> None:
    text = "".join(data.decode() for _, data in SETS.values())

    assert {key for key in SERVICE.keys if not re.search(rf"[{{,\s]{key}:", text)} == set()
