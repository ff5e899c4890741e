"""The peers of a machine: how they are asked, and which of them a change of the network has cost."""

from __future__ import annotations

import asyncio
import errno
import time
from pathlib import Path

import pytest

from ordain.agent.apply.network import reachability
from ordain.agent.apply.network.reachability import (
    Connect,
    HostAnswer,
    NetworkPeer,
    PeerKind,
    lost_peers,
    reached_peers,
    try_connection,
)

ROUTES = """\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\tFE0200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
ROUTES6 = f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003     eth0\n"
SOURCE = NetworkPeer(kind=PeerKind.SOURCE, hosts=("db:6984",))
GATEWAY = NetworkPeer(kind=PeerKind.GATEWAY)
CALLER = NetworkPeer(kind=PeerKind.CALLER, hosts=("db",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/route").write_text(ROUTES)
    (tmp_path / "proc/net/ipv6_route").write_text(ROUTES6)
    return tmp_path


def test_gateways_are_those_of_the_kernel(root: Path) -> None:
    assert reachability.gateways(root) == ("192.0.2.254", "fe80::1%eth0")


def answering(**answers: str) -> Connect:
    async def connect(host: str, port: int) -> HostAnswer:
        return HostAnswer(answers.get(host.replace(".", "_").partition("%")[0], "gone"))

    return connect


@pytest.mark.parametrize(
    ("before", "answer", "lost"),
    [
        (SOURCE, "answers", False),
        (SOURCE, "silent", True),
        (CALLER, "silent", True),
        (NetworkPeer(kind=PeerKind.CALLER, hosts=("db",), answers=False), "gone", True),
    ],
    ids=str,
)
def test_a_peer_that_was_reached_must_be_reached_again(
    root: Path, before: NetworkPeer, answer: str, lost: bool
) -> None:
    found = asyncio.run(lost_peers(root, (before,), 0, settle_sec=0, connect=answering(db=answer)))

    assert found == ((before,) if lost else ())


def test_only_peers_that_are_reached_before_are_watched(root: Path) -> None:
    absent = NetworkPeer(kind=PeerKind.CALLER, hosts=("192.0.2.9",))

    reached = asyncio.run(
        reached_peers(root, (SOURCE, GATEWAY, absent), connect=answering(**{"192_0_2_254": "silent"}))
    )

    assert reached == (NetworkPeer(kind=PeerKind.GATEWAY, answers=False),)


def test_one_address_of_a_source_is_enough(root: Path) -> None:
    source = NetworkPeer(kind=PeerKind.SOURCE, hosts=("a:1", "b:2"))

    assert asyncio.run(lost_peers(root, (source,), 0, settle_sec=0, connect=answering(b="answers"))) == ()


def test_an_answer_before_the_change_takes_effect_does_not_count(root: Path) -> None:
    """systemd-networkd answers before it has removed the addresses of a link that it lets go."""
    cut_off = time.monotonic() + 0.1

    async def connect(host: str, port: int) -> HostAnswer:
        return HostAnswer.ANSWERS if time.monotonic() < cut_off else HostAnswer.GONE

    assert asyncio.run(lost_peers(root, (CALLER,), 0, settle_sec=0.2, connect=connect)) == (CALLER,)


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        (GATEWAY, "gateway"),
        (CALLER, "caller db"),
        (NetworkPeer(kind=PeerKind.SOURCE, hosts=("a:1", "b:2")), "source a:1,b:2"),
    ],
)
def test_a_peer_is_named_by_its_part_and_its_hosts(peer: NetworkPeer, text: str) -> None:
    assert str(peer) == text


def test_a_port_that_refuses_a_connection_answers() -> None:
    assert asyncio.run(try_connection("127.0.0.1", 9)) is HostAnswer.ANSWERS


def test_the_answer_of_the_kernel_counts_on_a_slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is gone must not count as silent. The connection is a fake, since its end has to be timed."""

    async def unreachable(host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.create_future()
        loop.call_later(0.03, ends.set_exception, OSError(errno.EHOSTUNREACH, "no route"))
        loop.call_later(0.01, time.sleep, 0.1)
        await ends

    monkeypatch.setattr(asyncio, "open_connection", unreachable)
    monkeypatch.setattr(reachability, "CONNECT_SEC", 0.04)
    assert asyncio.run(try_connection("192.0.2.1", 9)) is HostAnswer.GONE
