"""The journal is read by journalctl, within a time and a size, and without a warning of asyncio."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ordain.agent.system.systemd import journal_reader
from ordain.agent.system.systemd.journal_reader import MAX_BYTES, read_journal


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Return the path of a script of sh."""
    path = tmp_path / "journalctl"
    path.write_text(f"#!/bin/sh\n{request.param}\n")
    path.chmod(0o755)
    return str(path)


def script(*texts: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("program", texts, indirect=True)


@script("echo a line")
async def test_a_program_that_ends_by_itself_is_collected_without_a_warning(
    program: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert {await read_journal(program=program) for _ in range(50)} == {"a line\n"}

    assert caplog.records == []


@script("exec yes")
async def test_a_program_that_prints_too_much_is_ended_and_holds_up_nobody(program: str) -> None:
    async with asyncio.timeout(60):
        assert len(await read_journal(program=program)) == MAX_BYTES


@script("echo half; exec sleep 60", "echo half; exec sleep 60 >/dev/null")
async def test_a_program_that_does_not_end_is_ended(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_reader, "TIMEOUT_SEC", 1.0)

    async with asyncio.timeout(30):
        assert await read_journal(program=program) in ("", "half\n")
