"""Faults of the network to a store: some packets are lost, or all packets of one or both directions.

Real servers and real TCP, over a `LossyLink`. Whatever happens, the documents that were fetched last stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ordain.agent.delivery.database import http_transport
from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.watch import WatchTiming
from ordain.agent.delivery.protocol import SourceFault
from ordain.agent.source_settings import SourceSettings
from rig.stores import source_harness, store_servers
from rig.stores.lossy_tun import LossyLink
from rig.stores.source_harness import (
    BASE,
    FIRST,
    SECOND,
    CouchStore,
    EtcdStore,
    HarmableStore,
    SourceMachine,
    put_until_accepted,
    writing_to,
)

pytestmark = [pytest.mark.integration]
TIMING = WatchTiming(check_sec=1.0, answer_sec=2.0)


@pytest.fixture
def link() -> Iterator[LossyLink]:
    with LossyLink() as link:
        yield link


@pytest.fixture(params=["etcd", "couchdb"])
def near_store(request: pytest.FixtureRequest, link: LossyLink) -> Iterator[HarmableStore]:
    """A store at the near end of the link."""
    request.getfixturevalue("etcd_here" if request.param == "etcd" else "pouch_here")
    if request.param == "etcd":
        with store_servers.EtcdCluster(count=1, host=link.near) as cluster:
            yield EtcdStore(cluster)
    else:
        with store_servers.PouchServer(host=link.near) as pouch:
            yield CouchStore(pouch)


@pytest.fixture
def direct(near_store: HarmableStore, tmp_path: Path) -> SourceMachine:
    """A machine that reaches the store without the link."""
    return SourceMachine(settings=near_store.settings, folder=tmp_path / "direct", timing=TIMING)


@pytest.fixture
def machine(
    near_store: HarmableStore, link: LossyLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SourceMachine:
    """A machine at the far end of the link."""
    monkeypatch.setattr(source_harness, "PATIENCE_SEC", 90.0)  # TCP doubles its wait after every loss
    monkeypatch.setattr(http_transport, "CONNECT_SEC", 3.0)
    link.serve(*(urlsplit(url).port or 0 for url in near_store.settings.endpoints))
    endpoints = tuple(url.replace(link.near, link.far) for url in near_store.settings.endpoints)
    settings: SourceSettings = replace(near_store.settings, endpoints=endpoints)
    return SourceMachine(settings=settings, folder=tmp_path / "machine", timing=TIMING)


async def test_a_share_of_the_packets_is_lost(machine: SourceMachine, direct: SourceMachine, link: LossyLink) -> None:
    """Changes arrive late, but never a text that was not written."""
    async with writing_to(direct) as database, machine.running():
        await database.put(BASE, FIRST, expect=None)
        await machine.wait_for_documents(FIRST)
        link.there, link.back = 0.2, 0.25
        for text in (SECOND, FIRST):
            before = machine.texts
            await put_until_accepted(database, BASE, text)
            await machine.until(lambda before=before, text=text: machine.texts in ([text], before))  # type: ignore[misc]
            await machine.until(lambda text=text: machine.texts == [text])  # type: ignore[misc]
    assert link.lost


@pytest.mark.parametrize(("there", "back"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)], ids=["both", "back", "there"])
async def test_all_packets_of_a_direction_are_lost(
    machine: SourceMachine, direct: SourceMachine, link: LossyLink, there: float, back: float
) -> None:
    async with writing_to(direct) as database, machine.running():
        await database.put(BASE, FIRST, expect=None)
        await machine.wait_for_documents(FIRST)
        link.there, link.back = there, back
        await machine.wait_for_fault(SourceFault.UNREACHABLE, FIRST)
        await put_until_accepted(database, BASE, SECOND)
        assert machine.texts == [FIRST]
        link.there = link.back = 0.0
        await machine.wait_for_documents(SECOND)


async def test_a_write_while_answers_are_lost(machine: SourceMachine, direct: SourceMachine, link: LossyLink) -> None:
    """A write whose answer is lost is reported as failed, whether or not it was done; it is never done twice."""
    async with writing_to(machine) as database, writing_to(direct) as other:
        await database.put(BASE, FIRST, expect=ANY)
        link.back = 0.3
        await put_until_accepted(database, BASE, SECOND)
        entry = await other.get(BASE)
        assert entry is not None
        assert entry.data == SECOND
