"""The network section on booted machines: systemd-networkd reads the rendered files, and `ip` shows the result.

The test copies the files in. A device for which this kernel has no driver is skipped with that reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Severity
from rig.machine import Machine, Machines
from support.network import network_roots

pytestmark = pytest.mark.integration

SYSTEMS = {"bookworm": "debian-12", "trixie": "debian-13"}
PAIR = """\
  virtual-ethernets:
    left: {peer: right, mtu: 1400, macaddress: "52:54:00:00:00:01"%s}
    right: {peer: left}
"""
KEY = "4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8="
PUBLIC = "M9nt4YujIOmNrRmpIRTmYSfMdrpvE7u6WkG8FY8WjG4="

Give = Callable[[str], None]


@pytest.fixture
def networked(machines: Machines, suite: str) -> Machine:
    """Return a machine of each Debian with systemd-networkd, whose only interface is lo."""
    machine = machines(suite, bare=True)
    return machine.boot()


@pytest.fixture
def give(networked: Machine, suite: str) -> Give:
    """Return a function that lets systemd-networkd bring up the devices of a section ``network``."""

    def given(text: str) -> None:
        place(networked, text, SYSTEMS[suite])
        networked.run("systemctl", "restart", "systemd-networkd")

    return given


def place(machine: Machine, text: str, os: str) -> None:
    """Write the files that a section ``network`` is rendered to."""
    documents, wrong = read("net.yaml", f"ordain: v1\nkind: Layer\nname: net\nnetwork:\n{text}".encode())
    compiled = compile(documents, facts_for(os), shipped=shipped())
    assert wrong == ()
    assert [p for p in compiled.problems if p.severity is not Severity.WARNING] == []
    for artifact in (artifact for artifact in compiled.artifacts if isinstance(artifact, RegularFile)):
        machine.write(artifact.path, artifact.content)
        machine.path(artifact.path).chmod(artifact.mode)
        if artifact.group:
            machine.run("chgrp", artifact.group, artifact.path)


def ip(machine: Machine, *words: str) -> list[dict[str, Any]]:
    """Return the answer of `ip` as data."""
    answer: list[dict[str, Any]] = json.loads(
        machine.run("ip", "-json", "-details", *words, check=False).stdout or "[]"
    )
    return answer


def link(machine: Machine, name: str) -> dict[str, Any]:
    """Return the data of one device, or an empty mapping."""
    links = ip(machine, "link", "show", "dev", name)
    return links[0] if links else {}


def kind(machine: Machine, name: str) -> dict[str, Any]:
    """Return the kind of a device with its options, also those as a port."""
    info: dict[str, Any] = link(machine, name).get("linkinfo", {})
    return info


def addresses(machine: Machine, name: str) -> set[str]:
    """Return the addresses of a device without link-local ones."""
    links = ip(machine, "address", "show", "dev", name)
    infos = links[0]["addr_info"] if links else []
    return {f"{info['local']}/{info['prefixlen']}" for info in infos if info["scope"] == "global"}


def needs(machine: Machine, driver: str, *options: str) -> None:
    """Skip the test if this kernel has no driver."""
    made = machine.run("ip", "link", "add", "probe0", "type", driver, *options, check=False)
    if "Unknown device type" in made.stderr:
        pytest.skip(f"this kernel has no driver for {driver}")
    machine.run("ip", "link", "delete", "dev", "probe0", check=False)


def test_a_pair_has_its_addresses_and_properties(networked: Machine, give: Give) -> None:
    needs(networked, "veth")
    give(PAIR % ', addresses: [192.0.2.1/24, "2001:db8::1/64", 192.0.2.9/24: {label: "left:nine", lifetime: 0}]')

    wanted = {"192.0.2.1/24", "192.0.2.9/24", "2001:db8::1/64"}
    networked.until("left has its addresses", lambda: addresses(networked, "left") == wanted)

    left = link(networked, "left")
    assert (left["mtu"], left["address"], left["link"]) == (1400, "52:54:00:00:00:01", "right")
    (shown,) = ip(networked, "address", "show", "dev", "left")
    (nine,) = (info for info in shown["addr_info"] if info["local"] == "192.0.2.9")
    assert (nine["label"], nine.get("deprecated")) == ("left:nine", True)


def test_routes_and_rules_match_the_document(networked: Machine, give: Give) -> None:
    needs(networked, "veth")
    give(
        PAIR
        % """, addresses: [192.0.2.1/24, "2001:db8::1/64"], routes: [
      {to: default, via: 192.0.2.254, metric: 7}, {to: 198.51.100.0/24, via: 192.0.2.254, table: 100, mtu: 1300},
      {to: 203.0.113.0/24, via: 10.9.9.9, on-link: true, from: 192.0.2.1}, {to: 198.18.0.0/15, type: blackhole},
      {to: 100.64.0.0/10}, {to: "2001:db8:1::/48", via: "2001:db8::fe", advmss: 1200}],
      routing-policy: [{from: 192.0.2.0/24, to: 198.51.100.0/24, table: 100, priority: 50, mark: 9}]"""
    )

    def destinations() -> set[str]:
        four, six = ip(networked, "route", "show", "table", "all"), ip(networked, "-6", "route", "show")
        return {route["dst"] for route in (*four, *six)}

    wanted = {"default", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "100.64.0.0/10", "2001:db8:1::/48"}
    networked.until("the routes exist", lambda: wanted <= destinations())

    routes = {route["dst"]: route for route in ip(networked, "route", "show", "table", "all")}
    assert (routes["default"]["gateway"], routes["default"]["metric"]) == ("192.0.2.254", 7)
    assert (routes["198.51.100.0/24"]["table"], routes["198.51.100.0/24"]["metrics"]) == ("100", [{"mtu": 1300}])
    assert routes["203.0.113.0/24"]["prefsrc"] == "192.0.2.1"
    assert "onlink" in routes["203.0.113.0/24"]["flags"]
    assert routes["198.18.0.0/15"]["type"] == "blackhole"
    assert routes["100.64.0.0/10"]["scope"] == "link"
    (rule,) = (rule for rule in ip(networked, "rule", "show") if rule["priority"] == 50)
    assert (rule["src"], rule["srclen"], rule["dst"], rule["table"], rule["fwmark"]) == (
        *("192.0.2.0", 24, "198.51.100.0", "100", "0x9"),
    )


def test_a_bridge_has_its_ports_and_parameters(networked: Machine, give: Give) -> None:
    needs(networked, "bridge")
    give(
        PAIR % ", hairpin: true, port-mac-learning: false"
        + """\
  bridges:
    br0:
      interfaces: [left]
      addresses: [192.0.2.1/24]
      parameters: {stp: true, priority: 1000, forward-delay: 4, max-age: 8s, ageing-time: 50, path-cost: {left: 7}}
