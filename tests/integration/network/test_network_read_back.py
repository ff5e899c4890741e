"""The network of a booted machine is read back: what did not come up fails an apply, or is a condition later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rig import debian_roots
from rig.machine import Machine
from rig.machine_agent import answered_status
from support.network import network_roots

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/machine.yaml"
HEAD = "ordain: v1\nkind: Layer\nname: machine\n"
GOOD = """\
network:
  ethernets:
    up0: {addresses: [192.0.2.1/24], routes: [{to: 198.51.100.0/24, via: 192.0.2.254}]}
"""


def booted(machine: Machine) -> None:
    """Boot ``machine`` with the pair up0 and down0, of which down0 is in use by nobody."""
    machine.write("/etc/ordain/agent.yaml", "network: {reach: []}\n")
    machine.boot()
    machine.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "down0")
    machine.run("ip", "link", "set", "down0", "up")


def apply(machine: Machine, text: str) -> tuple[int, str]:
    machine.run("ordainctl", "pause", check=False)
    machine.write(DOCUMENT, HEAD + text)
    done = machine.run("ordainctl", "apply", check=False)
    machine.run("ordainctl", "resume", check=False)
    return done.returncode, done.stdout + done.stderr


def conditions(machine: Machine) -> dict[str, str]:
    """Return the texts of the conditions by code."""
    status: dict[str, Any] = json.loads(machine.run("ordainctl", "status", "--json", check=False).stdout)
    return {found["code"]: f"{found['what']} ({found['hint']})" for found in status["conditions"]}


def state(machine: Machine) -> str:
    return str(answered_status(machine).get("state", ""))


def addresses(machine: Machine) -> str:
    return machine.run("ip", "-brief", "address", "show", "up0").stdout


@pytest.mark.one_debian
def test_an_address_or_route_that_is_lost_is_a_condition_with_its_remedy(machine: Machine) -> None:
    booted(machine)
    machine.run("systemctl", "start", "systemd-networkd")
    status, text = apply(machine, GOOD)
    assert status == 0, text
    machine.until("the network is as it should be", lambda: state(machine) == "converged")

    machine.run("ip", "route", "delete", "198.51.100.0/24")
    machine.until("the route is missed", lambda: state(machine) == "degraded")
    what = conditions(machine)["NetworkDiffers"]
    assert "machine.yaml:6: up0 does not have the route 198.51.100.0/24 via 192.0.2.254" in what
    assert "`networkctl reconfigure up0`" in what
    assert machine.run("ordainctl", "status", check=False).returncode == 3

    repaired = machine.run("ordainctl", "apply")
    assert "up0 routes: missing → 198.51.100.0/24 via 192.0.2.254" in repaired.stdout
    assert machine.run("ip", "route", "show", "198.51.100.0/24").stdout.startswith("198.51.100.0/24 via 192.0.2.254")

    machine.run("ip", "address", "delete", "192.0.2.1/24", "dev", "up0")
    machine.run("ip", "address", "add", "192.0.2.77/24", "dev", "up0")
    machine.until("the address is missed", lambda: state(machine) == "degraded")
    assert "takes 192.0.2.77/24 away" in conditions(machine)["NetworkDiffers"]
    repaired = machine.run("ordainctl", "apply")
    assert "up0 other addresses: 192.0.2.77/24 → not set" in repaired.stdout
    machine.until("the remedy helps", lambda: state(machine) == "converged")
    assert machine.run("ordainctl", "plan").stdout.startswith("Nothing to do.")

    file = "/run/systemd/network/10-ordain-up0.network"
    machine.write(file, machine.path(file).read_text().replace("192.0.2.1/24", "192.0.2.78/24\nDNS=192.0.2.53"))
    machine.run("networkctl", "reload")
    machine.until("the file of somebody else is in force", lambda: "192.0.2.78" in addresses(machine))
    repaired = machine.run("ordainctl", "apply")
    assert "[Network] Address: 192.0.2.78/24 → 192.0.2.1/24" in repaired.stdout
    machine.until("one apply is enough", lambda: "192.0.2.1/24" in addresses(machine))
    assert "192.0.2.78" not in addresses(machine)
    assert "192.0.2.53" not in machine.run("networkctl", "status", "up0").stdout

    machine.run("mkdir", "/etc/systemd/network/10-ordain-up0.network.d")
    machine.write("/etc/systemd/network/10-ordain-up0.network.d/mine.conf", "[Link]\nMTUBytes=1300\n")
    status, text = apply(machine, GOOD.replace("addresses:", "mtu: 1400, addresses:"))
    assert status in (0, 3), f"the change is not to blame for the drop-in: {text}"
    machine.until("it is missed", lambda: "NetworkDiffers" in conditions(machine))
    assert (
        "systemd-networkd also reads /etc/systemd/network/10-ordain-up0.network.d/mine.conf"
        in (conditions(machine)["NetworkDiffers"])
    )
    machine.run("rm", "-r", "/etc/systemd/network/10-ordain-up0.network.d")
    machine.write("/etc/systemd/network/05-mine.network", "[Match]\nName=up0\n[Network]\nAddress=192.0.2.9/24\n")
    status, text = apply(machine, GOOD)
    assert status in (0, 3), f"nor for another file: {text}"
    assert "remove /etc/systemd/network/05-mine.network and run `networkctl reload`" in conditions(machine).get(
        "NetworkDiffers", ""
    )
    machine.run("rm", "/etc/systemd/network/05-mine.network")
    machine.run("networkctl", "reload")
    machine.until("the remedy helps", lambda: state(machine) == "converged")

    machine.run("ip", "link", "set", "down0", "down")
    machine.until("no carrier is said", lambda: "NetworkWaits" in conditions(machine))
    assert state(machine) == "converged", "a missing cable is not a fault"


@pytest.mark.one_debian
def test_an_interface_that_does_not_exist_is_a_fault_unless_it_is_optional(machine: Machine) -> None:
    booted(machine)
    machine.run("systemctl", "start", "systemd-networkd")
    missing = GOOD + "    gone0: {addresses: [203.0.113.1/24]%s}\n"

    status, text = apply(machine, missing % "")

    assert status in (0, 3), text
    machine.until("it is a condition", lambda: "DeviceMissing" in conditions(machine))
    assert "there is no network interface gone0" in conditions(machine)["DeviceMissing"]
    machine.until("and a fault", lambda: state(machine) == "degraded")

    status, text = apply(machine, missing % ", optional: true")

    assert status == 0, text
    machine.until("it may be missing", lambda: state(machine) == "converged")


VXLAN = """\
  tunnels:
    vx1: {mode: vxlan, id: 5, link: lan, remote: 192.0.2.9, port: 4789, addresses: [10.7.0.1/24]}
