"""What of the network changes between two generations, and who is missed afterwards."""

from __future__ import annotations

import asyncio
import errno
import time
from pathlib import Path

import pytest

from ordain.agent.apply import reachability
from ordain.agent.model import Generation
from ordain.agent.plan.network_changes import NetworkChange, network_change
from ordain.transforms.artifacts import RegularFile

NETWORKD = "/run/systemd/network/10-ordain-"
KEYFILE = "/run/NetworkManager/system-connections/ordain-eth0.nmconnection"
INTERFACES = "/etc/network/interfaces.d/ordain"
ETH0 = "# net.yaml:7\n[Match]\nName=eth0\n[Network]\nBridge=br0\n"
BR0 = "[NetDev]\nName=br0\nKind=bridge\n"
STANZAS = """\
auto eth1
iface eth1 inet static
    address 192.0.2.1/24
# net.yaml:3 net network/ethernets/eth0
auto eth0
iface eth0 inet manual
auto br0
iface br0 inet manual
    pre-up ip link set dev eth0 master br0
"""


def made(**files: str) -> Generation:
    return Generation(artifacts=tuple(RegularFile(path=p, content=t, item="network/x/y") for p, t in files.items()))


def test_a_line_that_moves_in_the_documents_is_no_change_of_the_network() -> None:
    old = made(**{f"{NETWORKD}eth0.network": ETH0})

    assert not network_change(old, made(**{f"{NETWORKD}eth0.network": ETH0.replace(":7", ":8")}))


def test_a_device_that_changes_is_made_anew_with_what_is_tied_to_it() -> None:
    old = made(
        **{f"{NETWORKD}eth0.network": ETH0, f"{NETWORKD}br0.netdev": BR0, f"{NETWORKD}eth1.network": "[Match]\n"}
    )
    new = made(
        **{f"{NETWORKD}eth0.network": ETH0, f"{NETWORKD}br0.netdev": f"{BR0}[Bridge]\nSTP=no\n"},
        **{f"{NETWORKD}eth1.network": "[Match]\n"},
    )

    found = network_change(old, new)

    assert found == NetworkChange(networkd=True, dropped=("br0",), around=(f"{NETWORKD}eth0.network",))


def test_a_new_device_drops_none() -> None:
    found = network_change(made(), made(**{f"{NETWORKD}br0.netdev": BR0}))

    assert found == NetworkChange(networkd=True)


def test_udev_is_asked_only_for_link_files() -> None:
    assert network_change(made(), made(**{f"{NETWORKD}eth0.link": "[Link]\nName=up0\n"})) == NetworkChange(links=True)


def test_a_connection_that_goes_is_known_by_its_uuid() -> None:
    old = made(**{KEYFILE: "[connection]\nuuid=1-2\n"})

    assert network_change(old, made()) == NetworkChange(forgotten=("1-2",))
    assert network_change(made(), old) == NetworkChange(profiles=(KEYFILE,))


def test_of_ifupdown_go_and_come_what_changed_and_what_stands_on_it() -> None:
    old, new = (
        made(**{INTERFACES: STANZAS}),
        made(**{INTERFACES: STANZAS.replace("eth0 inet manual", "eth0 inet dhcp")}),
    )

    found = network_change(old, new)

    assert (found.down, found.up, found.stanzas) == (("br0", "eth0"), ("eth0", "br0"), STANZAS)


ROUTES = """\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\tFE0200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
ROUTES6 = f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003     eth0\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/route").write_text(ROUTES)
    (tmp_path / "proc/net/ipv6_route").write_text(ROUTES6)
    return tmp_path


def test_gateways_are_those_of_the_kernel(root: Path) -> None:
    assert reachability.gateways(root) == ("192.0.2.254", "fe80::1%eth0")


def answering(**answers: str) -> reachability.Ask:
    async def ask(host: str, port: int) -> str:
        return answers.get(host.replace(".", "_").partition("%")[0], "gone")

    return ask


@pytest.mark.parametrize(
    ("before", "answer", "missed"),
    [
        ("source db:6984 answers", "answers", False),
        ("source db:6984 answers", "silent", True),
        ("caller db answers", "silent", True),
        ("caller db silent", "gone", True),
    ],
)
def test_who_was_reached_must_still_be(root: Path, before: str, answer: str, missed: bool) -> None:
    lost = asyncio.run(reachability.lost(root, (before,), 0, ask=answering(db=answer)))

    assert bool(lost) is missed


def test_who_was_not_reached_before_is_not_missed(root: Path) -> None:
    wanted = ("source db:6984", "gateway", "caller 192.0.2.9")

    found = asyncio.run(reachability.reached(root, wanted, ask=answering(**{"192_0_2_254": "silent"})))

    assert found == ("gateway silent",)


def test_one_of_several_sources_is_enough(root: Path) -> None:
    assert asyncio.run(reachability.lost(root, ("source a:1,b:2 answers",), 0, ask=answering(b="answers"))) == ()


def test_a_port_that_refuses_answers() -> None:
    assert asyncio.run(reachability.connect("127.0.0.1", 9)) == "answers"


def test_what_the_kernel_knows_counts_on_a_machine_that_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence would be doubt in favour of a gateway that is gone. The connection is a fake, whose end can be timed."""

    async def unreachable(host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.create_future()
        loop.call_later(0.03, ends.set_exception, OSError(errno.EHOSTUNREACH, "no route"))
        loop.call_later(0.01, time.sleep, 0.1)
        await ends

    monkeypatch.setattr(asyncio, "open_connection", unreachable)
    monkeypatch.setattr(reachability, "CONNECT_SEC", 0.04)
    assert asyncio.run(reachability.connect("192.0.2.1", 9)) == "gone"