"""
    )

    networked.until("left is a port", lambda: link(networked, "left").get("master") == "br0")
    networked.until("br0 has its address", lambda: addresses(networked, "br0") == {"192.0.2.1/24"})
    networked.until("left has its cost", lambda: kind(networked, "left")["info_slave_data"]["cost"] == 7)

    bridge = kind(networked, "br0")["info_data"]
    assert (bridge["stp_state"], bridge["priority"], bridge["forward_delay"]) == (1, 1000, 400)
    assert (bridge["max_age"], bridge["ageing_time"]) == (800, 5000)
    port = kind(networked, "left")["info_slave_data"]
    assert (port["hairpin"], port["learning"]) == (True, False)


def test_a_vxlan_uses_its_device(networked: Machine, give: Give) -> None:
    needs(networked, "vxlan", "id", "9", "dstport", "4789")
    give(
        PAIR % ", addresses: [192.0.2.1/24]"
        + """\
  tunnels:
    vx7: {mode: vxlan, id: 7, link: left, remote: 239.0.0.7, port: 4789, ttl: 9, mac-learning: false, limit: 5,
      addresses: [10.7.0.1/24]}
"""
    )

    networked.until("vx7 has its address", lambda: addresses(networked, "vx7") == {"10.7.0.1/24"})

    vxlan = kind(networked, "vx7")["info_data"]
    assert (vxlan["id"], vxlan["link"], vxlan["group"], vxlan["port"]) == (7, "left", "239.0.0.7", 4789)
    assert (vxlan["ttl"], vxlan["learning"], vxlan["limit"]) == (9, False, 5)


def test_a_dummy_device_has_its_address(networked: Machine, give: Give) -> None:
    needs(networked, "dummy")
    give("  dummy-devices: {dm0: {addresses: [192.0.2.7/32]}}\n")

    networked.until("dm0 has its address", lambda: addresses(networked, "dm0") == {"192.0.2.7/32"})


def test_a_bond_has_its_members_and_parameters(networked: Machine, give: Give) -> None:
    needs(networked, "bond")
    give(
        PAIR % ""
        + """\
  bonds:
    bo0:
      interfaces: [left, right]
      addresses: [192.0.2.1/24]
      parameters: {mode: active-backup, primary: left, mii-monitor-interval: 200, up-delay: 400}
