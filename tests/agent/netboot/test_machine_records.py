"""The boot server keeps a bounded record of each machine, and never loses a known one to an invented one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.errors import Failure
from ordain.agent.netboot import machine_records
from ordain.agent.netboot.machine_records import MachineRecords, NetbootRecord, read_records, record_path


def record(number: int, node: str = "", script: str = "") -> NetbootRecord:
    return NetbootRecord(machine=f"52:54:00:00:00:{number:02x}", node=node, last=float(number), script=script)


def names(folder: Path) -> list[str]:
    return [record.machine[-2:] for record in read_records(folder)]


def saved(records: MachineRecords) -> None:
    records.write(records.take_changes())


def test_the_discovered_machine_that_asked_least_recently_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_records, "MAX_DISCOVERED", 2)
    records = MachineRecords(tmp_path)
    records.put(record(1, node="web1"))
    for number in (2, 3, 4):
        records.put(record(number))
        saved(records)

    assert names(tmp_path) == ["01", "03", "04"]
    assert records.get("52:54:00:00:00:02") == NetbootRecord(machine="52:54:00:00:00:02")


def test_one_node_has_a_bounded_number_of_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_records, "MAX_PER_NODE", 2)
    records = MachineRecords(tmp_path)
    records.put(record(1, node="web1"))
    for number in (2, 3, 4):
        records.put(record(number, node="any"))
    saved(records)

    assert names(tmp_path) == ["01", "03", "04"]


def test_an_adopted_machine_is_no_longer_a_discovered_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_records, "MAX_DISCOVERED", 1)
    records = MachineRecords(tmp_path)
    records.put(record(1))
    records.put(record(1, node="web1", script="x"))
    records.put(record(2))
    records.put(record(3))

    assert records.get("52:54:00:00:00:01").script == "x"


def test_records_are_read_by_the_next_server(tmp_path: Path) -> None:
    records = MachineRecords(tmp_path)
    records.load()
    records.put(record(1, node="web1", script="boot"))
    saved(records)
    assert records.take_changes() == {}

    again = MachineRecords(tmp_path)
    again.load()

    assert again.get("52:54:00:00:00:01").script == "boot"
    assert again.take_changes() == {}


def test_a_file_that_is_not_a_record_is_ignored_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record_path(tmp_path, "52:54:00:00:00:01").write_text("{")
    record_path(tmp_path, "52:54:00:00:00:02").write_text('{"machine": "52:54:00:00:00:03"}')
    (tmp_path / "readme").write_text("hello")

    assert read_records(tmp_path) == ()
    assert "52-54-00-00-00-01.json" in caplog.text


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Failure, match="file"):
        MachineRecords(tmp_path / "file").load()
    with pytest.raises(Failure, match="name the directory of `ordainctl serve --state`"):
        read_records(tmp_path / "missing")
