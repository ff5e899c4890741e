"""The cause of a failed start."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.apply.jobs.failure_details import MAX_LINE, FailureDetails, best_line, last_line, status_subject
from ordain.agent.apply.jobs.jobs import JobResult
from ordain.agent.apply.jobs.verdicts import job_verdict
from ordain.agent.model import Job, UnitState, Verb
from ordain.agent.plan.changes.diff import PlacedUnit
from ordain.agent.plan.exit_reason import EXITED

FAILED = UnitState(
    name="web.service",
    active_state="failed",
    sub_state="failed",
    result="exit-code",
    exec_main_code=EXITED,
    exec_main_status=203,
    invocation_id="1f",
)
UNIT = PlacedUnit(
    fragment="normal/web.service",
    files=(("normal/web.service", "[Service]\nExecStart=-/usr/bin/nodejs a.js\nUser=webby\nWorkingDirectory=/srv\n"),),
)
RESULT = JobResult(job=Job(unit="web.service", verb=Verb.START, reason=""), result="failed")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (1, "failed: exit status 1 (see `journalctl -u web.service`)"),
        (200, "(CHDIR: the working directory cannot be entered: /srv)"),
        (203, "exit status 203 (EXEC: the program cannot be run: /usr/bin/nodejs)"),
        (217, "exit status 217 (USER: the user is unknown or cannot be set: webby)"),
    ],
)
def test_a_failed_start_names_its_exit_status_and_what_it_is_about(status: int, words: str) -> None:
    state = replace(FAILED, exec_main_status=status)

    details = FailureDetails(subject=status_subject(state, UNIT))

    assert words in job_verdict(RESULT, state, details).what


@pytest.mark.parametrize(
    ("status", "text", "subject"),
    [
        (203, "ExecStart=/home/a/x\nProtectHome=yes", "/home/a/x, which ProtectHome=yes hides from it"),
        (203, "ExecStart=/srv/x\nProtectHome=yes", "/srv/x"),
        (200, "ExecStart=/x\nWorkingDirectory=/tmp/w\nPrivateTmp=yes", "/tmp/w, which PrivateTmp=yes hides from it"),
    ],
)
def test_a_path_that_the_sandbox_hides_names_the_setting(status: int, text: str, subject: str) -> None:
    unit = PlacedUnit(fragment="normal/web.service", files=(("normal/web.service", f"[Service]\n{text}\n"),))

    assert status_subject(replace(FAILED, exec_main_status=status), unit) == subject


def test_a_failed_start_has_the_last_line_of_the_journal() -> None:
    details = FailureDetails(line="bind: Address already in use")

    assert job_verdict(RESULT, replace(FAILED, exec_main_status=1), details).what == (
        "failed: exit status 1: bind: Address already in use (see `journalctl -u web.service`)"
    )


def test_a_line_with_a_known_cause_is_preferred_and_lines_are_bounded() -> None:
    assert best_line("a\nbind(): Address already in use\nbye\n") == "bind(): Address already in use"
    assert best_line("a\nbye\x1b[2J\n\n") == "bye\N{REPLACEMENT CHARACTER}[2J"
    assert len(best_line("x" * 5000)) == MAX_LINE
    assert best_line("") == ""


def journal(folder: Path, *entries: dict[str, object]) -> str:
    """Make a journalctl that prints these entries for the invocation of `FAILED`, and return its path."""
    program, lines = folder / "journalctl", folder / "lines"
    lines.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    program.write_text(f'#!/bin/sh\necho "$@" | grep -q _SYSTEMD_INVOCATION_ID=1f && cat {lines}\n')
    program.chmod(0o755)
    return str(program)


def test_the_journal_of_the_last_run_is_read_if_there_is_a_journalctl(tmp_path: Path) -> None:
    journalctl = journal(
        tmp_path,
        {"MESSAGE": "started", "_PID": "70"},
        {"MESSAGE": list(b"died \xff"), "_PID": "70"},
        {"MESSAGE": None, "_PID": "70"},
    )

    assert asyncio.run(last_line(FAILED, journalctl)) == "died \N{REPLACEMENT CHARACTER}"
    assert asyncio.run(last_line(FAILED, str(tmp_path / "missing"))) == ""
    assert asyncio.run(last_line(replace(FAILED, invocation_id=""), journalctl)) == ""


REPEATED: dict[str, object] = {
    "MESSAGE": "Failed to start web.service - Web.",
    "MESSAGE_ID": "be02cf6855d2428ba40df7e9d022f03d",
    "_PID": "1",
}


def test_the_line_of_pid_1_that_repeats_the_failure_is_not_its_cause(tmp_path: Path) -> None:
    own: dict[str, object] = {"MESSAGE": "Failed to start the listener", "_PID": "70"}

    assert asyncio.run(last_line(FAILED, journal(tmp_path, own, REPEATED))) == "Failed to start the listener"
    assert asyncio.run(last_line(FAILED, journal(tmp_path, REPEATED))) == ""


def test_a_line_of_the_unit_comes_before_one_of_pid_1(tmp_path: Path) -> None:
    of_pid_1: dict[str, object] = {"MESSAGE": "Failed to load environment files", "_PID": "1"}
    own: dict[str, object] = {"MESSAGE": "bad option", "_PID": "70"}

    assert asyncio.run(last_line(FAILED, journal(tmp_path, own, of_pid_1, REPEATED))) == "bad option"
    assert asyncio.run(last_line(FAILED, journal(tmp_path, of_pid_1, REPEATED))) == "Failed to load environment files"


def test_a_journalctl_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journalctl = tmp_path / "journalctl"
    journalctl.write_text("#!/bin/sh\nexec sleep 60\n")
    journalctl.chmod(0o755)
    monkeypatch.setattr("ordain.agent.system.systemd.journal_reader.TIMEOUT_SEC", 0.1)

    assert asyncio.run(last_line(FAILED, str(journalctl))) == ""


def test_an_error_that_a_program_ignores_is_not_the_cause_of_its_end() -> None:
    """The lines of systemd-sysctl of Debian 12."""
    ignored = "Couldn't write '1' to 'net/ipv4/ip_forwrd', ignoring: No such file or directory"
    cause = "Couldn't write '9 x' to 'net/ipv4/ip_local_port_range': Invalid argument"

    assert best_line(f"{cause}\n{ignored}\n") == best_line(f"{ignored}\n{cause}\n") == cause
    assert best_line(f"{ignored}\nUnknown key name 'X' in section 'Service', ignoring.\n") == ""
