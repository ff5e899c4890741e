"""`make proof`, the network: a document with every kind of device, on a kernel that has them, and the checked result.

Three cards: one leads to the emulator's own network (10.0.2.2 is a router that refuses connections, and does not know
VLANs), two are connected to each other. Nothing is skipped; the kernel loads modules as systemd-networkd needs them.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from rig import qemu
from rig.machine import MachineError
from rig.proof.proof_machine import PATH, ProofMachine, step

SETTINGS = "network: {reach: [gateway], within: 20s}\n"
WAIT_SEC = 600
DOCUMENT = """\
ordain: v1
kind: Layer
name: machine
files:
  /etc/wireguard.key: {credential: {name: tunnel}, group: systemd-network, mode: "0640"}
modules:
  br_netfilter: {}
  nf_conntrack: {options: hashsize=8192}
sysctl:
  net.bridge.bridge-nf-call-iptables: 0
  net.ipv4.ip_forward: 1
mounts:
  /srv/ram: {what: tmpfs, type: tmpfs, options: [size=8m, nosuid, noexec]}
  /srv/data: {what: /dev/disk/by-label/data, type: ext4, options: [noatime, nodev], automount: true}
network:
  renderer: networkd
  ethernets:
    uplink:
      match: {macaddress: "52:54:00:00:00:01"}
      set-name: uplink
UPLINK
    left: {match: {macaddress: "52:54:00:00:00:02"}, set-name: left}
    right: {match: {macaddress: "52:54:00:00:00:03"}, set-name: right}
  dummy-devices:
    quiet: {addresses: [192.0.2.7/32, "2001:db8:7::1/128"], mtu: 1300, macaddress: "52:54:00:00:00:07"}
    inner: {addresses: [198.51.100.1/24]}
  bonds:
    pair:
      interfaces: [left, right]
      mtu: 1450
      parameters: {mode: active-backup, primary: right, mii-monitor-interval: 200, fail-over-mac-policy: active}
  bridges:
    hub:
      interfaces: [pair]
      addresses: [192.0.2.129/25]
      mtu: 1450
      parameters: {stp: true, priority: 4096, forward-delay: 4, path-cost: {pair: 7}}
  vlans:
    storage:
      id: 20
      link: hub
      addresses: [172.16.20.1/24]
      mtu: 1400
      routes: [{to: 172.30.0.0/16, via: 172.16.20.254, table: 100}, {to: 172.31.0.0/16, type: blackhole}]
      routing-policy: [{from: 172.16.20.0/24, table: 100, priority: 50}]
  vrfs:
    red: {table: 200, interfaces: [inner], routes: [{to: default, via: 198.51.100.254}]}
  tunnels:
    here:
      mode: wireguard
      key: /etc/wireguard.key
      port: 51820
      addresses: [10.9.0.1/24]
      peers:
        - {keys: {public: THERE}, endpoint: "127.0.0.1:51821", allowed-ips: [10.9.1.0/24], keepalive: 1}
    there:
      mode: wireguard
      key: SECRET
      port: 51821
      addresses: [10.9.1.1/24]
      peers:
        - {keys: {public: HERE}, endpoint: "127.0.0.1:51820", allowed-ips: [10.9.0.0/24], keepalive: 1}
"""
UPLINK = """\
      addresses: [10.0.2.15/24, "2001:db8:1::15/64"]
      routes: [{to: default, via: 10.0.2.2, metric: 7}, {to: "2001:db8:2::/48", via: "2001:db8:1::1"}]
"""
AWAY = """\
  vlans:
    away: {id: 7, link: uplink, addresses: [10.0.2.15/24], routes: [{to: default, via: 10.0.2.2}]}
