"""The network changes between two generations."""

from __future__ import annotations

import pytest

from ordain.agent.model import Change, FileAction, FileChange, Generation, Plan
from ordain.agent.plan.changes.network_changes import (
    DeviceRepair,
    NetworkChange,
    displaced_files,
    network_change,
    repaired_files,
    without_repairs,
)
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


def test_a_moved_line_in_the_documents_does_not_change_the_network() -> None:
    old = made(**{f"{NETWORKD}eth0.network": ETH0})

    assert not network_change(old, made(**{f"{NETWORKD}eth0.network": ETH0.replace(":7", ":8")}))


def test_a_changed_device_is_created_again_and_links_that_mention_it_are_configured_again() -> None:
    old = made(
        **{f"{NETWORKD}eth0.network": ETH0, f"{NETWORKD}br0.netdev": BR0, f"{NETWORKD}eth1.network": "[Match]\n"}
    )
    new = made(
        **{f"{NETWORKD}eth0.network": ETH0, f"{NETWORKD}br0.netdev": f"{BR0}[Bridge]\nSTP=no\n"},
        **{f"{NETWORKD}eth1.network": "[Match]\n"},
    )

    found = network_change(old, new)

    assert found == NetworkChange(networkd=True, dropped=("br0",), around=(f"{NETWORKD}eth0.network",))


VLAN = """\
[connection]
uuid=1
interface-name=v5
[vlan]
# net.yaml:3
id=%d
parent=%s
[ipv4]
method=%s
"""


@pytest.mark.parametrize(
    ("values", "made_again"),
    [((5, "eth0", "auto"), ()), ((6, "eth0", "disabled"), ("1",)), ((5, "eth1", "disabled"), ("1",))],
)
def test_network_manager_makes_a_device_again_that_it_cannot_change(
    values: tuple[int, str, str], made_again: tuple[str, ...]
) -> None:
    old, new = (made(**{KEYFILE: VLAN % which}) for which in ((5, "eth0", "disabled"), values))

    found = network_change(old, new)

    assert (found.profiles, found.made_again) == ((KEYFILE,), made_again)
    assert network_change(made(), new).made_again == ()


def test_a_new_device_drops_no_other() -> None:
    found = network_change(made(), made(**{f"{NETWORKD}br0.netdev": BR0}))

    assert found == NetworkChange(networkd=True)


def test_only_link_files_concern_udev() -> None:
    assert network_change(made(), made(**{f"{NETWORKD}eth0.link": "[Link]\nName=up0\n"})) == NetworkChange(links=True)


def test_a_removed_connection_is_identified_by_its_uuid() -> None:
    old = made(**{KEYFILE: "[connection]\nuuid=1-2\n"})

    assert network_change(old, made()) == NetworkChange(forgotten=("1-2",))
    assert network_change(made(), old) == NetworkChange(profiles=(KEYFILE,))


def test_changed_interfaces_of_ifupdown_and_those_that_depend_on_them_go_down_and_up() -> None:
    old, new = (
        made(**{INTERFACES: STANZAS}),
        made(**{INTERFACES: STANZAS.replace("eth0 inet manual", "eth0 inet dhcp")}),
    )

    found = network_change(old, new)

    assert (found.down, found.up, found.stanzas) == (("br0", "eth0"), ("eth0", "br0"), STANZAS)


V5 = "[connection]\nuuid=2\ninterface-name=v5\n[vlan]\nid=5\nparent=eth0\n"
PORT = "[connection]\nuuid=3\ninterface-name=eth0\nmaster=br0\n"


