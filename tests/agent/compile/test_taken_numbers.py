"""A number that an account of the machine has blocks the account at a first boot, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.compile.compile_cache import read_machine
from ordain.agent.compile.compiler import compile_generation
from ordain.agent.model import Generation

TEXT = b"""\
ordain: v1
kind: Layer
name: a
users: {web: {uid: 33}}
services: {x: {command: x, user: ghost}}
"""


@pytest.mark.parametrize(("live", "codes"), [(True, ["NumberTaken", "NoSuchAccount"]), (False, ["NumberTaken"])])
def test_a_taken_number_blocks_before_and_after_the_first_boot(tmp_path: Path, live: bool, codes: list[str]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("www-data:x:33:33::/:/bin/sh\n")

    made, problems = compile_generation([("/a.yaml", TEXT)], replace(read_machine(tmp_path), live=live), Generation())

    assert [problem.code for problem in problems if problem.code in ("NumberTaken", "NoSuchAccount")] == codes
    assert [artifact for artifact in made.artifacts if "web" in artifact.path] == []