"""
    )

    networked.until(
        "bo0 has both members", lambda: {link(networked, n).get("master") for n in ("left", "right")} == {"bo0"}
    )
    bond = kind(networked, "bo0")["info_data"]
    assert (bond["mode"], bond["miimon"], bond["updelay"]) == ("active-backup", 200, 400)
    networked.until("left is primary", lambda: kind(networked, "bo0")["info_data"].get("primary") == "left")


def test_a_vlan_has_its_id(networked: Machine, give: Give) -> None:
    needs(networked, "vlan", "id", "9")
    give(PAIR % "" + "  vlans: {left.5: {id: 5, link: left, addresses: [192.0.2.5/24]}}\n")

    networked.until("left.5 has its address", lambda: addresses(networked, "left.5") == {"192.0.2.5/24"})
    assert kind(networked, "left.5")["info_data"]["id"] == 5
    assert link(networked, "left.5")["link"] == "left"


def test_a_vrf_has_its_member_and_routes(networked: Machine, give: Give) -> None:
    needs(networked, "vrf", "table", "9")
    give(
        PAIR % ", addresses: [192.0.2.1/24]"
        + "  vrfs: {blue: {table: 1000, interfaces: [left], routes: [{to: 198.51.100.0/24, type: unreachable}]}}\n"
    )

    networked.until("left is in blue", lambda: link(networked, "left").get("master") == "blue")
    assert kind(networked, "blue")["info_data"]["table"] == 1000
    networked.until("its route", lambda: bool(ip(networked, "route", "show", "table", "1000", "198.51.100.0/24")))


def test_wireguard_has_its_peers_and_its_key_is_private(networked: Machine, give: Give) -> None:
    needs(networked, "wireguard")
    give(
        f"""\
  tunnels:
    wg0:
      mode: wireguard
      key: {KEY}
      port: 51820
      addresses: [10.9.0.1/24]
      peers: [{{keys: {{public: {PUBLIC}}}, allowed-ips: [10.9.0.0/24], endpoint: "192.0.2.7:51821", keepalive: 25}}]
"""
    )

    networked.until("wg0 has its address", lambda: addresses(networked, "wg0") == {"10.9.0.1/24"})
    if networked.run("sh", "-c", "command -v wg", check=False).returncode == 0:
        _, peer = networked.run("wg", "show", "wg0", "dump").stdout.splitlines()
        assert peer.split("\t")[:4] == [PUBLIC, "(none)", "192.0.2.7:51821", "10.9.0.0/24"]
    mode = networked.path("/run/systemd/network/10-ordain-wg0.netdev").stat().st_mode
    assert mode & 0o777 == 0o640
    assert "Failed" not in networked.journal("--unit=systemd-networkd")


@pytest.mark.parametrize(
    ("mode", "local", "remote"),
    [(mode, "192.0.2.1", "192.0.2.2") for mode in ("gre", "gretap", "ipip", "sit", "vti")]
    + [(mode, "2001:db8::1", "2001:db8::2") for mode in ("ip6gre", "ip6gretap", "ip6ip6", "ipip6", "vti6")],
)
def test_a_tunnel_has_its_ends(networked: Machine, give: Give, mode: str, local: str, remote: str) -> None:
    needs(networked, "ip6tnl" if mode in {"ip6ip6", "ipip6"} else mode, "local", local, "remote", remote)
    give(f'  tunnels: {{tun0: {{mode: {mode}, local: "{local}", remote: "{remote}"}}}}\n')

    networked.until("tun0 exists", lambda: bool(kind(networked, "tun0")))
    data = kind(networked, "tun0")["info_data"]
    assert (data["local"], data["remote"]) == (local, remote)


def test_networkd_accepts_every_line(networked: Machine, give: Give) -> None:
    """networkd reports lines that it ignores in the journal."""
    needs(networked, "veth")
    give(
        PAIR
        % """, dhcp4: true, dhcp6: true, dhcp4-overrides: {use-dns: false, use-domains: route, hostname: web},
      dhcp6-overrides: {use-routes: false, use-mtu: false, use-ntp: false}, accept-ra: true, ipv6-privacy: true,
      ipv6-address-token: "::7", ra-overrides: {use-dns: false, table: 9}, critical: true, emit-lldp: true,
      nameservers: {addresses: [192.0.2.53], search: [example.com, "~example.net"]}, optional: true,
      activation-mode: manual, link-local: [ipv4, ipv6], ipv6-mtu: 1300, dhcp-identifier: mac"""
        + """\
  bonds: {bo0: {parameters: {mode: 802.3ad, lacp-rate: fast, ad-select: bandwidth, min-links: 1, down-delay: 300ms,
      transmit-hash-policy: layer3+4, all-members-active: true, resend-igmp: 3, learn-packet-interval: 2}}}
  bridges: {br0: {parameters: {hello-time: 2, priority: 4096}}}