"""
"""The same address and router, in a VLAN in which no other machine is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The output of ``command`` must contain ``wanted`` (`_within`), or must not."""

    title: str
    command: str
    wanted: Any
    absent: bool = False


def _link(name: str, title: str, **wanted: Any) -> Expected:
    return Expected(title=f"{name}: {title}", command=f"ip -j -d link show dev {name}", wanted=[wanted])


def _address(name: str, *addresses: str) -> Expected:
    pairs = [(address.partition("/")[0], int(address.partition("/")[2])) for address in addresses]
    wanted = [{"addr_info": [{"local": local, "prefixlen": length} for local, length in pairs]}]
    return Expected(title=f"{name}: {', '.join(addresses)}", command=f"ip -j address show dev {name}", wanted=wanted)


def _route(title: str, words: str, **wanted: Any) -> Expected:
    return Expected(title=title, command=f"ip -j -d {words}", wanted=[wanted])


def _kind(kind: str, **data: Any) -> dict[str, Any]:
    return {"info_kind": kind, "info_data": data}


ALWAYS = (
    _address("uplink", "10.0.2.15/24", "2001:db8:1::15/64"),
    _route("default by 10.0.2.2, metric 7", "route show default", gateway="10.0.2.2", dev="uplink", metric=7),
    _route("an IPv6 route", "-6 route show 2001:db8:2::/48", gateway="2001:db8:1::1", dev="uplink"),
    Expected(
        title="the router answers",
        command="curl -s --max-time 5 http://10.0.2.2:9/; ip -j neigh show 10.0.2.2",
        wanted=[{"lladdr": "52:55:0a:00:02:02"}],
    ),
    _link("quiet", "a dummy, its MTU and MAC", mtu=1300, address="52:54:00:00:00:07", linkinfo={"info_kind": "dummy"}),
    _address("quiet", "192.0.2.7/32", "2001:db8:7::1/128"),
    _link("hub", "a bridge, its parameters", linkinfo=_kind("bridge", stp_state=1, priority=4096, forward_delay=400)),
    _address("hub", "192.0.2.129/25"),
    _link("red", "a VRF of table 200", linkinfo=_kind("vrf", table=200)),
    _link("inner", "in the VRF", master="red"),
    _address("inner", "198.51.100.1/24"),
    _route("the VRF's own default route", "route show table 200 default", gateway="198.51.100.254", dev="inner"),
    _route("packets in the VRF take it", "route get 203.0.113.9 vrf red", gateway="198.51.100.254", dev="inner"),
    *(_link(name, "WireGuard", linkinfo={"info_kind": "wireguard"}) for name in ("here", "there")),
    _address("here", "10.9.0.1/24"),
    *(
        Expected(
            title=f"{name}: has packets of its peer, so the keys match",
            command=f"[ $(cat /sys/class/net/{name}/statistics/rx_packets) -gt 0 ] && echo yes",
            wanted="yes",
        )
        for name in ("here", "there")
    ),
    *(
        Expected(
            title=f"no device is {state}",
            command="networkctl --json=short list",
            wanted={"Interfaces": [{"AdministrativeState": state}]},
            absent=True,
        )
        for state in ("failed", "configuring", "pending")
    ),
    Expected(title="a sysctl", command="sysctl -n net.ipv4.ip_forward", wanted=1),
    Expected(title="a module's sysctl", command="sysctl -n net.bridge.bridge-nf-call-iptables", wanted=0),
    Expected(title="a module's option", command="cat /sys/module/nf_conntrack/parameters/hashsize", wanted=8192),
    Expected(
        title="/srv/ram: a tmpfs with options",
        command="findmnt -J -o FSTYPE,OPTIONS /srv/ram",
        wanted={"filesystems": [{"fstype": "tmpfs", "options": frozenset({"size=8192k", "nosuid", "noexec"})}]},
    ),
)
AT_FIRST = (
    Expected(
        title="/srv/data: an automount that waits",
        command="findmnt -J -t autofs -o FSTYPE /srv/data",
        wanted={"filesystems": [{"fstype": "autofs"}]},
    ),
    Expected(title="/srv/data: mounted when it is used", command="cat /srv/data/hello", wanted="there"),
    Expected(
        title="/srv/data: ext4 with options",
        command="findmnt -J -t ext4 -o FSTYPE,OPTIONS /srv/data",
        wanted={"filesystems": [{"fstype": "ext4", "options": frozenset({"noatime", "nodev"})}]},
    ),
    _link(
        *("pair", "a bond, its parameters"),
        mtu=1450,
        master="hub",
        linkinfo=_kind("bond", mode="active-backup", primary="right", miimon=200, fail_over_mac="active"),
    ),
    *(_link(name, "in the bond", master="pair") for name in ("left", "right")),
    _link("pair", "cost 7 in the bridge", linkinfo={"info_slave_kind": "bridge", "info_slave_data": {"cost": 7}}),
    _link("storage", "VLAN 20 on hub", link="hub", mtu=1400, linkinfo=_kind("vlan", id=20)),
    _address("storage", "172.16.20.1/24"),
    _route("a route of another table", "route show table 100", dst="172.30.0.0/16", gateway="172.16.20.254"),
    _route("a black hole", "route show type blackhole", dst="172.31.0.0/16"),
    _route("a rule", "rule show priority 50", src="172.16.20.0", srclen=24, table="100"),
)
CHANGED = (
    Expected(title="pair: gone", command="ip -j link show", wanted=[{"ifname": "pair"}], absent=True),
    *(_link(name, "in the bridge itself", master="hub") for name in ("left", "right")),
    _link("storage", "VLAN 30 on hub", link="hub", mtu=1400, linkinfo=_kind("vlan", id=30)),
    _address("storage", "172.16.30.1/24"),
    Expected(
        title="storage: its old address is gone",
        command="ip -j address show dev storage",
        wanted=[{"addr_info": [{"local": "172.16.20.1"}]}],
        absent=True,
    ),
    _route("the route has another gateway", "route show table 100", dst="172.30.0.0/16", gateway="172.16.30.254"),
    _route("the rule", "rule show priority 50", src="172.16.30.0", srclen=24, table="100"),
    Expected(title="the old rule is gone", command="ip -j rule show", wanted=[{"src": "172.16.20.0"}], absent=True),
)
AWAY_GONE = Expected(title="away: gone", command="ip -j link show", wanted=[{"ifname": "away"}], absent=True)


def prove_network(made: ProofMachine) -> None:
    """Prove that the network is as the document says, that it changes live, and that a bad change is rolled back."""
    secrets = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    document = _document(secrets)
    changed = _changed(document)
    cut_off = changed.replace(UPLINK, "").replace("  vlans:\n", AWAY)
    modules = {
        str(path.relative_to(made.tree)): path.read_bytes()
        for path in (made.tree / "usr/lib/modules").rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    given = {PATH.lstrip("/"): document.encode(), "etc/ordain/agent.yaml": SETTINGS.encode()}
    with step("a disk to mount"):
        folder, disk = made.home / "data", made.home / "data.img"
        folder.mkdir()
        (folder / "hello").write_text("there\n")
        qemu.disk_image(folder, disk, label="data", size_mb=16)
    with qemu.Qemu(
        made.home / "network",
        kernel=made.kernel,
        initrds=[made.ram, qemu.cpio(modules), qemu.cpio(given)],
        disks=[disk],
        options=[
            *_cards(made.home / "cable"),
            "-smbios",
            f"type=11,value=io.systemd.credential:tunnel={_secret(secrets[0])}",
        ],
    ) as machine:
        with step("a machine with a network, in RAM"):
            machine.wait_boot()
            _look(machine, (*AT_FIRST, *ALWAYS))
        with step("another VLAN and address, no bond"):
            _apply(machine, changed)
            _look(machine, (*CHANGED, *ALWAYS))
        with step("the uplink in a VLAN without other machines"):
            began = _uptime(machine)
            output = _apply(machine, cut_off, status=4)
            took = _uptime(machine) - began
            if "gateway is no longer reachable" not in output:
                raise MachineError(f"the agent has not noticed that the router is gone:\n{output}")
            print(f"    {next(line for line in output.splitlines() if 'gateway' in line).strip()}")
            print(f"    rolled back, {took:.0f} s of the machine's clock after the apply")
            _look(machine, (AWAY_GONE, *CHANGED, *ALWAYS))


def _uptime(machine: qemu.Qemu) -> float:
    return float(machine.run("cat /proc/uptime").split()[0])


def _document(secrets: tuple[X25519PrivateKey, X25519PrivateKey]) -> str:
    text = DOCUMENT.replace("UPLINK\n", UPLINK).replace("SECRET", _secret(secrets[1]))
    for word, secret in zip(("HERE", "THERE"), secrets, strict=True):
        public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        text = text.replace(f"public: {word}}}", f"public: {base64.b64encode(public).decode()}}}")
    return text


def _changed(document: str) -> str:
    bond = document[document.index("  bonds:\n") : document.index("  bridges:\n")]
    text = document.replace(bond, "").replace("[pair]", "[left, right]").replace("{pair: 7}", "{left: 7}")
    return text.replace("id: 20\n", "id: 30\n").replace("172.16.20.", "172.16.30.")


def _secret(key: X25519PrivateKey) -> str:
    return base64.b64encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())).decode()


def _cards(cable: Path) -> list[str]:
    end = f"addr.type=unix,addr.path={cable}"
    backends = ("user,id=n1", f"stream,id=n2,server=on,{end}", f"stream,id=n3,server=off,{end}")
    return [
        word
        for number, backend in enumerate(backends, 1)
        for word in ("-netdev", backend, "-device", f"virtio-net-pci,netdev=n{number},mac=52:54:00:00:00:0{number}")
    ]


def _apply(machine: qemu.Qemu, document: str, *, status: int = 0) -> str:
    """Apply ``document`` on the machine; require this exit status, and return the output."""
    text = base64.b64encode(document.encode()).decode()
    machine.run(f"ordainctl pause; echo {text} | base64 -d >{PATH}")
    output = machine.run("ordainctl apply 2>&1; echo status $?", timeout=900)
    if f"status {status}" not in output.splitlines():
        journal = machine.run("journalctl -b -o cat -u ordain-agent -u systemd-networkd | tail -n 60", check=False)
        raise MachineError(f"apply should end with {status}:\n{output}\n{journal}")
    return output


def _look(machine: qemu.Qemu, expected: Sequence[Expected]) -> None:
    """Wait until all of ``expected`` are true at the same time, and print their titles."""
    deadline = time.monotonic() + WAIT_SEC
    while True:
        outputs = zip(expected, _outputs(machine, [each.command for each in expected]), strict=True)
        wrong = [(each, output) for each, output in outputs if _within(output, each.wanted) is each.absent]
        if not wrong:
            break
        if time.monotonic() > deadline:
            lines = (
                f"{each.title}\n  {each.command}\n  prints {output}\n  wanted {each.wanted}" for each, output in wrong
            )
            about = machine.run("networkctl; journalctl -b -o cat -u systemd-networkd | tail -n 60", check=False)
            raise MachineError("\n".join((*lines, about)))
    print("".join(f"    {each.title}\n" for each in expected), end="", flush=True)


def _outputs(machine: qemu.Qemu, commands: Sequence[str]) -> list[Any]:
    """Return the output of each command, parsed if it is JSON; all in one run, because each run costs seconds."""
    script = "".join(f"{{ {command}; }} 2>/dev/null; printf '\\0'\n" for command in commands)
    return [_parsed(output.strip()) for output in machine.run(script, check=False).split("\0")[:-1]]


def _parsed(output: str) -> Any:
    try:
        return json.loads(output)
    except ValueError:
        return output


def _within(found: Any, wanted: Any) -> bool:
    """Return whether ``found`` contains ``wanted``: keys of a map, elements of a list, or a set of words."""
    match wanted:
        case dict():
            return isinstance(found, dict) and all(_within(found.get(key), each) for key, each in wanted.items())
        case list():
            return isinstance(found, list) and all(any(_within(one, each) for one in found) for each in wanted)
        case frozenset():
            return isinstance(found, str) and wanted <= set(found.split(","))
        case _:
            return bool(found == wanted)
