"""Changes of the network on a running machine: they touch no other link, and are rolled back if they cut it off.

The only neighbour of the machine is a network namespace within it, behind `up0`.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from rig import debian_roots
from rig.machine import Machine
from support.network import network_roots

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/machine.yaml"
SETTINGS = "network: {within: 4s}\n"
HEAD = "ordain: v1\nkind: Layer\nname: machine\n"
GOOD = """\
network:
  ethernets:
    up0: {addresses: [192.0.2.1/24], routes: [{to: default, via: 192.0.2.254}]}
    other0: {addresses: [198.51.100.1/24]}
"""
CUT_OFF = GOOD.replace("192.0.2.1/24", "203.0.113.1/24").replace("192.0.2.254", "203.0.113.254")


def neighbour(machine: Machine) -> None:
    """Make a host 192.0.2.254 behind ``up0`` that refuses connections, and ``other0``, a link without a host."""
    for words in (
        "netns add neighbour",
        "link add up0 type veth peer name down0 netns neighbour",
        "-netns neighbour link set lo up",
        "-netns neighbour address add 192.0.2.254/24 dev down0",
        "-netns neighbour link set down0 up",
        "link add other0 type veth peer name other1",
        "link set other1 up",
    ):
        machine.run("ip", *words.split())


def booted(machine: Machine) -> Machine:
    machine.write("/etc/ordain/agent.yaml", SETTINGS)
    machine.boot()
    machine.run("systemctl", "start", "systemd-networkd")
    neighbour(machine)
    return machine


def apply(machine: Machine, text: str) -> tuple[int, str]:
    machine.run("ordainctl", "pause", check=False)
    machine.write(DOCUMENT, HEAD + text)
    done = machine.run("ordainctl", "apply", check=False)
    return done.returncode, done.stdout + done.stderr


def addresses(machine: Machine, name: str) -> list[str]:
    answer = machine.run("ip", "-json", "-4", "address", "show", "dev", name, check=False).stdout
    links: list[dict[str, Any]] = json.loads(answer or "[]")
    return [info["local"] for link in links for info in link.get("addr_info", ())]


def test_a_good_change_is_kept_and_touches_no_other_link(machine: Machine) -> None:
    booted(machine)
    status, text = apply(machine, GOOD)
    assert status == 0, text
    machine.until("up0 has its address", lambda: addresses(machine, "up0") == ["192.0.2.1"])
    process = machine.show("systemd-networkd.service", "MainPID")
    before = machine.journal("--unit=systemd-networkd").count("other0: Reconfiguring")

    status, text = apply(machine, GOOD.replace("192.0.2.1/24", "192.0.2.7/24"))

    assert status == 0, text
    assert addresses(machine, "up0") == ["192.0.2.7"]
    assert machine.show("systemd-networkd.service", "MainPID") == process, "networkd was not restarted"
    assert machine.journal("--unit=systemd-networkd").count("other0: Reconfiguring") == before
    assert not machine.path("/run/ordain/trial").exists(), "the trial has ended"
    machine.power_cut()
    machine.boot(wait=False)
    neighbour(machine)
    machine.wait_running()
    machine.until("networkd also starts at boot", lambda: addresses(machine, "up0") == ["192.0.2.7"])


@pytest.mark.one_debian
def test_a_change_that_cuts_the_machine_off_is_rolled_back(machine: Machine) -> None:
    booted(machine)
    status, text = apply(machine, GOOD)
    assert status == 0, text

    status, text = apply(machine, CUT_OFF)

    assert status == 4, text
    assert "gateway is no longer reachable" in text
    assert addresses(machine, "up0") == ["192.0.2.1"]


@pytest.mark.one_debian
def test_the_first_network_of_the_documents_is_rolled_back_too(machine: Machine) -> None:
    booted(machine)
    machine.write(
        "/run/systemd/network/50-manual.network",
        "[Match]\nName=up0\n[Network]\nAddress=192.0.2.9/24\nGateway=192.0.2.254\n",
    )
    machine.run("networkctl", "reload")
    machine.until("up0 has its address", lambda: addresses(machine, "up0") == ["192.0.2.9"])

    status, text = apply(machine, CUT_OFF)

    assert status == 4, text
    assert addresses(machine, "up0") == ["192.0.2.9"]


@pytest.mark.one_debian
def test_the_network_is_rolled_back_without_the_agent(machine: Machine) -> None:
    booted(machine)
    status, text = apply(machine, GOOD)
    assert status == 0, text
    machine.run(
        "systemctl", "edit", "--runtime", "--stdin", "ordain-agent", stdin="[Service]\nRestart=no\n", check=False
    )
    machine.write(DOCUMENT, HEAD + CUT_OFF)
    machine.run("systemd-run", "--no-block", "ordainctl", "apply")
    machine.until("it is cut off", lambda: addresses(machine, "up0") == ["203.0.113.1"])

    machine.run("systemctl", "kill", f"--signal={signal.SIGSTOP.value}", "ordain-agent")

    machine.until("it is rolled back", lambda: addresses(machine, "up0") == ["192.0.2.1"], timeout=120)


def test_devices_are_made_changed_and_removed(machine: Machine) -> None:
    booted(machine)
    bridge = "  bridges:\n    br0: {interfaces: [other0], addresses: [10.0.0.1/24], parameters: {priority: %d}}\n"
    two = GOOD.replace("other0: {addresses: [198.51.100.1/24]}", "other0: {}")
    status, text = apply(machine, two + bridge % 4096)
    assert status == 0, text
    machine.until("br0 has its address", lambda: addresses(machine, "br0") == ["10.0.0.1"])

    status, text = apply(machine, two + bridge % 8192)

    assert status == 0, text
    assert machine.run("cat", "/sys/class/net/br0/bridge/priority").stdout == "8192\n"
    machine.until("other0 is a port again", lambda: machine.path("/sys/class/net/br0/brif/other0").exists())

    status, text = apply(machine, GOOD)

    assert status == 0, text
    assert not machine.path("/sys/class/net/br0").exists()
    machine.until("other0 has its own address again", lambda: addresses(machine, "other0") == ["198.51.100.1"])

    status, text = apply(machine, "services: {}\n")

    assert (status, addresses(machine, "up0")) == (4, ["192.0.2.1"]), "the only network of the machine is kept"

    machine.write("/etc/ordain/agent.yaml", "network: {reach: []}\n")
    status, text = apply(machine, "services: {}\n")

    assert status == 0, text
    assert addresses(machine, "up0") == []


def plans(machine: Machine, words: str) -> bool:
    """Return whether an apply would do what ``words`` say."""
    return words in machine.run("ordainctl", "plan", check=False).stdout


@pytest.mark.one_debian
def test_a_repair_makes_a_deleted_device_again_and_is_undone_if_it_cuts_the_machine_off(machine: Machine) -> None:
    booted(machine)
    bridge = "  bridges:\n    br0: {interfaces: [other0], addresses: [10.0.0.1/24], parameters: {priority: 4096}}\n"
    status, text = apply(machine, GOOD.replace("other0: {addresses: [198.51.100.1/24]}", "other0: {}") + bridge)
    assert status == 0, text
    machine.run("ip", "link", "delete", "br0")
    machine.until("it is missed", lambda: plans(machine, "br0 state: missing → present"))

    repaired = machine.run("ordainctl", "apply", check=False)

    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert addresses(machine, "br0") == ["10.0.0.1"]
    assert machine.path("/sys/class/net/br0/brif/other0").exists()
    assert machine.run("cat", "/sys/class/net/br0/bridge/priority").stdout == "4096\n"

    # The network around the machine has changed, and an administrator has followed it; the documents have not.
    for words in (
        "-netns neighbour address add 10.5.0.254/24 dev down0",
        "-netns neighbour address delete 192.0.2.254/24 dev down0",
        "address flush dev up0 scope global",
        "address add 10.5.0.1/24 dev up0",
        "route add default via 10.5.0.254",
    ):
        machine.run("ip", *words.split())
    machine.until("it is missed", lambda: plans(machine, "up0 addresses: 10.5.0.1/24 → 192.0.2.1/24"))

    failed = machine.run("ordainctl", "apply", check=False)

    assert failed.returncode == 4, failed.stdout + failed.stderr
    assert "gateway is no longer reachable" in failed.stdout
    assert "the network is as it was before" in failed.stdout
    assert addresses(machine, "up0") == ["10.5.0.1"]
    assert "default via 10.5.0.254" in machine.run("ip", "route").stdout
    status = json.loads(machine.run("ordainctl", "status", "--json", check=False).stdout)
    assert "RolledBack" not in {found["code"] for found in status["conditions"]}, "the generation is not to blame"


def nmcli_moves_the_file_and_one_apply_restores_it(machine: Machine) -> None:
    """Change a connection as administrators do: nmcli writes it to /etc and removes the file of the documents."""
    words = "ipv4.addresses 192.0.2.8/24 ipv4.dns 192.0.2.53".split()
    machine.run("nmcli", "connection", "modify", "ordain-up0", *words)
    machine.run("nmcli", "connection", "up", "ordain-up0")
    machine.until("it is missed", lambda: plans(machine, "type: missing → file"))

    repaired = machine.run("ordainctl", "apply")

    assert "up0 addresses: 192.0.2.8/24 → 192.0.2.7/24" in repaired.stdout
    assert addresses(machine, "up0") == ["192.0.2.7"]
    assert "192.0.2.53" not in machine.run("nmcli", "--fields", "ip4.dns", "device", "show", "up0").stdout


@pytest.mark.parametrize("renderer", ["NetworkManager", "ifupdown"])
def test_other_network_managers_change_one_interface_and_roll_back(deb: Path, renderer: str) -> None:
    head = f"  renderer: {renderer}\n"
    good, cut_off = (text.replace("network:\n", f"network:\n{head}") for text in (GOOD, CUT_OFF))
    with Machine(debian_roots.with_package("bookworm", deb, more=network_roots.MANAGERS)) as machine:
        # Debian's udev rules make NetworkManager ignore veth devices (85-nm-unmanaged.rules); here udev does not run.
        managed = int(renderer == "NetworkManager")
        machine.write("/etc/NetworkManager/conf.d/all.conf", f"[device]\nmatch-device=*\nmanaged={managed}\n")
        machine.write("/etc/ordain/agent.yaml", SETTINGS)
        machine.boot()
        neighbour(machine)
        status, text = apply(machine, good)
        assert status == 0, text
        machine.until("up0 has its address", lambda: addresses(machine, "up0") == ["192.0.2.1"])
        machine.until("other0 has its address", lambda: addresses(machine, "other0") == ["198.51.100.1"])
        machine.run("ip", "address", "add", "198.51.100.99/24", "dev", "other0")

        status, text = apply(machine, good.replace("192.0.2.1/24", "192.0.2.7/24"))

        assert status == 0, text
        assert addresses(machine, "up0") == ["192.0.2.7"]
        assert "198.51.100.99" in addresses(machine, "other0"), "other0 was not touched"

        status, text = apply(machine, cut_off)

        assert status == 4, text
        assert addresses(machine, "up0") == ["192.0.2.7"]

        machine.run("ip", "address", "delete", "198.51.100.1/24", "dev", "other0")
        machine.write(DOCUMENT, HEAD + good.replace("192.0.2.1/24", "192.0.2.7/24"))
        machine.until("it is missed", lambda: plans(machine, "other0 addresses"))
        status, text = apply(machine, good.replace("192.0.2.1/24", "192.0.2.7/24"))

        assert status == 0, text
        machine.until("it is repaired", lambda: "198.51.100.1" in addresses(machine, "other0"))
        if renderer == "NetworkManager":
            nmcli_moves_the_file_and_one_apply_restores_it(machine)

        machine.write("/etc/ordain/agent.yaml", "network: {reach: []}\n")
        status, text = apply(machine, "services: {}\n")

        assert status == 0, text
        machine.until("up0 has no address", lambda: addresses(machine, "up0") == [])
