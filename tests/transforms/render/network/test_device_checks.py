"""Devices that a renderer or the kernel would refuse, change or ignore are refused beforehand, with the reason."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.render.network.network_manager import connection_uuid
from support.network.network_compile import Section, compiled, refusals

RENDERERS = ("networkd", "NetworkManager", "ifupdown")
MAC = {"macaddress": "52:54:00:12:34:56"}
PORTS: Section = {"eth0": {}, "eth1": {}}


def content(network: Section, renderer: str, name: str) -> str:
    """Return the file whose name ends in ``name``."""
    files, problems = compiled(network, renderer)
    assert refusals(problems) == []
    (text,) = (text for path, text in files.items() if path.endswith(f"ordain-{name}"))
    return text


def reasons(network: Section, renderer: str) -> list[str]:
    """Return the texts of the problems that block, without the devices that only need a blocked one."""
    return [problem.what for problem in refusals(compiled(network, renderer)[1]) if problem.code != "Needs"]


@pytest.mark.parametrize(
    ("kind", "device"),
    [("vlans", {"id": 2, "link": "lan"}), ("tunnels", {"mode": "vxlan", "id": 5, "remote": "10.9.9.2", "link": "lan"})],
)
@pytest.mark.parametrize(
    ("lan", "parent"),
    [
        ({}, "lan"),
        ({"match": MAC}, connection_uuid("ethernets", "lan")),
        ({"match": {"name": "someIface"}}, connection_uuid("ethernets", "lan")),
        ({"match": MAC, "set-name": "eth9"}, connection_uuid("ethernets", "lan")),
    ],
)
def test_a_keyfile_names_the_device_below_so_that_network_manager_finds_it(
    kind: str, device: Section, lan: Section, parent: str
) -> None:
    made = content({"ethernets": {"lan": lan}, kind: {"top": device}}, "NetworkManager", "top.nmconnection")

    assert f"\nparent={parent}\n" in made


RENAMED: Section = {
    "ethernets": {"lan": {"match": MAC, "set-name": "eth9"}, "wan": {"match": {"name": "eth8"}}},
    "bonds": {"bo0": {"interfaces": ["lan", "wan"], "parameters": {"mode": "active-backup", "primary": "lan"}}},
}


def test_the_primary_port_of_a_bond_is_an_interface_name() -> None:
    assert "\nprimary=eth9\n" in content(RENAMED, "NetworkManager", "bo0.nmconnection")
    without_name = {**RENAMED, "ethernets": {"lan": {"match": MAC}, "wan": {}}}
    assert reasons(without_name, "NetworkManager") == [
        "NetworkManager does not support a primary port without `set-name`, whose interface name is not known"
    ]


def test_ifupdown_gets_the_interface_names_of_ports_and_of_the_device_below() -> None:
    files, problems = compiled({**RENAMED, "vlans": {"v5": {"id": 5, "link": "lan"}}}, "ifupdown")

    assert refusals(problems) == []
    stanzas = files["/etc/network/interfaces.d/ordain"]
    assert "pre-up ip link add link eth9 name v5 type vlan id 5\n" in stanzas
    assert "pre-up ip link set dev eth9 master bo0\n" in stanzas
    assert "pre-up ip link set dev eth8 master bo0\n" in stanzas
    assert "type bond primary eth9\n" in stanzas
    assert " lan" not in stanzas.replace("/lan", "")


def test_an_empty_match_is_about_every_interface_that_no_other_device_names() -> None:
    network = {"ethernets": {"all": {"match": {}, "dhcp4": True}, "eth0": {"dhcp4": False}}}

    files, problems = compiled(network)
    assert refusals(problems) == []
    everything = files["/run/systemd/network/11-ordain-all.network"]
    assert "\nName=*\n" in everything
    assert sorted(files)[0] == "/run/systemd/network/10-ordain-eth0.network"

    keyfile = content(network, "NetworkManager", "all.nmconnection")
    assert "interface-name" not in keyfile
    assert "\nmulti-connect=3\nautoconnect-priority=-1\n" in keyfile


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (
            {"ethernets": {"eth0": {"routes": [{"to": "1.2.3.0/24", "via": "5.6.7.8", "type": "blackhole"}]}}},
            "a route of type blackhole has no gateway",
        ),
        (
            {"tunnels": {"vx": {"mode": "vxlan", "id": 1, "remote": "192.0.2.1", "port-range": ["100", "10"]}}},
            "port-range is not the lowest and the highest port",
        ),
        (
            {"tunnels": {"vx": {"mode": "vxlan", "id": 1, "remote": "192.0.2.1", "local": "2001:db8::1"}}},
            "the ends of a VXLAN have addresses of both families",
        ),
        (
            {"ethernets": PORTS, "bonds": {"bo0": {"parameters": {"mode": "active-backup", "primary": "eth0"}}}},
            "eth0 is not a port of bo0",
        ),
        (
            {
                "ethernets": PORTS,
                "bridges": {"br0": {"interfaces": ["eth1"], "parameters": {"path-cost": {"eth0": 5}}}},
            },
            "eth0 is not a port of br0",
        ),
        (
            {"ethernets": PORTS, "bridges": {"br0": {"interfaces": [], "parameters": {"port-priority": {"e": 5}}}}},
            "e is not a port of br0",
        ),
        (
            {"ethernets": {"eth0": {"ipv6-address-token": "::2", "ipv6-address-generation": "eui64"}}},
            "ipv6-address-generation has no effect with ipv6-address-token",
        ),
        ({"bridges": {"br0": {"parameters": {"max-age": "2s"}}}}, "max-age of a bridge is from 6 s to 40 s"),
        (
            {"ethernets": {"eth0": {"dhcp6": True, "link-local": []}}},
            "dhcp6 needs link-local addresses of IPv6",
        ),
        (
            {"tunnels": {"t0": {"mode": "ipip", "local": "192.0.2.1", "remote": "192.0.2.2", **MAC}}},
            "macaddress has no meaning in a tunnel of mode ipip",
        ),
        ({"ethernets": {"eth0": {"hairpin": True}}}, "hairpin is only for a port of a bridge"),
    ],
)
@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_device_that_cannot_work_is_refused_by_every_renderer(network: Section, what: str, renderer: str) -> None:
    assert what in reasons(network, renderer)


ALL, NONE = {"networkd", "NetworkManager", "ifupdown"}, set[str]()


@pytest.mark.parametrize(
    ("parameters", "warned"),
    [
        ({"mode": "active-backup"}, {"networkd", "ifupdown"}),
        ({"mode": "active-backup", "mii-monitor-interval": 0}, ALL),
        ({"mode": "active-backup", "mii-monitor-interval": "100ms"}, NONE),
        ({"mode": "active-backup", "arp-interval": 100, "arp-ip-targets": ["192.0.2.1"]}, NONE),
        ({"mode": "802.3ad"}, NONE),
        ({"mode": "balance-alb"}, NONE),
    ],
)
@pytest.mark.parametrize("renderer", sorted(ALL))
def test_a_bond_that_never_fails_over_is_a_warning(parameters: Section, warned: set[str], renderer: str) -> None:
    """The kernel checks links by itself in the modes without ARP, and NetworkManager in every mode."""
    bond: Section = {"interfaces": ["eth0", "eth1"], "parameters": parameters}
    _, problems = compiled({"renderer": renderer, "ethernets": PORTS, "bonds": {"bo0": bond}})

    assert refusals(problems) == []
    assert [problem.what for problem in problems if "never changes" in problem.what] == (
        ["nothing checks the links of the bond, so that it never changes to another port"] * (renderer in warned)
    )


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"mode": "balance-rr", "primary": "eth0"}, "a bond of mode balance-rr has no primary"),
        ({"primary": "eth0"}, "a bond of mode balance-rr has no primary"),
        (
            {"mode": "active-backup", "mii-monitor-interval": 9, "lacp-rate": "fast"},
            "a bond of mode active-backup has no lacp-rate",
        ),
        (
            {"mode": "active-backup", "mii-monitor-interval": 9, "packets-per-slave": 3},
            "a bond of mode active-backup has no packets-per-member",
        ),
        ({"mode": "active-backup", "arp-interval": 100}, "arp-interval has no effect without arp-ip-targets"),
        ({"arp-ip-targets": ["192.0.2.1"]}, "arp-ip-targets has no effect without arp-interval"),
        ({"mode": "balance-xor", "up-delay": 100}, "up-delay has no effect without mii-monitor-interval"),
    ],
)
def test_an_option_that_a_bond_ignores_is_a_warning_and_blocks_where_the_program_refuses_it(
    parameters: Section, what: str
) -> None:
    network = {"ethernets": PORTS, "bonds": {"bo0": {"interfaces": ["eth0", "eth1"], "parameters": parameters}}}

    _, problems = compiled(network)
    assert refusals(problems) == []
    assert [problem.what for problem in problems] == [what]
    assert f"NetworkManager refuses the bond: {what}" in reasons(network, "NetworkManager")
    assert f"ip refuses the bond: {what}" in reasons(network, "ifupdown")


@pytest.mark.parametrize(
    ("device", "what"),
    [
        ({"routes": [{"to": "2001:db8:1::/64", "via": "2001:db8::1"}]}, "IPv6"),
        ({"addresses": ["192.0.2.1/24"], "routes": [{"to": "::/0", "via": "fe80::1"}]}, "IPv6"),
        ({"addresses": ["2001:db8::2/64"], "routes": [{"to": "10.0.0.0/8", "via": "192.0.2.1"}]}, "IPv4"),
        ({"addresses": ["2001:db8::2/64"], "gateway4": "192.0.2.1"}, "IPv4"),
    ],
)
def test_network_manager_needs_an_address_for_a_route(device: Section, what: str) -> None:
    assert reasons({"ethernets": {"eth0": device}}, "NetworkManager") == [
        f"NetworkManager sets no route of {what} on a device without {what}"
    ]


def test_a_gateway_without_static_address_is_a_route_for_network_manager() -> None:
    keyfile = content(
        {"ethernets": {"eth0": {"dhcp4": True, "gateway4": "192.0.2.1", "routes": [{"to": "10.0.0.0/8"}]}}},
        "NetworkManager",
        "eth0.nmconnection",
    )

    assert "\nroute1=10.0.0.0/8\n" in keyfile
    assert "\nroute2=0.0.0.0/0,192.0.2.1\n" in keyfile
    assert "\ngateway=" not in keyfile


@pytest.mark.parametrize(
    ("device", "privacy"),
    [
        ({"dhcp6": True}, "0"),
        ({"addresses": ["2001:db8::2/64"]}, "0"),
        ({"dhcp6": True, "ipv6-privacy": True}, "2"),
        ({"dhcp6": True, "ipv6-privacy": False}, "0"),
        ({"dhcp4": True}, ""),
    ],
)
def test_network_manager_uses_temporary_addresses_only_if_a_document_says_so(device: Section, privacy: str) -> None:
    keyfile = content({"ethernets": {"eth0": device}}, "NetworkManager", "eth0.nmconnection")

    assert [line[12:] for line in keyfile.splitlines() if line.startswith("ip6-privacy=")] == [privacy] * bool(privacy)


@pytest.mark.parametrize("key", ["advertised-mss", "advmss"])
def test_both_names_of_a_key_have_one_canonical_form(key: str) -> None:
    route = {"to": "198.51.100.0/24", "via": "192.0.2.1", key: 1400}
    device = {"addresses": ["192.0.2.2/24"], "routes": [route]}

    made = content({"ethernets": {"eth0": device}}, "networkd", "eth0.network")

    assert "\nTCPAdvertisedMaximumSegmentSize=1400\n" in made


def test_a_layer_overrides_a_key_by_its_other_name() -> None:
    text = """\
