"""The blame for files that could not be placed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.apply import place_files
from ordain.agent.apply.place_files import UNITS, LiveFiles
from ordain.generator.files import REPORTS


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
    verdicts = asyncio.run(LiveFiles(cast(Any, None), tmp_path)._place(UNITS))

    assert {verdict.unit: (verdict.ok, verdict.blamed) for verdict in verdicts} == {
        "/etc/a": (False, True),
        "/home/alice/.ssh/keys": (False, False),
    }