"""
    )

    networked.until("left is managed", lambda: "left" in networked.run("networkctl", "--no-legend").stdout)
    lines = networked.journal("--unit=systemd-networkd").splitlines()
    assert [line for line in lines if "10-ordain" in line and "Configuring with" not in line] == []


@pytest.mark.parametrize("renderer", ["NetworkManager", "ifupdown"])
def test_other_network_managers_bring_up_the_same_devices(rig: None, renderer: str) -> None:
    with Machine((network_roots.managers(),)) as machine:
        # Debian's udev rules make NetworkManager ignore veth devices (85-nm-unmanaged.rules).
        machine.write("/etc/NetworkManager/conf.d/all.conf", "[device]\nmatch-device=*\nmanaged=1\n")
        machine.boot()
        if renderer == "ifupdown":  # or NetworkManager would take the new devices, and flush their addresses
            machine.run("systemctl", "stop", "NetworkManager")
        place(
            machine,
            f"  renderer: {renderer}\n"
            + PAIR
            % """, addresses: [192.0.2.1/24, "2001:db8::1/64"],
      routes: [{to: default, via: 192.0.2.254, metric: 7}, {to: 198.51.100.0/24, via: 192.0.2.254, table: 100},
        {to: 198.18.0.0/15, type: blackhole}],
      routing-policy: [{from: 192.0.2.0/24, table: 100, priority: 50}]"""
            + """\
    up: {peer: down}
    down: {peer: up}
  bridges:
    br0: {interfaces: [up], addresses: [203.0.113.1/24], parameters: {stp: true, priority: 1000, path-cost: {up: 7}}}
  tunnels:
    vx7: {mode: vxlan, id: 7, link: left, remote: 239.0.0.7, port: 4789, addresses: [10.7.0.1/24]}
""",
            "debian-12",
        )
        if renderer == "ifupdown":
            machine.run("ifup", "--all")
        else:
            machine.run("nmcli", "connection", "reload")

        machine.until("left has both", lambda: addresses(machine, "left") == {"192.0.2.1/24", "2001:db8::1/64"})
        machine.until("br0 has its address", lambda: addresses(machine, "br0") == {"203.0.113.1/24"})
        machine.until("vx7 has its address", lambda: addresses(machine, "vx7") == {"10.7.0.1/24"})
        machine.until("up is a port", lambda: link(machine, "up").get("master") == "br0")
        if renderer == "ifupdown":  # NetworkManager does this through /sys, which is read-only in a container
            assert kind(machine, "up")["info_slave_data"]["cost"] == 7
        left = link(machine, "left")
        assert (left["mtu"], left["address"], left["link"]) == (1400, "52:54:00:00:00:01", "right")
        bridge, vxlan = kind(machine, "br0")["info_data"], kind(machine, "vx7")["info_data"]
        assert (bridge["stp_state"], bridge["priority"]) == (1, 1000)
        assert (vxlan["id"], vxlan["group"], vxlan["port"]) == (7, "239.0.0.7", 4789)
        routes = {route["dst"]: route for route in ip(machine, "route", "show", "table", "all")}
        assert (routes["default"]["gateway"], routes["default"]["metric"]) == ("192.0.2.254", 7)
        assert routes["198.51.100.0/24"]["table"] == "100"
        assert routes["198.18.0.0/15"]["type"] == "blackhole"
        (rule,) = (rule for rule in ip(machine, "rule", "show") if rule["priority"] == 50)
        assert (rule["src"], rule["table"]) == ("192.0.2.0", "100")