"""


def test_network_manager_brings_up_a_vxlan_on_a_matched_interface_or_the_apply_fails(deb: Path) -> None:
    with Machine(debian_roots.with_package("bookworm", deb, more=network_roots.MANAGERS)) as machine:
        # Debian's udev rules make NetworkManager ignore veth devices (85-nm-unmanaged.rules); here udev does not run.
        machine.write("/etc/NetworkManager/conf.d/all.conf", "[device]\nmatch-device=*\nmanaged=1\n")
        booted(machine)
        mac = machine.path("/sys/class/net/up0/address").read_text().strip()
        head = "network:\n  renderer: NetworkManager\n  ethernets:\n"
        lan = f'    lan: {{match: {{macaddress: "{mac}"}}, addresses: [192.0.2.1/24]}}\n'

        status, text = apply(machine, head + lan.replace(mac, "52:54:00:99:99:99") + VXLAN)

        assert status == 4, text
        assert "could not change the network: the network device vx1 does not exist" in text
        assert "Failed to find a compatible device" in text, "the reason is NetworkManager's"

        for number in (5, 6):
            status, text = apply(machine, head + lan + VXLAN.replace("id: 5", f"id: {number}"))

            assert status == 0, text
            (link,) = json.loads(machine.run("ip", "-json", "-details", "link", "show", "dev", "vx1").stdout)
            data = link["linkinfo"]["info_data"]
            assert (data["link"], data["id"]) == ("up0", number)
            machine.until("it has its address", lambda: state(machine) == "converged")
