"""The history names who asked for a change, and who changed which document when."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from ordain.agent.apply.change_origin import changed_documents, names, user_of_process
from ordain.agent.model import Change, FileAction, FileChange, Plan
from ordain.transforms.render.cause_comments import Cause

OWN = pwd.getpwuid(os.getuid()).pw_name


def test_the_user_is_the_one_who_logged_in(tmp_path: Path) -> None:
    process = tmp_path / "7"
    process.mkdir()
    (process / "loginuid").write_text("0")
    assert user_of_process(7, tmp_path) == "root"
    (process / "loginuid").write_text(str(2**32 - 1))  # a service: nobody logged in
    assert user_of_process(7, tmp_path) == OWN
    (process / "loginuid").write_text("54321")
    assert user_of_process(7, tmp_path) == "54321"


def test_a_process_that_has_ended_and_none_have_no_user(tmp_path: Path) -> None:
    assert user_of_process(8, tmp_path) == ""
    assert user_of_process(0) == ""


def test_changed_documents_have_the_owner_and_time_of_a_local_file(tmp_path: Path) -> None:
    def cause(path: str) -> tuple[Cause, ...]:
        return (Cause(path=path, line=1, layer="a", pointer="services/a"),)

    file = tmp_path / "etc/ordain/documents/a.yaml"
    file.parent.mkdir(parents=True)
    file.touch()
    os.utime(file, (1_000_000_000, 1_000_000_000))
    plan = Plan(
        changes=(Change(unit="a.service", causes=cause("/etc/ordain/documents/a.yaml")),),
        settings=(Change(unit="services/b", causes=cause("https://store/b")),),
        files=(FileChange(path="/etc/x", what=FileAction.NEW, causes=cause("/etc/ordain/documents/gone.yaml")),),
    )

    found = changed_documents(plan, tmp_path)

    assert [(d.path, d.owner, d.changed) for d in found] == [
        ("/etc/ordain/documents/a.yaml", OWN, "2001-09-09T01:46:40+00:00"),
        ("/etc/ordain/documents/gone.yaml", "", ""),
        ("https://store/b", "", ""),
    ]
    assert names(found) == f"a.yaml ({OWN}), gone.yaml, b"