ordain: v1
kind: Layer
name: low
network: {bridges: {br0: {parameters: {aging-time: 7s}}}}
---
ordain: v1
kind: Layer
name: high
tier: role
match: {os: debian}
network: {bridges: {br0: {parameters: {ageing-time: 9s}}}}
"""
    documents, wrong = read("x.yaml", text.encode())
    assert wrong == ()
    resolved = compile(documents, facts_for("debian-13"), shipped=shipped()).resolved

    parameters = resolved.tree.branch("network").branch("bridges").branch("br0").branch("parameters")
    assert [(key, leaf.value) for key, leaf in parameters.leaves()] == [("ageing-time", "9s")]


def test_a_key_under_both_names_is_a_problem() -> None:
    network = {"bridges": {"br0": {"parameters": {"aging-time": 7, "ageing-time": 9}}}}

    (only,) = compiled(network)[1]
    assert only.what == "ageing-time is set twice, under two names of the key"


def test_a_kind_sets_the_renderer_of_its_devices() -> None:
    network = {
        "ethernets": {"renderer": "NetworkManager", "eth0": {}, "eth1": {"renderer": "networkd"}},
        "dummy-devices": {"dm0": {}},
    }

    files, problems = compiled(network)

    assert refusals(problems) == []
    assert sorted(files) == [
        "/run/NetworkManager/system-connections/ordain-eth0.nmconnection",
        "/run/systemd/network/10-ordain-dm0.netdev",
        "/run/systemd/network/10-ordain-dm0.network",
        "/run/systemd/network/10-ordain-eth1.network",
    ]


LOGIN = {"key-management": "802.1x", "method": "peap", "identity": "me", "password": "pw", "phase2-auth": "mschapv2"}
WIFI = {"access-points": {"home": {"password": "secret-word"}}}


@pytest.mark.parametrize(
    ("network", "renderer", "what"),
    [
        ({"wifis": {"wlan0": WIFI}}, "networkd", "networkd does not connect to Wi-Fi networks"),
        ({"wifis": {"wlan0": WIFI}}, "ifupdown", "ifupdown does not support wifis"),
        ({"modems": {"wan": {"apn": "internet"}}}, "networkd", "networkd does not support modems"),
        ({"modems": {"wan": {"apn": "internet"}}}, "ifupdown", "ifupdown does not support modems"),
        ({"modems": {"wan": {}}}, "NetworkManager", "a modem needs the settings of its provider"),
        ({"ethernets": {"eth0": {"auth": LOGIN}}}, "networkd", "networkd does not log in to networks (802.1X)"),
        ({"ethernets": {"eth0": {"auth": LOGIN}}}, "ifupdown", "ifupdown does not support auth"),
        (
            {"ethernets": {"eth0": {"auth": {"key-management": "802.1x", "method": "tls", "identity": "me"}}}},
            "NetworkManager",
            "the method tls needs client-certificate",
        ),
        (
            {"wifis": {"wlan0": {"access-points": {"home": {"password": "short"}}}}},
            "NetworkManager",
            "a shared key of WPA has 8 to 63 characters",
        ),
        (
            {"wifis": {"wlan0": {"access-points": {"home": {"channel": 1}}}}},
            "NetworkManager",
            "NetworkManager needs the band of a channel",
        ),
        (
            {"wifis": {"wlan0": {"access-points": {"home": {"band": "5GHz", "channel": 18}}}}},
            "NetworkManager",
            "the band 5GHz has no channel 18",
        ),
        (
            {"wifis": {"wlan0": {**WIFI, "regulatory-domain": "DE"}}},
            "NetworkManager",
            "NetworkManager does not support regulatory-domain",
        ),
        ({"wifis": {"wlan0": {"access-points": {}}}}, "NetworkManager", "the key access-points is missing"),
        ({"wifis": {"wlan0": {"dhcp4": True}}}, "NetworkManager", "the key access-points is missing"),
        (
            {"ethernets": {"ib0": {"infiniband-mode": "connected"}}},
            "networkd",
            "networkd ignores the mode of an InfiniBand device",
        ),
        (
            {"ethernets": {"ib0": {"infiniband-mode": "connected", "match": MAC}}},
            "NetworkManager",
            "NetworkManager finds InfiniBand by an address of 20 bytes, and other devices by one of 6",
        ),
        (
            {"ethernets": {"ib0": {}}, "infiniband-partitions": {"storage": {"link": "ib0", "partition-key": 5}}},
            "NetworkManager",
            "NetworkManager gives the partition the name ib0.8005",
        ),
        (
            {"ethernets": {"pf": {"virtual-function-count": 4}}},
            "ifupdown",
            "ifupdown does not support virtual-function-count",
        ),
        (
            {"ethernets": {"pf": {"embedded-switch-mode": "switchdev"}}},
            "networkd",
            "no network service sets embedded-switch-mode",
        ),
        (
            {"bonds": {"bo0": {}}, "ethernets": {"vf": {"link": "bo0"}}},
            "NetworkManager",
            "bo0 is not one of network/ethernets",
        ),
        ({"ethernets": {"lo": {"dhcp4": True}}}, "networkd", "lo cannot have dhcp4"),
        ({"ethernets": {"e": {"match": {"name": "lo"}, "dhcp4": True}}}, "networkd", "lo cannot have dhcp4"),
        (
            {"ethernets": {"e": {"match": {"name": "lo", "macaddress": "02:00:00:00:00:01"}}}},
            "NetworkManager",
            "lo cannot be found by macaddress",
        ),
        (
            {"ethernets": {"e": {"match": {"name": "lo"}}}},
            "ifupdown",
            "ifupdown does not support lo, as it would take it down",
        ),
        ({"ethernets": {"lo": {}}}, "ifupdown", "ifupdown does not support lo, as it would take it down"),
    ],
)
def test_a_setting_that_a_renderer_does_not_have_is_named(network: Section, renderer: str, what: str) -> None:
    assert what in reasons(network, renderer)


PARTITION: Section = {
    "ethernets": {"ib0": {}},
    "infiniband-partitions": {
        "ib0.8001": {
            "link": "ib0",
            "partition-key": 0x8001,
            "infiniband-mode": "connected",
            "addresses": ["10.0.0.1/8"],
        }
    },
}


def test_a_partition_of_infiniband_is_made_by_every_renderer() -> None:
    assert "\n[IPoIB]\n# x.json:1 x network/infiniband-partitions/ib0.8001/partition-key\nPartitionKey=32769\n" in (
        content(PARTITION, "networkd", "ib0.8001.netdev")
    )
    assert "\nIPoIB=ib0.8001\n" in content(PARTITION, "networkd", "ib0.network")
    keyfile = content(PARTITION, "NetworkManager", "ib0.8001.nmconnection")
    assert "\ntransport-mode=connected\n" in keyfile
    assert "\np-key=32769\n" in keyfile
    assert "\nparent=ib0\n" in keyfile
    files, _ = compiled(PARTITION, "ifupdown")
    made = "ip link add link ib0 name ib0.8001 type ipoib pkey 0x8001 mode connected\n"
    assert made in files["/etc/network/interfaces.d/ordain"]


def test_virtual_functions_of_sriov_are_made_by_udev_or_network_manager() -> None:
    network: Section = {"ethernets": {"pf": {"virtual-function-count": 4}, "vf": {"link": "pf", "dhcp4": True}}}

    assert "\nSR-IOVVirtualFunctions=4\n" in content(network, "networkd", "pf.link")
    assert "\n[sriov]\n" in content(network, "NetworkManager", "pf.nmconnection")
    assert not any(path.endswith("pf.link") for path in compiled(network, "NetworkManager")[0])


@pytest.mark.parametrize(("name", "match"), [("lo", {}), ("back", {"match": {"name": "lo"}})])
def test_lo_can_have_addresses(name: str, match: Section) -> None:
    network: Section = {"ethernets": {name: {"addresses": ["192.0.2.1/32"], **match}}}

    assert "\nName=lo\n" in content(network, "networkd", f"{name}.network")
    keyfile = content(network, "NetworkManager", f"{name}.nmconnection")
    assert "\ntype=loopback\ninterface-name=lo\n" in keyfile
    assert "[ethernet]" not in keyfile


def test_a_password_in_a_document_is_a_warning_and_its_keyfile_is_private() -> None:
    files, problems = compiled({"wifis": {"wlan0": WIFI}}, "NetworkManager")

    assert [(problem.code, problem.what) for problem in problems] == [
        ("Secret", "everybody who reads the documents knows this password")
    ]
    assert sum("psk=secret-word" in text for text in files.values()) == 1


def test_each_network_of_a_wifi_has_a_keyfile_of_its_own() -> None:
    network: Section = {"wifis": {"wlan0": {"access-points": {"home": {}, "a/b": {}, " x;y\\z ": {}}}}}

    files, problems = compiled(network, "NetworkManager")

    assert refusals(problems) == []
    ids = {line for text in files.values() for line in text.splitlines() if line.startswith("id=")}
    assert ids == {"id=ordain-wlan0/home", "id=ordain-wlan0/a/b", "id=ordain-wlan0/ x;y\\\\z\\s"}
    names = {line for text in files.values() for line in text.splitlines() if line.startswith("ssid=")}
    assert names == {"ssid=home", "ssid=a/b", "ssid=32;120;59;121;92;122;32;"}


def test_optional_addresses_are_read_and_have_no_effect() -> None:
    _, problems = compiled({"ethernets": {"eth0": {"optional-addresses": ["ipv4-ll"]}}})

    assert [problem.what for problem in problems] == [
        "optional-addresses has no effect: no network service has such a setting"
    ]


GRE = {"mode": "gre", "local": "192.0.2.1", "remote": "192.0.2.2"}


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (
            {"vlans": {"a": {"id": 5, "link": "b"}, "b": {"id": 6, "link": "a"}}},
            "it needs itself: it is linked with b",
        ),
        ({"bridges": {"b0": {"interfaces": ["b1"]}, "b1": {"interfaces": ["b0"]}}}, "it needs itself"),
        ({"vlans": {f"v{n}": {"id": n, "link": f"v{n + 1}"} for n in range(2000)}}, "it is stacked on more than 8"),
        (
            {"bridges": {"b0": {"interfaces": ["b1"]}, "b1": {}}},
            "it cannot be a port of b0: a bridge cannot be a port of a bridge",
        ),
        ({"bridges": {"b0": {"interfaces": ["g0"]}}, "tunnels": {"g0": GRE}}, "it cannot be a port of b0"),
        ({"tunnels": {"g0": GRE, "g1": GRE}}, "g0 has the same ends"),
        (
            {"ethernets": {"e": {}}, "vlans": {"a": {"id": 5, "link": "e"}, "b": {"id": 5, "link": "e"}}},
            "a has the same id on the same device",
        ),
        ({"vrfs": {"a": {"table": 5}, "b": {"table": 5}}}, "a has the same routing table"),
        ({"ethernets": {"e": {}, "lan": {"match": {"name": "e"}}}}, "e is about the same interface"),
        (
            {"ethernets": {"e": {"match": MAC, "set-name": "a0"}, "lan": {"match": MAC, "set-name": "a1"}}},
            "e matches the same interface",
        ),
        (
            {"ethernets": {"e": {"mtu": 1500}}, "vlans": {"a": {"id": 5, "link": "e", "mtu": 9000}}},
            "the MTU 9000 is larger than that of e, 1500",
        ),
        (
            {"ethernets": {"e": {"routes": [{"to": "10.0.0.0/8", "scope": "global"}]}}},
            "a route of scope global needs `via`",
        ),
    ],
)
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.thorough
def test_devices_that_the_kernel_does_not_allow_together_are_refused(
    network: Section, what: str, renderer: str
) -> None:
    assert any(reason.startswith(what) for reason in reasons(network, renderer))


def test_devices_that_only_look_alike_are_accepted() -> None:
    network: Section = {
        "ethernets": {
            "a": {"match": MAC},
            "b": {"match": {"macaddress": "52:54:00:12:34:57"}},
            "c": {"match": {"driver": "virtio_net"}},
            "d": {"match": {"name": "en*"}},
            "e": {"match": {"name": "en*", "driver": "e1000e"}},
        },
        "vlans": {"v5": {"id": 5, "link": "a"}, "w5": {"id": 5, "link": "b"}},
        "bridges": {"br0": {"interfaces": ["bo0"]}},
        "bonds": {"bo0": {"interfaces": ["v5"]}},
    }

    assert compiled(network)[1] == ()


def test_a_second_default_route_and_keys_without_dhcp_are_warnings() -> None:
    route = {"to": "default", "via": "192.0.2.1"}
    devices = {"a": {"routes": [route]}, "b": {"routes": [{**route, "metric": 7}]}, "c": {"routes": [route]}}

    _, problems = compiled({"ethernets": {**devices, "d": {"dhcp4-overrides": {"use-dns": False}}}})

    assert refusals(problems) == []
    assert [problem.what for problem in problems] == [
        "a has a default route of IPv4 with the same metric, in the same table",
        "dhcp4-overrides has no effect without dhcp4",
    ]


def warnings_of(network: Section) -> list[str]:
    _, problems = compiled(network)
    assert refusals(problems) == []
    return [problem.what for problem in problems if problem.code != "Deprecated"]


def test_a_gateway_that_the_kernel_refuses_is_warned_of() -> None:
    own = {"addresses": ["192.0.2.2/24"]}
    far = {"to": "10.0.0.0/8", "via": "198.51.100.1"}
    text = "the gateway 198.51.100.1 is in no network of the device, so that the kernel refuses the route"

    assert warnings_of({"ethernets": {"a": {**own, "routes": [far]}}}) == [text]
    assert warnings_of({"ethernets": {"a": {**own, "gateway4": "198.51.100.1"}}}) == [text]
    for device in (
        {**own, "routes": [{**far, "via": "192.0.2.1"}]},
        {**own, "routes": [{**far, "on-link": True}]},
        {**own, "routes": [{"to": "198.51.100.1/32"}, far]},
        {**own, "routes": [{"to": "198.51.100.7/24", "type": "unicast", "scope": "link"}, far]},
        {**own, "dhcp4": True, "routes": [far]},
        {"routes": [far]},
        {"addresses": ["2001:db8::2/64"], "routes": [{"to": "2001:db8:9::/48", "via": "fe80::1"}]},
    ):
        assert warnings_of({"ethernets": {"a": device}}) == []


def test_a_gateway_that_is_the_device_itself_is_warned_of() -> None:
    route = {"to": "10.6.0.0/16", "via": "10.20.0.1"}
    text = "the gateway 10.20.0.1 is an address of the device itself, so that the kernel refuses the route"

    assert warnings_of({"ethernets": {"a": {"addresses": ["10.20.0.1/24"], "routes": [route]}}}) == [text]
    assert warnings_of({"ethernets": {"a": {"addresses": ["10.20.0.2/24"], "routes": [route]}}}) == []


@pytest.mark.parametrize(
    ("address", "gateway", "refused"),
    [
        ("10.1.1.1/24", "10.1.1.255", True),
        ("10.1.1.1/24", "10.1.1.254", False),
        ("10.1.1.0/31", "10.1.1.1", False),
        ("2001:db8::1/64", "2001:db8::ffff:ffff:ffff:ffff", False),
    ],
)
def test_a_gateway_that_is_a_broadcast_address_is_warned_of(address: str, gateway: str, refused: bool) -> None:
    route = {"to": "default", "via": gateway}
    text = f"the gateway {gateway} is the broadcast address of a network, so that the kernel refuses the route"

    assert warnings_of({"ethernets": {"a": {"addresses": [address], "routes": [route]}}}) == ([text] if refused else [])


@pytest.mark.parametrize(
    ("mac", "possible"),
    [
        ("01:00:5e:00:00:01", False),
        ("ff:ff:ff:ff:ff:ff", False),
        ("00:00:00:00:00:00", False),
        ("52:54:00:12:34:56", True),
    ],
)
def test_a_mac_address_that_no_interface_can_have_is_refused(mac: str, possible: bool) -> None:
    _, problems = compiled({"ethernets": {"a": {"dhcp4": True, "macaddress": mac}}})

    assert bool(refusals(problems)) is not possible


def test_an_mtu_that_switches_ipv6_off_is_warned_of() -> None:
    (text,) = warnings_of({"ethernets": {"a": {"addresses": ["2001:db8::1/64"], "mtu": 1000}}})

    assert text.startswith("with an MTU below 1280, the kernel has no IPv6")
    assert warnings_of({"ethernets": {"a": {"addresses": ["192.0.2.1/24"], "mtu": 1000, "link-local": []}}}) == []
    assert warnings_of({"ethernets": {"a": {"addresses": ["2001:db8::1/64"], "mtu": 1280}}}) == []


def test_two_default_routes_of_one_device_and_one_address_of_two_devices_are_warned_of() -> None:
    route = {"to": "default", "via": "192.0.2.1"}
    a = {"addresses": ["192.0.2.2/24", "fe80::1/64"], "routes": [route, {**route, "via": "192.0.2.9"}]}

    found = warnings_of({"ethernets": {"a": a, "b": {"addresses": ["192.0.2.2/25", "fe80::1/64"]}}})

    assert found == [
        "the device has another default route of IPv4 with the same metric, in the same table",
        "a has the address 192.0.2.2, too",
    ]
    vrf = {"ethernets": {"a": {"addresses": ["192.0.2.2/24"]}, "b": {"addresses": ["192.0.2.2/24"]}}}
    assert warnings_of({**vrf, "vrfs": {"red": {"table": 9, "interfaces": ["b"]}}}) == []


@pytest.mark.parametrize("address", ["224.0.0.1/4", "0.0.0.0/0", "ff02::1/64", "::/0", "255.255.255.255/32"])
def test_an_address_of_no_host_is_refused(address: str) -> None:
    found = reasons({"ethernets": {"a": {"addresses": [address]}}}, "networkd")

    assert found == [f"{address} is not the address of an interface"]


def test_a_peer_and_its_networks_belong_together_once() -> None:
    one, two = "M9nt4YujIOmNrRmpIRTmYSfMdrpvE7u6WkG8FY8WjG4=", "rlbInAj0qV69CysWPQY7KEBnKxpYCpaWqOs/dLevdWc="

    def tunnel(*peers: tuple[str, str]) -> Section:
        rows = [{"keys": {"public": key}, "allowed-ips": [network]} for key, network in peers]
        return {"tunnels": {"w": {"mode": "wireguard", "keys": {"private": "/k"}, "peers": rows}}}

    assert warnings_of(tunnel((one, "10.0.0.1/8"), (two, "10.0.0.0/8"))) == [
        "another peer has the allowed network 10.0.0.0/8, and WireGuard gives it to the last one"
    ]
    assert reasons(tunnel((one, "10.0.0.0/8"), (one, "11.0.0.0/8")), "networkd") == [
        "another peer has the same public key, and WireGuard keeps one of them"
    ]
