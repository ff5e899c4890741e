"""What networkd is told is what netplan tells it, for the same words: compared as parsed sections, key by key.

The oracles are Debian's own netplan.io, here and (where the rig can make a root) in Debian 13, which knows more keys.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.systemd import unit_file
from support import network_roots
from support.network_samples import SAMPLES

Assignments = tuple[tuple[str, str], ...]
Sections = dict[str, list[Assignments]]
Files = dict[str, Sections]

GENERATE = Path("/usr/libexec/netplan/generate")
REPEATED = {"Route", "RoutingPolicyRule", "Address", "WireGuardPeer"}
"""Sections of which each stands for itself; others of one name are one."""
BOOLEANS = {"true": "yes", "1": "yes", "false": "no", "0": "no"}
IS_BOOLEAN = {
    *("STP", "MacLearning", "AllSlavesActive", "PrimarySlave", "KeepConfiguration", "IPv6PrivacyExtensions"),
    *("RequiredForOnline", "GatewayOnLink", "Independent", "EmitLLDP", "IPv6AcceptRA", "ConfigureWithoutCarrier"),
}

# What we say otherwise, on purpose.
RENAMED = {"FwMark": "FirewallMark"}
"""Names that netplan keeps for systemd 242 and older."""
OURS_ONLY = {
    # A .link takes the place of 99-default.link; without these the interface would lose its name.
    ("Link", "NamePolicy"),
    ("Link", "MACAddressPolicy"),
    # What a document says is said, also where it is networkd's default.
    ("Network", "IPv6PrivacyExtensions", "no"),
    ("DHCPv4", "ClientIdentifier", "duid"),
    # netplan 1.1 speaks to systemd-networkd-wait-online by a drop-in; this holds for every version of it.
    ("Link", "RequiredForOnline", "no"),
}
NETPLAN_ONLY = {
    # Not said, so left to the driver: a .link for a new name does not turn off what the firmware was told.
    ("Link", "WakeOnLan", "off"),
    # The kernel knows no scope of an IPv6 route.
    ("Route6", "Scope"),
}
DHCP4_ONLY = ("UseMTU", "UseRoutes", "SendHostname", "Hostname", "ClientIdentifier")
"""Keys that mean nothing for DHCPv6 in the section [DHCP], which stands for both."""


def parsed(text: str) -> Sections:
    """Sections by name, each a sorted list of assignments."""
    found: Sections = defaultdict(list)
    begun = [line.strip("[]") for line in text.splitlines() if line.startswith("[")]
    for body, section in zip(text.split("\n[")[1 if not text.startswith("[") else 0 :], begun, strict=True):
        lines = unit_file.parse(f"[{body.lstrip('[')}")
        assignments = tuple(sorted((RENAMED.get(k, k), plain(k, v)) for _, k, v in lines))
        if section in REPEATED or section not in found:
            found[section].append(assignments)
        else:
            found[section] = [tuple(sorted((*found[section][0], *assignments)))]
    return found


def plain(key: str, value: str) -> str:
    """One spelling for one value."""
    return BOOLEANS.get(value, value) if key in IS_BOOLEAN or value in {"true", "false"} else value


def meant(files: Files) -> Files:
    """The files without the deliberate differences, and without what is then empty."""
    left: Files = {}
    for name, sections in files.items():
        kept: Sections = {}
        for section, bodies in apart(sections).items():
            those = [tuple(a for a in body if not dropped(name, section, body, a)) for body in bodies]
            those = sorted(body for body in those if body)
            if those:
                kept[section] = those
        if set(kept) - {"Match"}:
            left[name] = kept
    return left


def dropped(name: str, section: str, body: Assignments, assignment: tuple[str, str]) -> bool:
    """Whether one side alone says this, on purpose."""
    key, value = assignment
    if name.endswith(".link") and key == "MTUBytes":
        return True  # networkd sets it; both of netplan's files do
    if section == "Route" and any(":" in v for k, v in body if k == "Destination"):
        section = "Route6"
    return bool({(section, key), (section, key, value)} & (OURS_ONLY | NETPLAN_ONLY))


def apart(sections: Sections) -> Sections:
    """[DHCP], which modern networkd takes for three sections, as these."""
    (shared,) = sections.get("DHCP", [()])
    if ("CriticalConnection", "yes") in shared:  # what KeepConfiguration= was called before systemd 243
        shared = tuple(a for a in shared if a[0] != "CriticalConnection")
        sections = {**sections, "Network": [tuple(sorted((*sections["Network"][0], ("KeepConfiguration", "yes"))))]}
    network = dict(assignment for body in sections.get("Network", []) for assignment in body)
    found = {name: list(bodies) for name, bodies in sections.items() if name != "DHCP"}
    if shared and network.get("DHCP") in {"yes", "ipv4"}:
        found["DHCPv4"] = [shared]
    if shared and network.get("DHCP") in {"yes", "ipv6"}:
        six = tuple(a for a in shared if a[0] not in (*DHCP4_ONLY, "RouteMetric"))
        metric = tuple(a for a in shared if a[0] == "RouteMetric")
        found["DHCPv6"] = [six]
        found["IPv6AcceptRA"] = [tuple(sorted((*metric, *found.get("IPv6AcceptRA", [()])[0])))]
    return found


def ours(text: str) -> tuple[Files, tuple[Problem, ...]]:
    """The files of networkd that a document becomes."""
    indented = "".join(f"  {line}\n" for line in text.splitlines())
    documents, wrong = read("x.yaml", f"ordain: v1\nkind: Layer\nname: x\nnetwork:\n{indented}".encode())
    assert wrong == (), "\n".join(map(str, wrong))
    compiled = compile(documents, facts_for("debian-13"), shipped=shipped())
    blocked = tuple(p for p in compiled.problems if p.severity is not Severity.WARNING)
    return {short(a): parsed(a.content) for a in compiled.artifacts if isinstance(a, RegularFile)}, blocked


def short(artifact: RegularFile) -> str:
    """``eth0.network``."""
    return artifact.path.rpartition("/10-ordain-")[2]


Netplan = Callable[[str], Files]


class UnknownToIt(Exception):
    """Raised for a key that the installed netplan does not know."""


def asked(command: Sequence[str], root: Path, seen: str, text: str) -> Files:
    """What netplan makes of a document below ``root``, which it sees as ``seen``."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "etc/netplan").mkdir(parents=True)
    document = root / "etc/netplan/x.yaml"
    document.touch(0o600)
    document.write_text("network:\n  version: 2\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    done = subprocess.run([*command, "--root-dir", seen], capture_output=True, text=True)
    if unknown := re.search("unknown key '(.*)'|: (.*) is not supported by networkd", done.stderr):
        raise UnknownToIt(unknown[1] or unknown[2])
    assert done.returncode == 0, done.stderr
    made = root / "run/systemd/network"
    return {path.name.removeprefix("10-netplan-"): parsed(path.read_text()) for path in made.iterdir()}


@pytest.fixture(scope="module", params=("here", "trixie"))
def netplan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netplan]:
    """Debian's netplan: that of this machine, and that of Debian 13 in a root of its own."""
    if request.param == "here":
        if not shutil.which("netplan"):
            pytest.skip("netplan is not installed here: apt-get install netplan.io")
        root = tmp_path_factory.mktemp("netplan") / "root"
        # `netplan generate` starts a Python for this program alone.
        command = ["/usr/libexec/netplan/generate"] if GENERATE.exists() else ["netplan", "generate"]
        yield lambda text: asked(command, root, os.fspath(root), text)
        return
    tree = network_roots.netplan()
    root = tree / "tmp" / f"netplan-{os.getpid()}"
    chroot = ["chroot", os.fspath(tree), os.fspath(GENERATE)]
    yield lambda text: asked(chroot, root, f"/tmp/{root.name}", text)
    shutil.rmtree(root, ignore_errors=True)


@pytest.mark.parametrize("name", SAMPLES)
def test_networkd_is_told_what_netplan_tells_it(name: str, netplan: Netplan) -> None:
    try:
        theirs = netplan(SAMPLES[name])
    except UnknownToIt as error:
        pytest.skip(f"this netplan does not know {error}")
    made, blocked = ours(SAMPLES[name])

    assert blocked == ()
    assert meant(made) == meant(theirs)
