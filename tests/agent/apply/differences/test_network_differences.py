"""The network of the kernel is compared with the documents, whichever program was told to bring it about."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.apply.differences.network_differences import (
    DHCP_SEC,
    SETTLE_SEC,
    UNITS,
    LinkState,
    faults_of_apply,
    findings,
    link_states,
    network_differences,
    network_reader,
)
from ordain.agent.apply.network.network_reload import NetworkReload
from ordain.agent.model import Change, FileAction, FileChange, Plan
from ordain.agent.plan.changes.network_changes import network_change
from ordain.agent.plan.network_expectation import ExpectedDevice, changed_devices, expected_devices
from ordain.agent.system.netlink import (
    KernelAddress,
    KernelLink,
    KernelNetwork,
    KernelRoute,
    KernelRule,
    read_kernel_network,
)
from support.network.network_compile import Section, generation_of

RENDERERS = ("networkd", "NetworkManager", "ifupdown")
ETH0 = KernelLink(index=2, name="eth0", up=True, carrier=True, mtu=1500, mac="52:54:00:00:00:01")
BR0 = KernelLink(index=3, name="br0", up=True, carrier=True, mtu=1500)
STATIC: Section = {
    "ethernets": {
        "eth0": {
            "addresses": ["192.0.2.2/24", "2001:DB8:0::2/64"],
            "routes": [
                {"to": "default", "via": "192.0.2.1"},
                {"to": "198.51.100.0/24", "via": "192.0.2.1", "table": 9},
            ],
        }
    }
}
FOUR = KernelAddress(index=2, address="192.0.2.2/24", local=False)
SIX = KernelAddress(index=2, address="2001:db8::2/64", local=False)
DEFAULT = KernelRoute(to="0.0.0.0/0", via="192.0.2.1", index=2, table=254, metric=100, type=1)
OTHER = KernelRoute(to="198.51.100.0/24", via="192.0.2.1", index=2, table=9, metric=0, type=1)
AS_TOLD = KernelNetwork(links=(ETH0,), addresses=(FOUR, SIX), routes=(DEFAULT, OTHER))


def found(
    network: Section,
    kernel: KernelNetwork,
    renderer: str = "networkd",
    states: Mapping[int, LinkState] | None = None,
    age: float = 1000.0,
) -> list[tuple[str, str, bool]]:
    """Return code, text and weight of each finding."""
    devices = expected_devices(generation_of(network, renderer))
    ages = dict.fromkeys((device.path for device in devices), age)
    return [(f.code, f.what, f.fault) for f in findings(devices, kernel, states or {}, ages)]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_network_as_the_program_was_told_has_no_difference(renderer: str) -> None:
    assert found(STATIC, AS_TOLD, renderer) == []


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize(
    ("kernel", "difference"),
    [
        (
            replace(AS_TOLD, addresses=(SIX,)),
            ("NetworkDiffers", "eth0 does not have the address 192.0.2.2/24", True),
        ),
        (
            replace(AS_TOLD, addresses=(FOUR, replace(SIX, failed=True))),
            ("DeviceFailed", "another host has the address", True),
        ),
        (
            replace(AS_TOLD, routes=(DEFAULT,)),
            ("NetworkDiffers", "eth0 does not have the route 198.51.100.0/24 via 192.0.2.1 in table 9", True),
        ),
        (
            replace(AS_TOLD, routes=(replace(DEFAULT, index=7), OTHER)),
            ("NetworkDiffers", "eth0 does not have the route 0.0.0.0/0 via 192.0.2.1", True),
        ),
        (
            replace(AS_TOLD, links=(replace(ETH0, up=False, carrier=False),)),
            ("DeviceFailed", "eth0 is down", True),
        ),
        (replace(AS_TOLD, links=(BR0,)), ("DeviceMissing", "there is no network interface eth0", True)),
        (
            KernelNetwork(links=(replace(ETH0, carrier=False),)),
            ("NetworkWaits", "eth0 has no carrier, and gets its addresses and routes when it has one", False),
        ),
    ],
)
def test_a_difference_is_found_and_a_missing_cable_is_not_a_fault(
    kernel: KernelNetwork, difference: tuple[str, str, bool], renderer: str
) -> None:
    (only,) = found(STATIC, kernel, renderer)

    assert (only[0], only[2]) == (difference[0], difference[2])
    assert only[1].startswith(difference[1])


def test_a_router_with_too_many_routes_is_not_asked_for_them() -> None:
    assert found(STATIC, replace(AS_TOLD, routes=None)) == []


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_program_has_a_moment_to_configure_a_device(renderer: str) -> None:
    kernel = KernelNetwork(links=(ETH0,))

    assert {(code, fault) for code, _, fault in found(STATIC, kernel, renderer, age=1.0)} == {("NetworkWaits", False)}
    assert {(code, fault) for code, _, fault in found(STATIC, kernel, renderer, age=SETTLE_SEC)} == {
        ("NetworkDiffers", True)
    }


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_device_that_its_program_has_still_time_to_make_waits_and_is_missing_afterwards(renderer: str) -> None:
    """Otherwise the status would be converged beside the code of a fault."""
    codes = {
        age: [(code, fault) for code, what, fault in found(BRIDGE, KernelNetwork(links=(ETH0,)), renderer, age=age)
              if "br0 does not exist" in what]
        for age in (1.0, SETTLE_SEC)
    }  # fmt: skip

    assert codes == {1.0: [("NetworkWaits", False)], SETTLE_SEC: [("DeviceMissing", True)]}


RULED: Section = {
    "ethernets": {
        "eth0": {
            "addresses": ["192.0.2.2/24"],
            "routing-policy": [
                {"from": "192.0.2.9/24", "table": 7, "priority": 5},
                {"to": "2001:db8::/32", "table": 9, "priority": 6, "mark": 4, "type-of-service": 8},
            ],
        }
    }
}
RULE = KernelRule(version=4, table=7, priority=5, source="192.0.2.0/24")
RULE6 = KernelRule(version=6, table=9, priority=6, to="2001:db8::/32", mark=4, tos=8)


@pytest.mark.parametrize("renderer", ["networkd", "ifupdown"])
def test_routing_rules_are_read_back(renderer: str) -> None:
    kernel = KernelNetwork(links=(ETH0,), addresses=(FOUR,), rules=(RULE, RULE6))

    assert found(RULED, kernel, renderer) == []
    assert found(RULED, replace(kernel, rules=None), renderer) == []
    for rules, missing in (
        ((RULE6,), "from 192.0.2.0/24 to table 7 with priority 5"),
        ((replace(RULE, table=8), RULE6), "from 192.0.2.0/24 to table 7 with priority 5"),
        ((RULE, replace(RULE6, mark=5)), "to 2001:db8::/32 mark 4 type-of-service 8 to table 9 with priority 6"),
    ):
        what = f"there is no routing rule {missing}"
        assert found(RULED, replace(kernel, rules=rules), renderer) == [("NetworkDiffers", what, True)]


def test_a_rule_of_a_vrf_is_about_its_table_and_any_priority_will_do() -> None:
    network: Section = {"vrfs": {"red": {"table": 200, "routing-policy": [{"from": "192.0.2.0/24"}]}}}
    red = KernelLink(index=3, name="red", up=True, carrier=True, mtu=65575, kind="vrf", data={1: number(200)})

    kernel = KernelNetwork(links=(red,), rules=(replace(RULE, table=200, priority=32765),))

    assert found(network, kernel) == []
    assert found(network, replace(kernel, links=(replace(red, data={1: number(201)}),))) == [
        ("NetworkDiffers", "red has the table 201, not 200", True)
    ]


def number(value: int, length: int = 4) -> bytes:
    """Return a number as the kernel of this machine sends it."""
    return value.to_bytes(length, sys.byteorder)


BO0 = replace(BR0, name="bo0", kind="bond", data={1: number(1, 1), 3: number(100), 4: number(200), 11: number(2)})
BOND: Section = {
    "ethernets": {"eth0": {}},
    "bonds": {
        "bo0": {
            "interfaces": ["eth0"],
            "parameters": {
                "mode": "active-backup",
                "mii-monitor-interval": 100,
                "up-delay": "250ms",
                "primary": "eth0",
            },
        }
    },
}


@pytest.mark.parametrize("renderer", RENDERERS)
def test_parameters_of_a_bond_are_read_back_as_the_kernel_rounds_them(renderer: str) -> None:
    def of(**changes: Any) -> list[tuple[str, str, bool]]:
        return found(BOND, KernelNetwork(links=(replace(ETH0, master=3), replace(BO0, **changes))), renderer)

    assert of() == []
    assert of(data={**BO0.data, 1: number(0, 1)}) == [
        ("NetworkDiffers", "bo0 has the mode balance-rr, not active-backup", True)
    ]
    assert of(data={**BO0.data, 3: number(50)})[0][1] == ("bo0 has the mii-monitor-interval 50 ms, not 100 ms")
    assert of(data={**BO0.data, 11: number(0)})[0][1] == "bo0 has the primary none, not eth0"
    assert of(kind="dummy") == [("NetworkDiffers", "bo0 is of kind dummy, not bond", True)]


def test_an_option_that_the_mode_of_a_bond_lacks_is_not_expected() -> None:
    network: Section = {"bonds": {"bo0": {"parameters": {"mode": "active-backup", "lacp-rate": "fast"}}}}
    kernel = KernelNetwork(links=(replace(BO0, data={1: number(1, 1), 21: number(0, 1)}),))

    assert found(network, kernel) == []


def test_an_option_that_networkd_does_not_pass_on_is_not_expected_of_it() -> None:
    network: Section = {"bonds": {"bo0": {"parameters": {"mode": "balance-alb", "learn-packet-interval": 20}}}}
    kernel = KernelNetwork(links=(replace(BO0, data={1: number(6, 1), 19: number(1)}),))

    assert found(network, kernel) == []
    assert found(network, kernel, "NetworkManager")[0][1] == "bo0 has the learn-packet-interval 1 s, not 20 s"


def test_times_of_the_root_of_a_spanning_tree_are_not_those_of_the_bridge() -> None:
    times = {"forward-delay": 4, "hello-time": 1, "max-age": 7, "ageing-time": 50}
    network: Section = {"bridges": {"br0": {"parameters": times}}}
    of_root = {1: number(1500), 2: number(200), 3: number(2000), 4: number(5000), 5: number(1), 10: b"root"}
    bridge = replace(BR0, kind="bridge", data={**of_root, 11: b"this"})

    assert found(network, KernelNetwork(links=(bridge,))) == []
    changing = replace(bridge, data={**of_root, 4: number(3000), 11: b"this", 14: b"\1"})
    assert found(network, KernelNetwork(links=(changing,))) == []
    root = replace(bridge, data={**of_root, 4: number(3000), 11: b"root"})
    assert [what.split()[3] for _, what, _ in found(network, KernelNetwork(links=(root,)))] == [
        *("forward-delay", "hello-time", "max-age", "ageing-time"),
    ]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_parameters_of_a_bridge_and_its_ports_are_read_back(renderer: str) -> None:
    network: Section = {
        "ethernets": {"eth0": {"hairpin": True}},
        "bridges": {
            "br0": {
                "interfaces": ["eth0"],
                "parameters": {"priority": 4096, "forward-delay": 4, "path-cost": {"eth0": 7}},
            }
        },
    }
    port = replace(ETH0, master=3, port_kind="bridge", port={2: number(32, 2), 3: number(7), 4: b"\1"})
    bridge = replace(BR0, kind="bridge", data={1: number(400), 5: number(1), 6: number(4096, 2)})

    assert found(network, KernelNetwork(links=(port, bridge)), renderer) == []
    for links, what in (
        ((port, replace(bridge, data={**bridge.data, 1: number(1500)})), "br0 has the forward-delay 15 s"),
        ((port, replace(bridge, data={**bridge.data, 5: number(0)})), "br0 has the stp false, not true"),
        ((replace(port, port={**port.port, 3: number(2)}), bridge), "br0 has the path-cost eth0 2, not 7"),
        ((replace(port, port={**port.port, 4: b"\0"}), bridge), "eth0 has the hairpin false, not true"),
    ):
        ((code, text, fault),) = found(network, KernelNetwork(links=links), renderer)
        assert (code, text.startswith(what), fault) == ("NetworkDiffers", True, True), text


def test_a_vlan_has_its_id_and_the_device_below_it() -> None:
    mac = "52:54:00:00:00:01"
    network: Section = {
        "ethernets": {"lan": {"match": {"macaddress": mac}}},
        "vlans": {"v5": {"id": 5, "link": "lan", "macaddress": "52:54:00:00:00:09"}},
    }
    v5 = replace(BR0, name="v5", kind="vlan", below=2, mac=mac, address="52:54:00:00:00:09", data={1: number(5, 2)})

    assert found(network, KernelNetwork(links=(ETH0, v5))) == []
    for changed, what in (
        (replace(v5, data={1: number(6, 2)}), "v5 has the id 6, not 5"),
        (replace(v5, below=4), "v5 has the link eth1, not eth0"),
        (replace(v5, address=mac), f"v5 has the macaddress {mac}, not 52:54:00:00:00:09"),
    ):
        eth1 = replace(ETH0, index=4, name="eth1", mac="52:54:00:00:00:02")
        assert found(network, KernelNetwork(links=(ETH0, eth1, changed))) == [("NetworkDiffers", what, True)]


@pytest.mark.parametrize(
    ("keys", "kind", "data", "wrong", "what"),
    [
        (
            {"mode": "gre", "local": "192.0.2.2", "remote": "192.0.2.3", "ttl": 9, "key": "0.0.0.7"},
            "gre",
            {4: b"\0\0\0\7", 5: b"\0\0\0\7", 6: b"\xc0\0\2\2", 7: b"\xc0\0\2\3", 8: b"\11"},
            {7: b"\xc0\0\2\4"},
            "remote 192.0.2.4, not 192.0.2.3",
        ),
        (
            {"mode": "sit", "local": "192.0.2.2", "remote": "192.0.2.3", "ttl": 9},
            "sit",
            {2: b"\xc0\0\2\2", 3: b"\xc0\0\2\3", 4: b"\11"},
            {4: b"\0"},
            "ttl 0, not 9",
        ),
        (
            {"mode": "vti", "local": "192.0.2.2", "remote": "192.0.2.3", "keys": {"input": 1, "output": 2}},
            "vti",
            {2: b"\0\0\0\1", 3: b"\0\0\0\2", 4: b"\xc0\0\2\2", 5: b"\xc0\0\2\3"},
            {3: b"\0\0\0\3"},
            "keys output 3, not 2",
        ),
        (
            {
                **{"mode": "vxlan", "id": 7, "remote": "2001:db8::9", "port": 4789, "mac-learning": False},
                **{"notifications": ["l2-miss"], "extensions": ["group-policy"], "port-range": [42, 4200]},
            },
            "vxlan",
            {
                **{1: number(7), 7: b"\0", 10: b"\0\x2a\x10\x68", 13: b"\1", 15: b"\x12\xb5", 23: b""},
                16: b"\x20\1\x0d\xb8" + bytes(11) + b"\x09",
            },
            {13: b"\0"},
            "notifications no l2-miss, not l2-miss",
        ),
    ],
)
def test_a_tunnel_has_its_id_ends_and_keys(
    keys: Section, kind: str, data: Mapping[int, bytes], wrong: Mapping[int, bytes], what: str
) -> None:
    def of(values: Mapping[int, bytes]) -> list[tuple[str, str, bool]]:
        link = replace(BR0, name="t0", kind=kind, data=values)
        return found({"tunnels": {"t0": keys}}, KernelNetwork(links=(link,)))

    assert of(data) == []
    assert of({**data, **wrong}) == [("NetworkDiffers", f"t0 has the {what}", True)]
    assert of({}) == [] or kind == "vxlan", "what the kernel does not tell is not judged"


DHCP: Section = {"ethernets": {"eth0": {"dhcp4": True, "dhcp6": True}}}
LOCAL = KernelAddress(index=2, address="fe80::1/64", local=True)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_server_that_does_not_answer_is_waited_for_and_then_a_fault(renderer: str) -> None:
    kernel = KernelNetwork(links=(ETH0,), addresses=(LOCAL,))

    assert found(DHCP, kernel, renderer, age=DHCP_SEC - 1) == [
        ("NetworkWaits", "eth0 waits for an address of IPv4 and IPv6 from a server", False)
    ]
    assert found(DHCP, kernel, renderer, age=DHCP_SEC) == [
        ("NetworkDiffers", "eth0 has no address of IPv4 and IPv6: no server has answered", True)
    ]
    one = replace(kernel, addresses=(LOCAL, KernelAddress(index=2, address="192.0.2.9/24", local=False)))
    assert [code for code, _, _ in found(DHCP, one, renderer, age=DHCP_SEC)] == ["NetworkWaits"]
    unplugged = replace(kernel, links=(replace(ETH0, carrier=False),))
    assert [fault for _, _, fault in found(DHCP, unplugged, renderer, age=DHCP_SEC)] == [False]


def test_a_server_has_time_to_answer_after_a_cable_was_connected() -> None:
    kernel = KernelNetwork(links=(ETH0,), addresses=(LOCAL,))
    file = "/run/systemd/network/10-ordain-eth0.network"

    for age, fault in ((1.0, False), (DHCP_SEC, True)):
        assert [f for _, _, f in found(DHCP, kernel, states={2: LinkState(file=file, age=age)})] == [fault]


@pytest.mark.parametrize("renderer", ["networkd", "ifupdown"])
def test_an_optional_device_may_be_missing_and_wait_for_ever(renderer: str) -> None:
    optional: Section = {"ethernets": {"eth0": {"dhcp4": True, "optional": True}}}

    for kernel in (KernelNetwork(links=(BR0,)), KernelNetwork(links=(ETH0,))):
        assert [fault for _, _, fault in found(optional, kernel, renderer)] == [False]


BRIDGE: Section = {"ethernets": {"eth0": {}}, "bridges": {"br0": {"interfaces": ["eth0"], "addresses": ["10.0.0.1/8"]}}}


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_bridge_exists_and_has_its_ports(renderer: str) -> None:
    address = KernelAddress(index=3, address="10.0.0.1/8", local=False)
    kernel = KernelNetwork(links=(replace(ETH0, master=3), BR0), addresses=(address,))

    assert found(BRIDGE, kernel, renderer) == []
    assert found(BRIDGE, replace(kernel, links=(ETH0, BR0)), renderer) == [
        ("NetworkDiffers", "eth0 is not in br0", True)
    ]
    assert ("DeviceMissing", "the network device br0 does not exist", True) in found(
        BRIDGE, replace(kernel, links=(ETH0,)), renderer
    )


def test_networkd_gives_addresses_to_a_bridge_without_carrier() -> None:
    kernel = KernelNetwork(links=(replace(ETH0, master=3), replace(BR0, carrier=False)))

    assert found(BRIDGE, kernel) == [("NetworkDiffers", "br0 does not have the address 10.0.0.1/8", True)]
    assert [code for code, _, _ in found(BRIDGE, kernel, "NetworkManager")] == ["NetworkWaits"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_an_mtu_is_read_back(renderer: str) -> None:
    wanted = {"ethernets": {"eth0": {"mtu": 9000}}}

    assert found(wanted, KernelNetwork(links=(ETH0,)), renderer) == [
        ("NetworkDiffers", "eth0 has the MTU 1500, not 9000", True)
    ]
    assert found(wanted, KernelNetwork(links=(replace(ETH0, mtu=9000),)), renderer) == []


@pytest.mark.parametrize("renderer", ["networkd", "NetworkManager"])
def test_an_interface_is_found_by_its_hardware_address(renderer: str) -> None:
    wanted = {"ethernets": {"lan": {"match": {"macaddress": "52:54:00:00:00:01"}, "addresses": ["192.0.2.2/24"]}}}

    assert found(wanted, AS_TOLD, renderer) == []
    (missing,) = found(wanted, KernelNetwork(links=(BR0,)), renderer)
    assert missing[1] == "there is no network interface with the MAC address 52:54:00:00:00:01"


def test_the_state_of_systemd_networkd_counts() -> None:
    ours = "/run/systemd/network/10-ordain-eth0.network"

    assert found(STATIC, AS_TOLD, states={2: LinkState(administrative="configured", file=ours)}) == []
    assert found(STATIC, AS_TOLD, states={2: LinkState(administrative="failed", file=ours)}) == [
        ("DeviceFailed", "systemd-networkd failed to configure eth0", True)
    ]
    other = LinkState(administrative="configured", file="/etc/systemd/network/05-eth0.network")
    assert found(STATIC, AS_TOLD, states={2: other}) == [
        (
            "NetworkDiffers",
            "eth0 is configured by /etc/systemd/network/05-eth0.network, not by the documents",
            True,
        )
    ]


def test_a_pattern_is_judged_for_the_interfaces_that_networkd_uses_it_for() -> None:
    wanted = {"ethernets": {"all": {"match": {"name": "eth*"}, "dhcp4": True}, "eth0": {}}}
    eth1 = replace(ETH0, index=4, name="eth1")
    state = LinkState(file="/run/systemd/network/11-ordain-all.network")
    kernel = KernelNetwork(links=(ETH0, eth1, replace(ETH0, index=5, name="eth5")))

    assert found(wanted, kernel, states={4: state}) == [
        ("NetworkDiffers", "eth1 has no address of IPv4: no server has answered", True)
    ]


def test_a_device_that_an_administrator_brings_up_is_left_alone() -> None:
    assert found({"ethernets": {"eth0": {"activation-mode": "manual", "dhcp4": True}}}, KernelNetwork()) == []


@pytest.mark.parametrize(("renderer", "remedy"), [("networkd", "networkctl reconfigure eth0"), ("ifupdown", "ifup")])
def test_a_difference_names_place_and_remedy(tmp_path: Path, renderer: str, remedy: str) -> None:
    generation = generation_of(STATIC, renderer)
    for device in expected_devices(generation):
        placed = tmp_path / device.path.lstrip("/")
        placed.parent.mkdir(parents=True)
        placed.touch()
        os.utime(placed, (time.time() - 1000,) * 2)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/uptime").write_text("5000.0 1.0\n")
    kernel = replace(AS_TOLD, addresses=(SIX,))

    (only,) = network_differences(generation, lambda: kernel, tmp_path)

    assert only.condition.what.startswith("x.json:1: eth0 does not have the address 192.0.2.2/24")
    assert remedy in only.condition.hint
    assert (only.pointer, only.actual) == ("network/ethernets/eth0/addresses", "2001:db8::2/64")
    assert only.condition.item == "network/ethernets/eth0"


@pytest.mark.parametrize("renderer", ["networkd", "NetworkManager", "ifupdown"])
def test_a_program_that_does_not_run_is_the_remedy(tmp_path: Path, renderer: str) -> None:
    generation = generation_of(STATIC, renderer)
    kernel = replace(AS_TOLD, addresses=(SIX,))
    device = expected_devices(generation)[0]
    unit = UNITS[device.program]

    running, *_ = network_differences(generation, lambda: kernel, tmp_path)
    idle, *_ = network_differences(generation, lambda: kernel, tmp_path, {unit})

    assert "ordainctl apply" in running.condition.hint
    assert running.file_changes
    assert idle.condition.hint == f"{unit} does not run, so nothing configures it: run `systemctl start {unit}`"
    assert not idle.file_changes
    assert not idle.path


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        (
            "/etc/systemd/network/05-eth0.network",
            "remove /etc/systemd/network/05-eth0.network and run `networkctl reload`",
        ),
        (
            "/etc/systemd/network/10-ordain-eth0.network.d/mine.conf",
            "systemd-networkd also reads /etc/systemd/network/10-ordain-eth0.network.d/mine.conf: correct it",
        ),
    ],
)
def test_a_file_of_an_administrator_is_named_and_no_apply_is_blamed_for_it(
    tmp_path: Path, file: str, hint: str
) -> None:
    generation = generation_of(STATIC)
    path = tmp_path / file[1:]
    path.parent.mkdir(parents=True)
    path.touch()
    used = file if file.endswith(".network") else "/run/systemd/network/10-ordain-eth0.network"
    state = tmp_path / "run/systemd/netif/links/2"
    state.parent.mkdir(parents=True)
    state.write_text(f"ADMIN_STATE=configured\nNETWORK_FILE={used}\n")
    kernel = replace(AS_TOLD, addresses=(SIX,))

    (only,) = network_differences(generation, lambda: kernel, tmp_path)

    assert only.condition.fault
    assert only.condition.hint.startswith(hint)
    devices = expected_devices(generation)
    assert not faults_of_apply(findings(devices, kernel, link_states(tmp_path, kernel), {}))
    assert faults_of_apply(findings(devices, kernel, {}, {}))


def test_a_machine_without_network_in_its_documents_is_not_read(tmp_path: Path) -> None:
    def fail() -> KernelNetwork:
        raise AssertionError

    assert list(network_differences(generation_of({}), fail, tmp_path)) == []
    assert network_reader(tmp_path)() is None


def test_only_changed_devices_must_come_up() -> None:
    old = generation_of({"ethernets": {"eth0": {}, "eth1": {"dhcp4": True}}})
    new = generation_of({"ethernets": {"eth0": {"mtu": 1400}, "eth1": {"dhcp4": True}}, "dummy-devices": {"dm": {}}})

    assert [device.item for device in changed_devices(old, new)] == [
        *("network/dummy-devices/dm", "network/ethernets/eth0"),
    ]


class NoUnits:
    """A PID 1 in which no program of the network runs."""

    async def list_units(self, names: object) -> dict[str, object]:
        return {}


@pytest.mark.parametrize(
    ("network", "kernel", "failed"),
    [
        (BRIDGE, KernelNetwork(links=(ETH0,)), ["network/bridges/br0"]),
        (STATIC, KernelNetwork(links=(ETH0,)), ["network/ethernets/eth0"]),
        (STATIC, KernelNetwork(links=(replace(ETH0, carrier=False),)), []),
        (STATIC, KernelNetwork(links=(BR0,)), []),
        (DHCP, KernelNetwork(links=(ETH0,)), []),
    ],
)
def test_an_apply_fails_if_a_device_does_not_come_up_and_not_for_missing_hardware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Section, kernel: KernelNetwork, failed: list[str]
) -> None:
    monkeypatch.setattr("ordain.agent.apply.network.network_reload.SETTLE_SEC", 0.2)
    old, new = generation_of({}), generation_of(network)
    reload = NetworkReload(NoUnits(), tmp_path, lambda: kernel)  # type: ignore[arg-type]

    verdicts = asyncio.run(reload.apply(old, new, Plan()))

    assert [verdict.unit for verdict in verdicts if verdict.unit in failed] == failed
    assert all(verdict.blamed for verdict in verdicts)
    assert bool(verdicts) == bool(failed)


@pytest.mark.parametrize("what", ["its own file", "another entry"])
def test_a_device_whose_file_was_placed_again_a_moment_ago_is_repaired_at_once(tmp_path: Path, what: str) -> None:
    old = new = generation_of(STATIC)
    if what == "another entry":
        new = generation_of({**STATIC, "dummy-devices": {"dm": {}}})
    (device,) = expected_devices(old)
    file = tmp_path / device.path.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text(device.configuration)
    changes = (Change(unit=device.path, key="type"), Change(unit=device.item, key="eth0 addresses"))
    plan = Plan(files=(FileChange(path=device.path, what=FileAction.CHANGED, item=device.item, changes=changes),))
    reload = NetworkReload(NoUnits(), tmp_path, lambda: KernelNetwork(links=(ETH0,)))  # type: ignore[arg-type]

    verdicts = asyncio.run(reload.apply(old, new, plan, rolls_back=True))

    assert {verdict.what for verdict in verdicts} == {"systemd-networkd.service does not run, so nothing configures it"}
    assert {verdict.unit for verdict in verdicts} == {device.item}


def test_the_network_of_this_machine_can_be_read() -> None:
    kernel = read_kernel_network()

    assert kernel is not None
    (lo,) = (link for link in kernel.links if link.name == "lo")
    assert lo.index == 1


def test_a_connection_comes_up_after_the_one_that_it_is_stacked_on() -> None:
    network: Section = {
        "ethernets": {"zz": {"match": {"macaddress": "52:54:00:00:00:01"}}, "yy": {}},
        "vlans": {"aa": {"id": 5, "link": "zz"}},
        "bridges": {"xx": {"interfaces": ["yy"]}},
    }

    change = network_change(generation_of({}), generation_of(network, "NetworkManager"))

    names = [path.rpartition("ordain-")[2].partition(".")[0] for path in change.profiles]
    assert names.index("zz") < names.index("aa")
    assert names.index("xx") < names.index("yy")


def expected(network: Section, renderer: str) -> dict[str, ExpectedDevice]:
    return {device.item: device for device in expected_devices(generation_of(network, renderer))}


@pytest.mark.parametrize("renderer", RENDERERS)
def test_every_program_is_expected_to_do_the_same(renderer: str) -> None:
    network: Section = {
        "ethernets": {"eth0": {"addresses": ["192.0.2.2/24"], "mtu": 1400}, "eth1": {"dhcp4": True}},
        "vlans": {"v5": {"id": 5, "link": "eth0", "addresses": ["10.5.0.1/24"], "gateway4": "10.5.0.254"}},
    }

    devices = expected(network, renderer)

    eth0, v5 = devices["network/ethernets/eth0"], devices["network/vlans/v5"]
    assert (eth0.name, eth0.addresses, eth0.mtu, eth0.virtual) == ("eth0", ("192.0.2.2/24",), 1400, False)
    assert devices["network/ethernets/eth1"].dhcp == (4,)
    assert (v5.addresses, [str(route) for route in v5.routes], v5.virtual) == (
        *(("10.5.0.1/24",), ["0.0.0.0/0 via 10.5.0.254"], True),
    )
