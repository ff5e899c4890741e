"""Files that could not be placed or removed: the blame, the condition and the plan."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.apply import place_files
from ordain.agent.apply.place_files import (
    UNITS,
    LiveFiles,
    left_over,
    placement_conditions,
    read_reports,
    undoes_placement,
    unplaced_files,
)
from ordain.agent.model import FileAction, Generation, Job, Observed, Verb
from ordain.agent.plan.planner import plan
from ordain.generator.phases import REPORTS
from ordain.transforms.artifacts import AbsentFile, RegularFile


def test_a_user_cannot_roll_back_an_apply_with_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_jobs(*_: object) -> list[Any]:
        report = tmp_path / REPORTS["main"]
        report.parent.mkdir(parents=True, exist_ok=True)
        problems = {"/etc/a": "No space left on device", "/home/alice/.ssh/keys": "Not a directory"}
        report.write_text(json.dumps({"problems": problems, "users": {"/home/alice/.ssh/keys": "alice"}}))
        return []

    monkeypatch.setattr(place_files, "run_jobs", run_jobs)
    verdicts = asyncio.run(LiveFiles(cast(Any, None), tmp_path)._place(UNITS, Generation()))

    assert {verdict.unit: (verdict.ok, verdict.blamed) for verdict in verdicts} == {
        "/etc/a": (False, True),
        "/home/alice/.ssh/keys": (False, False),
    }


def test_a_file_that_could_not_be_removed_is_named_so_and_is_in_the_plan(tmp_path: Path) -> None:
    now = Generation(
        artifacts=(
            RegularFile(path="/etc/a", content="x", item="files/~1etc~1a"),
            AbsentFile(path="/etc/b", item="files/~1etc~1b"),
            RegularFile(path="/usr/lib/ordain/sysusers/u", content="", item="users/bob"),
        )
    )
    main, accounts = (tmp_path / REPORTS[phase] for phase in ("main", "users"))
    main.parent.mkdir(parents=True)
    main.write_text(json.dumps({"problems": dict.fromkeys(("/etc/a", "/etc/b", "/etc/c"), "Read-only file system")}))
    accounts.write_text(json.dumps({"problems": {"users/alice": "is used", "users/bob": "is used", "users": "x"}}))

    conditions = {c.what.partition(":")[0] for c in placement_conditions(now, tmp_path) if c.fault}
    made = plan(now, now, Observed(left_over=left_over(now, read_reports(tmp_path, "problems"))))

    assert conditions == {
        "/etc/a could not be placed",
        "/etc/b could not be removed",
        "/etc/c could not be removed",
        "users could not be placed",
        "users/alice could not be removed",
        "users/bob could not be placed",
    }
    assert [(file.path, file.what) for file in made.files] == [
        ("/etc/c", FileAction.REMOVED),
        ("users/alice", FileAction.REMOVED),
    ]


@pytest.mark.parametrize(
    ("reported", "again"),
    [
        ("/etc/a", ["/etc/a"]),
        ("users/bob", ["/run/ordain/sysusers/bob.account"]),
        ("users", ["/run/ordain/sysusers/bob.account"]),
        ("users/alice", []),
    ],
)
def test_the_next_apply_tries_again_to_place_a_file_that_it_could_not(reported: str, again: list[str]) -> None:
    now = Generation(
        artifacts=(
            RegularFile(path="/etc/a", content="x", item="files/~1etc~1a"),
            RegularFile(path="/run/ordain/sysusers/bob.account", content="{}", item="users/bob"),
        )
    )
    made = plan(now, now, Observed(displaced=dict.fromkeys(unplaced_files(now, {reported}), ())))

    assert [file.path for file in made.files] == again


@pytest.mark.parametrize(
    ("unit", "verb", "needed"),
    [
        ("web.service", Verb.START, True),
        ("web.service", Verb.RESTART, False),
        ("web.service", Verb.RELOAD, False),
        ("systemd-sysctl.service", Verb.RESTART, True),
    ],
)
def test_a_roll_back_of_placed_files_sets_kernel_parameters_again(unit: str, verb: Verb, needed: bool) -> None:
    assert undoes_placement(Job(unit=unit, verb=verb, reason="files changed")) is needed
