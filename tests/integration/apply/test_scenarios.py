"""Scenarios on booted machines: old documents, changes on the machine, new documents → the jobs, and the states after.

The rows are in scenarios/*.yaml:

    old, new  the documents: a name is a service, with a unit's suffix a raw unit (with .d a drop-in), with a slash a
              mount. A text is the command of a service. The items of a list in ``old`` are applied one by one.
    do        shell commands between the two, ``undo`` after the row; /run/row is an empty directory for each row
    jobs      the whole plan, stops first; none when absent
    warned    the codes of the warnings about the documents; none when absent
    notes     all units that the plan leaves alone, each with a part of the reason
    bad       units whose verdict is not ok; the apply is rolled back, unless ``exit`` says otherwise
    exit      the exit status: 0, with ``bad`` 4
    end       states soon after: an ActiveState, ``not-found`` or ``masked``
    check     shell commands that succeed soon after
    same      units of the plan that keep their process
    also      units outside the plan that PID 1 restarts or stops too
    each      true: it runs on each Debian, although its file is one of `ON_ONE_DEBIAN`

For every row, the test also asserts that a second apply has neither a job nor a reload; units outside the plan keep
their process; units that the plan restarts have a new process; no unit outside the row fails or recovers; and removing
the row leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rig import debian_roots
from rig.machine import Machine
from rig.machine_agent import Sections, apply, pause

pytestmark = pytest.mark.integration

Row = Mapping[str, Any]
Runs = Mapping[str, Mapping[str, str]]

FILES: Mapping[str, list[Row]] = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parent / "scenarios").glob("*.yaml"))
}
ROWS: list[Row] = [row for rows in FILES.values() for row in rows]
ON_ONE_DEBIAN = ("administrators", "failures", "services")
"""Files with jobs for single services, which each systemd starts, stops, restarts and reloads alike. The rows about
dependencies, sockets, timers, paths, mounts and instances show what PID 1 does by itself: they run on each Debian."""
KEYS = {
    "each",
    "id",
    "old",
    "do",
    "new",
    "jobs",
    "warned",
    "notes",
    "bad",
    "exit",
    "end",
    "check",
    "same",
    "also",
    "undo",
}
TYPES = (".service", ".socket", ".timer", ".path", ".mount", ".slice", ".target")
RUN = ("*.service", "*.socket", "*.timer", "*.path", "*.mount")
NOTHING: Sections = {"services": {}}
STATES = ("active", "reloading", "activating", "deactivating", "failed", "maintenance")
PROPERTIES = ("Id", "ActiveState", "InvocationID", "MainPID")
PROGRAMS = {
    "serve": """#!/usr/bin/python3
import socket
listening = socket.socket(fileno=3)
while True:
    client, _ = listening.accept()
    client.sendall(b"hello")
    client.close()
""",
    "ask": """#!/usr/bin/python3
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as server:
    assert server.recv(9) == b"hello"
""",
    "frail": """#!/bin/sh
[ -e /run/row/broken ] && exit 1
exec sleep 1d
""",
    "check": """#!/bin/sh
! [ -e /run/row/broken ]
""",
    "hold": """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/$1
