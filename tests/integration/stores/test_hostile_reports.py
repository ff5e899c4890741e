"""A machine that writes what it likes below status/ of a real store, against machines that are enrolled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.fleet.report import MachineReport, encode_report
from ordain.agent.delivery.fleet.report_publisher import status_key
from ordain.agent.delivery.source.source_factory import open_database
from ordain.agent.source_settings import SourceKind, SourceSettings
from ordain.agent.status import AgentState as Phase
from rig.stores import store_servers
from support.stores.enrolled_fleet import Fleet

pytestmark = pytest.mark.integration
WEB3, WEB4 = "a" * 32, "b" * 32


class RemoteFleet(Fleet):
    """A fleet whose store is a server."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str], url: str, settings: SourceSettings) -> None:
        super().__init__(path, capsys)
        self.url, self.settings = url, settings

    def open(self) -> Database:
        return open_database(self.settings)

    @property
    def option(self) -> str:
        return f"--store={self.url}"

    def write(self, key: str, data: bytes) -> None:
        """Write as anybody who may write below status/."""

        async def put(store: Database) -> None:
            await store.put(key, data, expect=ANY)

        self.database(put)

    def read(self, key: str) -> bytes:
        async def get(store: Database) -> bytes:
            entry = await store.get(key)
            assert entry
            return entry.data

        return self.database(get)


@pytest.fixture(params=["etcd", "couchdb"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[RemoteFleet]:
    request.getfixturevalue({"etcd": "etcd_here", "couchdb": "pouch_here"}[request.param])
    if request.param == "etcd":
        with store_servers.EtcdCluster(count=1) as cluster:
            settings = SourceSettings(type=SourceKind.ETCD, endpoints=cluster.endpoints, prefix="/ordain/")
            url = cluster.endpoints[0].replace("http", "etcd+http", 1) + "/ordain/"
            yield RemoteFleet(tmp_path, capsys, url, settings)
    else:
        with store_servers.PouchServer() as pouch:
            settings = SourceSettings(type=SourceKind.COUCHDB, endpoints=(pouch.url,), database="ordain")
            yield RemoteFleet(tmp_path, capsys, f"couchdb+{pouch.url}/ordain", settings)


def counted(fleet: RemoteFleet, status: int) -> set[str]:
    out = fleet.run("status", "--json", status=status)
    return {machine["hostname"] for machine in json.loads(out[: out.rindex("]\n") + 1])}


def lies(own: bytes, of_other: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield reports that web3 did not write, from its own signed one and that of another machine."""
    plain = json.loads(own)
    yield "without a signature", encode_report(MachineReport(machine=WEB3, hostname="web3", phase=Phase.ROLLED_BACK))
    yield "of another machine", of_other
    yield "with another signature", json.dumps({**plain, "signatures": {"0" * 16: "A" * 88, "x": 5}}).encode()
    yield "with another value", json.dumps({**plain, "phase": "rolled-back"}).encode()
    yield "with a number of 400 digits", json.dumps({**plain, "seen": int("9" * 400)}).encode()
    yield "with controls", json.dumps({**plain, "hostname": "\x1b[2J\nweb9  stable 1  converged\r\u202e"}).encode()
    yield "of a megabyte", json.dumps({**plain, "hostname": "x" * 1_000_000}).encode()
    yield "deep", b"[" * 100_000
    yield "not text", b"\xff\0" * 10


def test_no_text_of_a_liar_counts_or_reaches_the_terminal(fleet: RemoteFleet) -> None:
    web3, web4 = fleet.machine("web3", "a"), fleet.machine("web4", "b")
    for root in (web3, web4):
        fleet.join(root)
        fleet.report(root)
    own, of_other = fleet.read(status_key(WEB3)), fleet.read(status_key(WEB4))
    assert counted(fleet, 0) == {"web3", "web4"}

    for kind, data in lies(own, of_other):
        fleet.write(status_key(WEB3), data)
        assert counted(fleet, 3) == {"web4"}, kind
        assert "\x1b" not in fleet.run("status", status=3), kind
    fleet.report(web3)
    assert counted(fleet, 0) == {"web3", "web4"}, "the machine writes its report again"

    for number in range(30):
        phantom = MachineReport(machine=f"{number:032x}", hostname=f"\x1b]0;{number}\x07\n", phase=Phase.CONVERGED)
        fleet.write(status_key(phantom.machine), encode_report(phantom))
    assert len(counted(fleet, 3)) == 32
    assert "\x1b" not in fleet.run("status", status=3)
    fleet.run("identity", "--require")
    assert counted(fleet, 0) == {"web3", "web4"}
    fleet.run("revoke", "web4", "--why", "stolen")
    fleet.report(web4)
    assert counted(fleet, 0) == {"web3"}
