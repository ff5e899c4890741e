"""Reports of machines: written, sent to the store, and read there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.database.database import ANY, Database, Listing
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.etcd import Etcd
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.fleet import report_publisher
from ordain.agent.delivery.fleet.report import PATH, MachineReport, ReportedUnit, decode_report, encode_report
from ordain.agent.delivery.fleet.report_publisher import LOST_SEC, ReportPublisher, status_key
from ordain.agent.delivery.fleet.reports import MACHINES, having_labels, is_lost, read_reports
from ordain.agent.delivery.protocol import ReleaseReference, SourceError, SourceFault
from ordain.agent.errors import Failure
from ordain.agent.status import AgentState as Phase
from ordain.transforms.model import Facts

OpenStore = Callable[[], AbstractAsyncContextManager[Database]]
MACHINE = "0" * 32


def write_report(root: Path, **more: object) -> None:
    report = MachineReport(machine=MACHINE, hostname="web3", phase=Phase.CONVERGED, **more)  # type: ignore[arg-type]
    path = root / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_bytes(encode_report(report))
    path.with_suffix(".new").rename(path)


async def wait_for_report(database: Database, wanted: Callable[[MachineReport], bool]) -> MachineReport:
    """Wait until the store has a report that is ``wanted``, and return it."""
    async with asyncio.timeout(30):
        while True:
            entry = await database.get(status_key(MACHINE))
            if entry and wanted(report := decode_report(entry.data)):
                return report
            await asyncio.sleep(0.01)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("connect_store", ["directory", "etcd"], indirect=True)
async def test_a_report_is_sent_at_once_and_again_when_it_changes(
    connect_store: Callable[[], Database], open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_publisher, "PACE_SEC", 0.0)
    write_report(tmp_path, generation=1)
    async with open_store() as database:
        task = asyncio.create_task(ReportPublisher(root=tmp_path, open=connect_store).run())
        assert (await wait_for_report(database, lambda r: r.generation == 1)).seen > 1_700_000_000
        write_report(tmp_path, generation=2)
        assert (await wait_for_report(database, lambda r: r.generation == 2)).hostname == "web3"
        await stop(task)


class RefusingStore(DirectoryDatabase):
    """A store that refuses writes, one for each of ``errors``."""

    def __init__(self, root: Path, errors: list[str]) -> None:
        super().__init__(root)
        self.errors = errors

    async def put(self, key: str, data: bytes, *, expect: str | None, **more: Any) -> str:
        if self.errors:
            raise SourceError(self.errors.pop(), code=SourceFault.FORBIDDEN)
        return await super().put(key, data, expect=expect, **more)


async def test_refused_reports_are_counted_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "store").mkdir()
    write_report(tmp_path)
    database = RefusingStore(tmp_path / "store", ["permission denied", "database space exceeded"])
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    task = asyncio.create_task(ReportPublisher(root=tmp_path, open=lambda: database, sleep=sleep).run())
    report = await wait_for_report(DirectoryDatabase(tmp_path / "store"), lambda r: True)
    await stop(task)

    assert report.dropped == 2
    assert len([pause for pause in pauses if pause > 0]) == 2
    assert [r.message for r in caplog.records if "cannot report" in r.message] == [
        "cannot report the status to the store: database space exceeded [Forbidden]"
    ]


async def test_a_report_that_is_too_large_for_the_store_leaves_out_the_units_that_work(
    etcd_endpoints: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    units = {f"unit-with-a-long-name-{number:0200}.service": ReportedUnit(state="active") for number in range(7_000)}
    broken = "broken.service"
    write_report(tmp_path, units={**units, broken: ReportedUnit(state="failed")}, drift=(broken,))

    def connect() -> Etcd:
        return Etcd(HttpTransport(ServerAccess(endpoints=etcd_endpoints)), f"/{tmp_path.name}/")

    publisher = ReportPublisher(root=tmp_path, open=connect)
    for _ in range(2):
        assert await publisher._attempt(Backoff()) is None
    database = connect()
    (report,) = (await read_reports(database)).machines
    await database.close()
    assert list(report.units) == [broken]
    assert report.drift == (broken,)
    assert [(condition.code, condition.what) for condition in report.conditions] == [
        ("ReportShortened", "the store takes no report with 7,001 units; those that work are left out")
    ]
    assert caplog.text.count("the report of this machine is shortened") == 1


async def test_two_machines_with_one_machine_id_are_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_publisher, "PACE_SEC", 0.0)
    (tmp_path / "store").mkdir()
    database = DirectoryDatabase(tmp_path / "store")
    write_report(tmp_path, generation=1)
    task = asyncio.create_task(ReportPublisher(root=tmp_path, open=lambda: DirectoryDatabase(tmp_path / "store")).run())
    await wait_for_report(database, lambda r: r.generation == 1)
    await database.put(status_key(MACHINE), b'{"machine": "%s"}' % MACHINE.encode(), expect=ANY)
    write_report(tmp_path, generation=2)
    await wait_for_report(database, lambda r: r.generation == 2)
    await stop(task)

    assert "give every machine its own machine-id" in caplog.text


def test_a_report_can_be_read_back() -> None:
    full = MachineReport(
        machine="x",
        facts=Facts(id="debian", systemd=257, hostname="m1", machine_id="1" * 32),
        labels={"role": ("web",)},
        release=ReleaseReference(channel="a", number=1),
    )

    assert decode_report(encode_report(full)) == full


def test_a_report_of_a_later_version_can_be_read() -> None:
    assert decode_report(json.dumps({"machine": "x", "later": 1}).encode()).machine == "x"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b'"x"', b"null", b'{"machine": "x", "phase": "?"}', b'{"a":' * 99999, b"{}", b'{"machine": 5}',
        b'{"machine": "x", "conditions": [{"code": 5}]}', b'{"machine": "x", "labels": {"role": "web"}}',
        b'{"machine": "x", "drift": "abc"}', b'{"machine": "x", "seen": 1e400}', b'{"machine": "x", "seen": -1}',
        b'{"machine": "x", "seen": 1' + b"0" * 30 + b"}", b'{"machine": "x", "seen": NaN}',
        b'{"machine": "x", "generation": "1"}', b'{"machine": "x", "units": {"a": {"state": "b", "restarts": true}}}',
        b'{"machine": "x", "release": {"number": 1' + b"0" * 3000 + b"}}",
        b'{"machine": "x", "facts": {"id": "debian"}}',
        b'{"machine": "x", "hostname": "' + b"x" * (4 << 20) + b'"}',
    ],
)  # fmt: skip
def test_a_text_that_is_not_a_report_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any message will do
        decode_report(data)


async def test_a_report_that_was_deleted_with_the_store_is_not_that_of_another_machine(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_publisher, "PACE_SEC", 0.0)
    caplog.set_level("INFO")
    database = DirectoryDatabase(tmp_path / "store")
    database.root.mkdir()
    write_report(tmp_path, generation=1)
    task = asyncio.create_task(ReportPublisher(root=tmp_path, open=lambda: DirectoryDatabase(tmp_path / "store")).run())
    await wait_for_report(database, lambda r: r.generation == 1)
    (database.root / status_key(MACHINE)).unlink()
    write_report(tmp_path, generation=2)

    await wait_for_report(database, lambda r: r.generation == 2)

    await stop(task)
    assert "another machine" not in caplog.text
    assert "the report of this machine is not in the store any more; it is written again" in caplog.text


async def test_a_report_counts_only_under_the_key_of_its_machine(tmp_path: Path) -> None:
    database = DirectoryDatabase(tmp_path)
    mine, other = "1" * 32, "2" * 32
    await database.put(status_key(mine), encode_report(MachineReport(machine=mine)), expect=ANY)
    await database.put("status/whatever", encode_report(MachineReport(machine=mine)), expect=ANY)
    await database.put(status_key(other), b"{", expect=ANY)

    reports = await read_reports(database)

    assert [report.machine for report in reports.machines] == [mine]
    assert "of another machine" in reports.refused["status/whatever"].what
    assert "not a report" in reports.refused[status_key(other)].what


class SmallListings(DirectoryDatabase):
    """A store that lists at most ``most`` bytes at once."""

    most = 1_000

    async def list(self, *prefixes: str) -> Listing:
        listing = await super().list(*prefixes)
        if sum(len(entry.data) for entry in listing.entries) > self.most:
            raise SourceError("too large", code=SourceFault.TOO_LARGE)
        return listing


async def test_reports_that_are_too_large_for_one_listing_are_listed_in_parts(tmp_path: Path) -> None:
    database = SmallListings(tmp_path)
    machines = sorted(f"{number:02x}" * 16 for number in range(0, 256, 5))
    for machine in machines:
        await database.put(status_key(machine), encode_report(MachineReport(machine=machine)), expect=None)
    assert [report.machine for report in (await read_reports(database)).machines] == machines

    for number in range(3):  # by a program that fills the store
        await database.put(f"status/abcdef{number}", b"x" * database.most, expect=None)
    reports = await read_reports(database)
    assert [report.machine for report in reports.machines] == machines
    assert {key: refusal.code for key, refusal in reports.refused.items()} == {"status/abcd…": "TooLarge"}
    assert reports.silenced == ()


async def test_machines_that_are_not_in_the_list_of_machines_do_not_count(tmp_path: Path) -> None:
    database = DirectoryDatabase(tmp_path)
    for digit in "12":
        await database.put(status_key(digit * 32), encode_report(MachineReport(machine=digit * 32)), expect=ANY)
    assert len((await read_reports(database)).machines) == 2
    await database.put(MACHINES, b"# ours\n" + b"1" * 32 + b" web1\n", expect=ANY)

    reports = await read_reports(database)

    assert [report.machine for report in reports.machines] == ["1" * 32]
    assert [report.machine for report in reports.unlisted] == ["2" * 32]
    await database.put(MACHINES, b"web1\n", expect=ANY)
    with pytest.raises(Failure, match="line 1 does not begin with a machine-id"):
        await read_reports(database)


def test_a_machine_whose_clock_is_far_ahead_is_not_well_for_ever() -> None:
    assert is_lost(MachineReport(machine=MACHINE, seen=10_000), 10_000 - LOST_SEC - 1)
    assert not is_lost(MachineReport(machine=MACHINE, seen=10_000), 10_000 - 60)


class BrokenStore(DirectoryDatabase):
    """A store whose client has a bug that shows once."""

    broken = True

    async def put(self, key: str, data: bytes, *, expect: str | None, **more: Any) -> str:
        if BrokenStore.broken:
            BrokenStore.broken = False
            raise RecursionError("an answer that nobody expected")
        return await super().put(key, data, expect=expect, **more)


async def test_an_internal_error_does_not_end_the_reports(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "store").mkdir()
    write_report(tmp_path)
    publisher = ReportPublisher(
        root=tmp_path, open=lambda: BrokenStore(tmp_path / "store"), sleep=lambda _: asyncio.sleep(0)
    )
    task = asyncio.create_task(publisher.run())
    report = await wait_for_report(DirectoryDatabase(tmp_path / "store"), lambda r: True)
    await stop(task)

    assert report.dropped == 1
    assert "an answer that nobody expected" in caplog.text


def test_machines_are_selected_by_facts_as_in_match() -> None:
    def machine(name: str, **details: tuple[str, ...]) -> MachineReport:
        return MachineReport(machine=name, facts=Facts(id="debian", systemd=257, details=details))

    big = machine("1" * 32, memory=(str(64 << 30),), gpu=("nvidia",))
    small = machine("2" * 32, memory=(str(8 << 30),), gpu=())
    silent = MachineReport(machine="3" * 32)
    reports = (big, small, silent)

    assert having_labels(reports, [("memory", ">=64G")]) == (big,)
    assert having_labels(reports, [("memory", "<64G"), ("id", "debian")]) == (small,)
    assert having_labels(reports, [("gpu", "nv*")]) == (big,)
    assert having_labels([replace(small, labels={"gpu": ("nvidia",)})], [("gpu", "nvidia")]) != ()
