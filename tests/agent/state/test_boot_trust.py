"""The record of `trust` that the agent keeps for the generator."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ordain.agent.state.boot_trust import record_trust
from ordain.generator.choose import TRUST, trust_record

RECORD = TRUST.lstrip("/")
TEXT = b"trust: open\n"


def test_the_record_is_written_once_and_only_root_may_write_it(tmp_path: Path) -> None:
    assert record_trust(tmp_path, "open", TEXT)
    assert not record_trust(tmp_path, "open", TEXT)
    assert (tmp_path / RECORD).read_bytes() == trust_record("open", TEXT)
    assert (tmp_path / RECORD).stat().st_mode & 0o022 == 0


def test_the_record_changes_with_the_file(tmp_path: Path) -> None:
    record_trust(tmp_path, "open", TEXT)
    assert record_trust(tmp_path, "required", b"trust: required\n")
    assert (tmp_path / RECORD).read_bytes() == trust_record("required", b"trust: required\n")


@pytest.mark.parametrize("text", [None, b""])
def test_no_record_is_kept_of_a_missing_file(tmp_path: Path, text: bytes | None) -> None:
    record_trust(tmp_path, "open", TEXT)
    assert not record_trust(tmp_path, "local", text)
    assert not (tmp_path / RECORD).exists()


def test_a_record_that_cannot_be_written_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "etc").write_text("not a directory")
    with caplog.at_level(logging.WARNING):
        assert not record_trust(tmp_path, "open", TEXT)
    assert "the next boot has to read agent.yaml itself" in caplog.text
