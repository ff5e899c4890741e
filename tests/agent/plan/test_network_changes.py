"""What of the network changes between two generations."""

from __future__ import annotations

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