setsid sleep 97531 </dev/null >/dev/null 2>&1 &
""",
}


# All tests of one machine run in one worker, which boots it once.
@pytest.fixture(
    scope="module",
    params=[pytest.param(suite, marks=pytest.mark.xdist_group(f"scenarios {suite}")) for suite in debian_roots.SUITES],
)
def booted(request: pytest.FixtureRequest, deb: Path) -> Iterator[Machine]:
    with Machine(debian_roots.with_package(request.param, deb)) as machine:
        for program, text in PROGRAMS.items():
            machine.write(f"/usr/bin/{program}", text, mode=0o755)
        machine.boot()
        pause(machine)
        apply(machine, NOTHING)
        yield machine


def sections(row_documents: Mapping[str, Any]) -> Sections:
    """Return ``old`` or ``new`` of a row as sections of a layer."""
    layer: dict[str, dict[str, Any]] = {"services": {}}
    for name, body in row_documents.items():
        if name.startswith("/"):
            layer.setdefault("mounts", {})[name] = body
        elif name.endswith((*TYPES, ".d")):
            layer.setdefault("units", {})[name] = body
        else:
            service = {"command": body} if isinstance(body, str) else dict(body)
            if service.get("command") == "serve":
                service["command"] = "/usr/bin/serve"
            layer["services"][name] = service
    return layer


def runs(machine: Machine) -> Runs:
    """Return the current run of each unit that is not inactive, of a type that can be started."""
    shown = ("--all", f"--state={','.join(STATES)}", f"--property={','.join(PROPERTIES)}")
    text = machine.run("systemctl", "show", *shown, *RUN).stdout
    blocks = (dict(line.split("=", 1) for line in block.splitlines()) for block in text.strip().split("\n\n"))
    return {block["Id"]: block for block in blocks}


def shell(machine: Machine, text: str, *, check: bool = True) -> bool:
    return machine.run("sh", "-c", text, check=check).returncode == 0


def state(machine: Machine, unit: str) -> str:
    properties = machine.show(unit, "LoadState", "ActiveState")
    return properties["ActiveState"] if properties["LoadState"] == "loaded" else properties["LoadState"]


def planned(outcome: Mapping[str, Any]) -> list[str]:
    plan = outcome["plan"]
    return [f"{job['verb']} {job['unit']}" for job in (*plan["stops"], *plan["jobs"])]


def test_every_row_has_its_own_name() -> None:
    ids = [row["id"] for row in ROWS]

    assert len(ids) >= 60
    assert len(set(ids)) == len(ids)
    assert [row["id"] for row in ROWS if row.keys() - KEYS or not {"old", "new"} <= row.keys()] == []


CASES = [
    pytest.param(
        row,
        id=row["id"],
        marks=[pytest.mark.one_debian] if name in ON_ONE_DEBIAN and not row.get("each") else [],
    )
    for name, rows in FILES.items()
    for row in rows
]


@pytest.mark.parametrize("row", CASES)
def test_scenario(booted: Machine, row: Row) -> None:
    shell(booted, "rm -rf /run/row && mkdir /run/row")
    initially = failed(booted)
    try:
        olds = row["old"] if isinstance(row["old"], list) else [row["old"]]
        for old in olds:
            assert apply(booted, sections(old))["exit_status"] in (0, row.get("exit", 0))
        last = olds[-1]
        for command in row.get("do", ()):
            shell(booted, command)
        before, bad_before = runs(booted), failed(booted)

        outcome = apply(booted, sections(row["new"]))
        after, bad_after = runs(booted), failed(booted)

        assert planned(outcome) == row.get("jobs", [])
        assert [problem["code"] for problem in outcome["plan"]["problems"]] == row.get("warned", [])
        notes = {note["unit"]: note["what"] for note in outcome["plan"]["notes"]}
        assert notes.keys() == row.get("notes", {}).keys()
        assert [what for unit, what in notes.items() if row["notes"][unit] not in what] == []
        assert [v for v in outcome["verdicts"] if v["ok"] == (v["unit"] in row.get("bad", ()))] == []
        assert outcome["exit_status"] == row.get("exit", 4 if "bad" in row else 0)
        assert [v for v in outcome["back_verdicts"] if not v["ok"]] == []
        check_runs(row, outcome["plan"], before, after)
        named = {job["unit"] for job in (*outcome["plan"]["stops"], *outcome["plan"]["jobs"])}
        assert (bad_before ^ bad_after) - named - set(row.get("also", ())) == set()
        for unit, expected in row.get("end", {}).items():
            booted.until(f"{unit} is {expected}", lambda u=unit, e=expected: state(booted, u) == e, timeout=60)  # type: ignore[misc]
        for command in row.get("check", ()):
            booted.until(command, lambda c=command: shell(booted, c, check=False), timeout=60)  # type: ignore[misc]

        again = apply(booted, sections(row["new"] if not outcome["rejected"] else last))
        assert (planned(again), again["plan"]["reload"]) == ([], False)
    finally:
        for command in row.get("undo", ()):
            shell(booted, command)
        left = apply(booted, NOTHING)
    assert [v for v in left["verdicts"] if not v["ok"]] == []
    assert failed(booted) == initially


def failed(machine: Machine) -> set[str]:
    text = machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout
    return {line.split()[0] for line in text.splitlines()}


def check_runs(row: Row, plan: Mapping[str, Any], before: Runs, after: Runs) -> None:
    """Assert that exactly the units that the plan restarts, and those the row lists, have a new run."""
    verbs = {job["unit"]: job["verb"] for job in (*plan["stops"], *plan["jobs"])}
    stays = [unit for unit, run in before.items() if run["ActiveState"] == "active"]
    stays = [unit for unit in stays if unit not in (verbs.keys() - set(row.get("same", ()))) | set(row.get("also", ()))]
    assert [unit for unit in stays if not same(before, after, unit)] == []
    spared = {*row.get("bad", ()), *row.get("same", ())}
    restarted = [unit for unit, verb in verbs.items() if verb == "restart" and unit not in spared]
    assert [unit for unit in restarted if same(before, after, unit)] == []


def same(before: Runs, after: Runs, unit: str) -> bool:
    keys = ("ActiveState", "InvocationID", "MainPID")
    return [before.get(unit, {}).get(key) for key in keys] == [after.get(unit, {}).get(key) for key in keys]
