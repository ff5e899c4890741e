"""What a network does to a store: packets that are lost, ways that swallow everything, names that move.

Real servers and real TCP, over a `LossyLink` that drops packets. Whatever it is: the documents that were had last stay.
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
from rig import source_harness, store_servers
from rig.lossy_tun import LossyLink
from rig.source_harness import (
    BASE,
    FIRST,
    IGNORE_OPEN_SOCKET,
    SECOND,
    CouchStore,
    EtcdStore,
    HarmableStore,
    SourceMachine,
    put_until_accepted,
    writing_to,
)

pytestmark = [pytest.mark.integration, IGNORE_OPEN_SOCKET]
TIMING = WatchTiming(check_sec=1.0, answer_sec=2.0)


@pytest.fixture
def wire() -> Iterator[LossyLink]:
    with LossyLink() as wire:
        yield wire


@pytest.fixture(params=["etcd", "couchdb"])
def far(request: pytest.FixtureRequest, wire: LossyLink) -> Iterator[HarmableStore]:
    """A store at the near end of the wire."""
    request.getfixturevalue("etcd_here" if request.param == "etcd" else "pouch_here")
    if request.param == "etcd":
        with store_servers.EtcdCluster(count=1, host=wire.near) as cluster:
            yield EtcdStore(cluster)
    else:
        with store_servers.PouchServer(host=wire.near) as pouch:
            yield CouchStore(pouch)


@pytest.fixture
def direct(far: HarmableStore, tmp_path: Path) -> SourceMachine:
    """One who reaches it without the wire."""
    return SourceMachine(settings=far.settings, folder=tmp_path / "direct", timing=TIMING)


@pytest.fixture
def machine(far: HarmableStore, wire: LossyLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceMachine:
    """One at the other end of it."""
    monkeypatch.setattr(source_harness, "PATIENCE_SEC", 90.0)  # TCP waits twice as long after every loss
    monkeypatch.setattr(http_transport, "CONNECT_SEC", 3.0)
    wire.serve(*(urlsplit(url).port or 0 for url in far.settings.endpoints))
    endpoints = tuple(url.replace(wire.near, wire.far) for url in far.settings.endpoints)
    settings: SourceSettings = replace(far.settings, endpoints=endpoints)
    return SourceMachine(settings=settings, folder=tmp_path / "machine", timing=TIMING)


async def test_a_share_of_the_packets_is_lost(machine: SourceMachine, direct: SourceMachine, wire: LossyLink) -> None:
    """Changes come through, late; and never anything else than what was written."""
    async with writing_to(direct) as database, machine.running():
        await database.put(BASE, FIRST, expect=None)
        await machine.has(FIRST)
        wire.there, wire.back = 0.2, 0.25
        for text in (SECOND, FIRST):
            before = machine.texts
            await put_until_accepted(database, BASE, text)
            await machine.until(lambda before=before, text=text: machine.texts in ([text], before))  # type: ignore[misc]
            await machine.until(lambda text=text: machine.texts == [text])  # type: ignore[misc]
    assert wire.lost


@pytest.mark.parametrize(("there", "back"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)], ids=["both", "back", "there"])
async def test_a_way_that_swallows_everything(
    machine: SourceMachine, direct: SourceMachine, wire: LossyLink, there: float, back: float
) -> None:
    async with writing_to(direct) as database, machine.running():
        await database.put(BASE, FIRST, expect=None)
        await machine.has(FIRST)
        wire.there, wire.back = there, back
        await machine.fails(SourceFault.UNREACHABLE, FIRST)
        await put_until_accepted(database, BASE, SECOND)
        assert machine.texts == [FIRST]
        wire.there = wire.back = 0.0
        await machine.has(SECOND)


async def test_it_is_written_to_while_answers_are_lost(
    machine: SourceMachine, direct: SourceMachine, wire: LossyLink
) -> None:
    """A write whose answer is lost is told as failed, done or not; it is never done twice."""
    async with writing_to(machine) as database, writing_to(direct) as other:
        await database.put(BASE, FIRST, expect=ANY)
        wire.back = 0.3
        await put_until_accepted(database, BASE, SECOND)
        entry = await other.get(BASE)
        assert entry is not None
        assert entry.data == SECOND
