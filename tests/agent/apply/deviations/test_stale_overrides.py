"""A process with a removed drop-in of an administrator is told from one that has the unit of the documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.apply.deviations.stale_overrides import ProcessLook, next_record, stale_changes
from ordain.agent.plan.changes.diff import PlacedUnit
from ordain.agent.state.override_record import (
    PATH,
    OverriddenProcess,
    read_override_record,
    write_override_record,
)

EDIT = "/etc/systemd/system/web.service.d/override.conf"
OTHER = {EDIT: "[Service]\nExecStart=\nExecStart=/bin/other\n"}
NONE: dict[str, str] = {}
OURS = PlacedUnit(fragment="normal/web.service", files=(("normal/web.service", "[Service]\nExecStart=/bin/web\n"),))


@pytest.mark.parametrize(
    ("before", "look", "started"),
    [
        pytest.param(NONE, ProcessLook(invocation_id="2", fresh=True, drop_ins=OTHER), OTHER, id="edit-restart"),
        pytest.param(NONE, ProcessLook(invocation_id="1", fresh=False, drop_ins=OTHER), NONE, id="edit"),
        pytest.param(NONE, ProcessLook(invocation_id="2", fresh=False, drop_ins=OTHER), NONE, id="restart-edit"),
        pytest.param(OTHER, ProcessLook(invocation_id="2", fresh=False, drop_ins=NONE), OTHER, id="restart-revert"),
        pytest.param(OTHER, ProcessLook(invocation_id="2", fresh=True, drop_ins=NONE), NONE, id="revert-restart"),
        pytest.param(
            NONE, ProcessLook(invocation_id="2", fresh=True, drop_ins=OTHER, unread=True), NONE, id="restart-unread"
        ),
        pytest.param(
            OTHER, ProcessLook(invocation_id="2", fresh=True, drop_ins=NONE, unread=True), OTHER, id="removed-unread"
        ),
        pytest.param(OTHER, ProcessLook(invocation_id="", fresh=False, drop_ins=NONE), NONE, id="stopped"),
    ],
)
def test_a_process_has_the_drop_ins_that_were_read_before_it_started(
    before: dict[str, str], look: ProcessLook, started: dict[str, str]
) -> None:
    record = next_record(OverriddenProcess(invocation_id="1", read=before), look)

    assert record.started == started
    assert record.invocation_id == look.invocation_id


def test_a_process_keeps_what_it_was_started_with() -> None:
    look = ProcessLook(invocation_id="1", fresh=False, drop_ins=NONE)

    record = next_record(OverriddenProcess(invocation_id="1", started=OTHER, read=OTHER), look)

    assert record == OverriddenProcess(invocation_id="1", started=OTHER, read=NONE)


@pytest.mark.parametrize(
    ("started", "read", "keys"),
    [
        pytest.param(OTHER, NONE, ["ExecStart"], id="command"),
        pytest.param({EDIT: "[Service]\nEnvironment=A=b\n"}, NONE, ["Environment"], id="not-in-the-documents"),
        pytest.param({EDIT: "[Service]\nMemoryMax=1G\n"}, NONE, [], id="takes-effect-at-once"),
        pytest.param({EDIT: "[Service]\nExecStart=\nExecStart=/bin/web\n"}, NONE, [], id="same-value"),
        pytest.param(OTHER, {EDIT: "[Service]\nExecStart=\nExecStart=/bin/third\n"}, [], id="still-overridden"),
        pytest.param(NONE, OTHER, [], id="not-started-with-it"),
    ],
)
def test_only_values_that_the_documents_have_again_are_stale(
    started: dict[str, str], read: dict[str, str], keys: list[str]
) -> None:
    process = OverriddenProcess(invocation_id="1", started=started, read=read)

    changes = list(stale_changes("web.service", OURS, process))

    assert [change.key for change in changes] == keys
    assert all(change.new == OURS.values.get(("Service", change.key), ()) for change in changes)


def test_of_a_unit_of_others_only_the_values_of_the_documents_are_stale() -> None:
    ours = PlacedUnit(files=(("normal/ssh.service.d/00-ordain.conf", "[Service]\nEnvironment=A=b\n"),))
    text = {EDIT: "[Service]\nEnvironment=A=c\nUser=x\n"}

    (change,) = stale_changes("ssh.service", ours, OverriddenProcess(invocation_id="1", started=text))

    assert (change.key, change.old, change.new) == ("Environment", ("A=b", "A=c"), ("A=b",))


def test_the_record_is_read_back_and_only_root_may_read_it(tmp_path: Path) -> None:
    record = {"web.service": OverriddenProcess(invocation_id="1", started=OTHER, read=NONE)}
    write_override_record(tmp_path, record)

    assert read_override_record(tmp_path) == record
    assert (tmp_path / PATH).stat().st_mode & 0o777 == 0o600
    (tmp_path / PATH).write_text('{"web.service": 3}')
    assert read_override_record(tmp_path) == {}