@pytest.mark.parametrize(
    ("files", "repair", "change"),
    [
        (
            {f"{NETWORKD}eth0.network": ETH0, f"{NETWORKD}br0.netdev": BR0},
            DeviceRepair(path=f"{NETWORKD}eth0.network", name="eth0"),
            NetworkChange(networkd=True, around=(f"{NETWORKD}eth0.network",)),
        ),
        (
            {
                f"{NETWORKD}eth0.network": ETH0,
                f"{NETWORKD}br0.netdev": BR0,
                f"{NETWORKD}br0.network": "[Match]\nName=br0\n",
            },
            DeviceRepair(path=f"{NETWORKD}br0.network", name="br0", again=True),
            NetworkChange(
                networkd=True, dropped=("br0",), around=(f"{NETWORKD}br0.network", f"{NETWORKD}eth0.network")
            ),
        ),
        (
            {f"{NETWORKD}eth0.network": ETH0, f"{NETWORKD}br0.network": "[Match]\nName=x\n"},
            DeviceRepair(path=f"{NETWORKD}br0.network", name="br0", ports=True),
            NetworkChange(networkd=True, around=(f"{NETWORKD}eth0.network",)),
        ),
        (
            {KEYFILE: PORT, KEYFILE.replace("eth0", "v5"): V5},
            DeviceRepair(path=KEYFILE.replace("eth0", "v5"), name="v5", again=True),
            NetworkChange(profiles=(KEYFILE.replace("eth0", "v5"),), made_again=("2",)),
        ),
        (
            {KEYFILE: PORT},
            DeviceRepair(path=KEYFILE, name="eth0"),
            NetworkChange(profiles=(KEYFILE,)),
        ),
        (
            {INTERFACES: STANZAS},
            DeviceRepair(path=INTERFACES, name="eth0"),
            NetworkChange(down=("br0", "eth0"), up=("eth0", "br0"), stanzas=STANZAS),
        ),
    ],
    ids=["address", "device", "port of a bridge", "device of NetworkManager", "keyfile", "stanzas"],
)
def test_a_repair_touches_the_device_and_what_is_on_it(
    files: dict[str, str], repair: DeviceRepair, change: NetworkChange
) -> None:
    generation = made(**files)

    assert network_change(generation, generation, [repair]) == change


def test_a_repair_of_nothing_changes_nothing() -> None:
    generation = made(**{INTERFACES: STANZAS, f"{NETWORKD}eth0.network": ETH0, KEYFILE: PORT})

    assert not network_change(generation, generation, [])


def test_keyfiles_that_do_not_name_their_interface_are_all_repaired() -> None:
    first, second = KEYFILE.replace("eth0", "a"), KEYFILE.replace("eth0", "b")
    generation = made(**{first: "[connection]\nuuid=1\n", second: "[connection]\nuuid=2\n"})

    found = network_change(generation, generation, [DeviceRepair(path=first, name="a")])

    assert found == NetworkChange(profiles=(first,))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (f"{NETWORKD}eth0.network", NetworkChange(networkd=True)),
        (f"{NETWORKD}br0.netdev", NetworkChange(networkd=True)),
        (f"{NETWORKD}eth0.link", NetworkChange(links=True)),
        (KEYFILE, NetworkChange(profiles=(KEYFILE,))),
        (INTERFACES, NetworkChange()),  # ifupdown reads it when it brings an interface up
    ],
)
def test_a_file_that_somebody_changed_is_read_again_by_its_program(path: str, change: NetworkChange) -> None:
    generation = made(**{path: "[connection]\nuuid=1\ninterface-name=eth0\n"})

    assert network_change(generation, generation, displaced=[path]) == change


def test_only_changed_contents_are_read_again_and_only_changed_devices_are_repaired() -> None:
    device = Change(unit="network/ethernets/eth0", key="eth0 mtu")
    changes: dict[str, list[Change | str]] = {
        "/run/device": [device],
        "/run/mode": ["mode", "owner"],
        "/run/lost": ["type"],
        "/run/both": ["dns"],
    }
    plan = Plan(
        files=tuple(
            FileChange(
                path=path,
                what=FileAction.CHANGED,
                item="network/ethernets/eth0",
                changes=tuple(key if isinstance(key, Change) else Change(unit=path, key=key) for key in keys)
                + (device,) * (path == "/run/both"),
            )
            for path, keys in changes.items()
        )
    )

    assert displaced_files(plan) == {"/run/lost", "/run/both"}
    assert repaired_files(plan) == {"/run/device", "/run/both"}


def test_files_that_somebody_changed_are_no_repair_of_a_device() -> None:
    device, file = Change(unit="network/ethernets/eth0", key="mtu"), Change(unit="/etc/motd", key="mode")

    kept = without_repairs({"/run/a": (device,), "/run/b": (device, file), "/etc/motd": (file,), "/etc/c": ()})

    assert kept == {"/run/b": (file,), "/etc/motd": (file,), "/etc/c": ()}
