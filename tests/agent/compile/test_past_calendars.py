"""A timer whose times have all passed is reported before the apply starts it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.compile.compile_cache import read_machine
from ordain.agent.compile.compiler import compile_generation
from ordain.agent.compile.load_check import PROGRAM
from ordain.agent.compile.past_calendars import MAX_ASKED, never_comes, past_calendars
from ordain.agent.model import Generation

PAST, COMES = "2020-01-01", "Mon 09:00"


def generation(root: Path, schedule: dict[str, Any]) -> Generation:
    (root / "usr/lib/systemd").mkdir(parents=True)
    (root / "usr/lib/systemd/libsystemd-shared-257.so").touch()
    sections = {"services": {"a": {"command": "/bin/true", "type": "oneshot", "schedule": schedule}}}
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", **sections}).encode()
    return compile_generation([("/a.json", text)], read_machine(root), Generation())[0]


@pytest.mark.parametrize(
    ("schedule", "found"),
    [
        ({"calendar": PAST}, PAST),
        ({"calendar": [PAST, "2019-*-1"]}, f"{PAST}, 2019-*-1"),
        ({"calendar": [PAST, COMES]}, ""),
        ({"calendar": [PAST, "2999-01-01"]}, ""),
        ({"calendar": PAST, "after-boot": "5min"}, ""),
        ({"calendar": COMES}, ""),
    ],
)
def test_a_timer_is_reported_if_none_of_its_times_comes(tmp_path: Path, schedule: dict[str, Any], found: str) -> None:
    asked: list[str] = []

    def passed(time: str) -> bool:
        asked.append(time)
        return not time.startswith("2999")

    reported = list(past_calendars(generation(tmp_path, schedule), passed))

    assert reported == [("services/a", found)] * bool(found)
    assert COMES not in asked, "a time without a year comes"


def test_the_number_of_questions_is_bounded(tmp_path: Path) -> None:
    many = {"calendar": [f"2020-01-01 00:00:{second:02}" for second in range(MAX_ASKED + 1)]}

    assert list(past_calendars(generation(tmp_path, many), lambda _: True)) == []


@pytest.mark.skipif(not shutil.which(PROGRAM), reason="it asks systemd-analyze")
@pytest.mark.parametrize(
    ("time", "passed"),
    [("2020-01-01", True), ("2020-01-01 00:00:00", True), ("2999-01-01", False), ("daily", False), ("nonsense", False)],
)
def test_systemd_analyze_says_if_a_time_comes(time: str, passed: bool) -> None:
    assert never_comes(time) is passed
