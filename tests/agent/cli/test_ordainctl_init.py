"""`ordainctl init` writes valid files that change nothing, and overwrites none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ordain.agent.cli.machine.init import DOCUMENT, agent_yaml
from ordain.agent.cli.main import main
from ordain.agent.settings import Settings, read_settings
from ordain.transforms.document.reader import read


def test_init_writes_files_that_are_valid_and_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init"], root=tmp_path) == 0
    assert "wrote /etc/ordain/documents/first.yaml" in capsys.readouterr().out

    (document,), problems = read("first.yaml", (tmp_path / "etc/ordain/documents/first.yaml").read_bytes())
    assert not problems
    assert not document.sections.children
    assert read_settings(tmp_path) == (Settings(), ())


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "etc/ordain").mkdir(parents=True)
    (tmp_path / "etc/ordain/agent.yaml").write_text("labels: {role: web}\n")

    assert main(["init"], root=tmp_path) == 0
    assert "/etc/ordain/agent.yaml exists already" in capsys.readouterr().out
    assert (tmp_path / "etc/ordain/agent.yaml").read_text() == "labels: {role: web}\n"


def test_the_examples_in_the_comments_are_valid() -> None:
    lines = [re.sub(r"^# (?=[a-z ])", "", line) for line in DOCUMENT.splitlines()[2:]]
    _, problems = read("first.yaml", "\n".join(lines).encode())

    assert not problems
    assert all(line.startswith("#") for line in agent_yaml().splitlines())


def test_print_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--print"], root=tmp_path) == 0
    assert DOCUMENT in capsys.readouterr().out
    assert not (tmp_path / "etc").exists()
