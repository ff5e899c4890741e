"""The files for networkd have the same meaning as those of netplan: parsed sections are compared key by key.

The oracles are the netplan.io of this machine and, if the rig can make a root, of Debian 13, which knows more keys.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.systemd import unit_file
from support.network import network_roots
from support.samples.network_samples import SAMPLES

pytestmark = pytest.mark.thorough

Assignments = tuple[tuple[str, str], ...]
Sections = dict[str, list[Assignments]]
Files = dict[str, Sections]

GENERATE = Path("/usr/libexec/netplan/generate")
REPEATED = {"Route", "RoutingPolicyRule", "Address", "WireGuardPeer"}
"""Sections that can be repeated; networkd merges others of one name."""
BOOLEANS = {"true": "yes", "1": "yes", "false": "no", "0": "no"}
IS_BOOLEAN = {
    *("STP", "MacLearning", "AllSlavesActive", "PrimarySlave", "KeepConfiguration", "IPv6PrivacyExtensions"),
    *("RequiredForOnline", "GatewayOnLink", "Independent", "EmitLLDP", "IPv6AcceptRA", "ConfigureWithoutCarrier"),
}

# Deliberate differences.
RENAMED = {"FwMark": "FirewallMark"}
"""Names that netplan uses because of systemd 242 and older."""
OURS_ONLY = {
    # Our .link replaces 99-default.link; without these lines the interface would lose its name.
    ("Link", "NamePolicy"),
    ("Link", "MACAddressPolicy"),
    # A key of a document becomes a line even if it sets networkd's default.
    ("Network", "IPv6PrivacyExtensions", "no"),
    ("DHCPv4", "ClientIdentifier", "duid"),
    # netplan 1.1 uses a drop-in for systemd-networkd-wait-online; this line works with every version of it.
    ("Link", "RequiredForOnline", "no"),
}
NETPLAN_ONLY = {
    # The document does not set it, so our .link for a new name leaves it to the driver.
    ("Link", "WakeOnLan", "off"),
    # In the kernel, an IPv6 route has no scope.
    ("Route6", "Scope"),
}
DHCP4_ONLY = ("UseMTU", "UseRoutes", "SendHostname", "Hostname", "ClientIdentifier")
"""Keys of the section [DHCP] that have no meaning for DHCPv6."""


def parsed(text: str) -> Sections:
    """Return the sections by name, each as a sorted list of assignments."""
    sections: Sections = defaultdict(list)
    begun = [line.strip("[]") for line in text.splitlines() if line.startswith("[")]
    for body, section in zip(text.split("\n[")[1 if not text.startswith("[") else 0 :], begun, strict=True):
        lines = unit_file.parse(f"[{body.lstrip('[')}")
        assignments = tuple(sorted((RENAMED.get(k, k), plain(k, v)) for _, k, v in lines))
        if section in REPEATED or section not in sections:
            sections[section].append(assignments)
        else:
            sections[section] = [tuple(sorted((*sections[section][0], *assignments)))]
    return sections


def plain(key: str, value: str) -> str:
    """Return a value in the spelling that both sides get."""
    return BOOLEANS.get(value, value) if key in IS_BOOLEAN or value in {"true", "false"} else value


def comparable(files: Files) -> Files:
    """Return the files without the deliberate differences, and without files that are empty then."""
    left: Files = {}
    for name, sections in files.items():
        kept: Sections = {}
        for section, bodies in with_dhcp_split(sections).items():
            compared = [tuple(a for a in body if not is_deliberate(name, section, body, a)) for body in bodies]
            if not_empty := sorted(body for body in compared if body):
                kept[section] = not_empty
        if set(kept) - {"Match"}:
            left[name] = kept
    return left


def is_deliberate(name: str, section: str, body: Assignments, assignment: tuple[str, str]) -> bool:
    """Return whether only one side has the assignment, deliberately."""
    key, value = assignment
    if name.endswith(".link") and key == "MTUBytes":
        return True  # networkd sets it; both of netplan's files do
    if section == "Route" and any(":" in v for k, v in body if k == "Destination"):
        section = "Route6"
    return bool({(section, key), (section, key, value)} & (OURS_ONLY | NETPLAN_ONLY))


def with_dhcp_split(sections: Sections) -> Sections:
    """Return the sections with [DHCP] as the three sections that it means to a modern networkd."""
    (shared,) = sections.get("DHCP", [()])
    if ("CriticalConnection", "yes") in shared:  # the name of KeepConfiguration= before systemd 243
        shared = tuple(a for a in shared if a[0] != "CriticalConnection")
        sections = {**sections, "Network": [tuple(sorted((*sections["Network"][0], ("KeepConfiguration", "yes"))))]}
    network = dict(assignment for body in sections.get("Network", []) for assignment in body)
    split = {name: list(bodies) for name, bodies in sections.items() if name != "DHCP"}
    if shared and network.get("DHCP") in {"yes", "ipv4"}:
        split["DHCPv4"] = [shared]
    if shared and network.get("DHCP") in {"yes", "ipv6"}:
        six = tuple(a for a in shared if a[0] not in (*DHCP4_ONLY, "RouteMetric"))
        metric = tuple(a for a in shared if a[0] == "RouteMetric")
        split["DHCPv6"] = [six]
        split["IPv6AcceptRA"] = [tuple(sorted((*metric, *split.get("IPv6AcceptRA", [()])[0])))]
    return split


def ours(text: str) -> tuple[Files, tuple[Problem, ...]]:
    """Return the files for networkd of a document, and the problems that block."""
    indented = "".join(f"  {line}\n" for line in text.splitlines())
    documents, wrong = read("x.yaml", f"ordain: v1\nkind: Layer\nname: x\nnetwork:\n{indented}".encode())
    assert wrong == (), "\n".join(map(str, wrong))
    compiled = compile(documents, facts_for("debian-13"), shipped=shipped())
    blocked = tuple(p for p in compiled.problems if p.severity is not Severity.WARNING)
    return {short(a): parsed(a.content) for a in compiled.artifacts if isinstance(a, RegularFile)}, blocked


def short(artifact: RegularFile) -> str:
    """Return the name of a file without the prefix: ``eth0.network``."""
    return re.sub(".*/1[01]-ordain-", "", artifact.path)


Netplan = Callable[[str], Files]


OLD_NETPLAN = {
    *("advertised-mss", "dummy-devices", "virtual-ethernets", "ra-overrides", "hairpin"),
    "ipv6-address-generation mode",
}
"""Keys that the netplan of Debian 12 (0.106) does not know. That of Debian 13 (1.1) knows every key."""


class UnknownKey(Exception):
    """A key that the installed netplan does not know."""


def netplan_files(
    command: Sequence[str], root: Path, seen: str, text: str, unknown_keys: Collection[str] = ()
) -> Files:
    """Return the files that netplan makes of a document below ``root``, whose path is ``seen`` for netplan.

    Raises `UnknownKey` for one of ``unknown_keys``; any other unknown key is a fault of ours.
    """
    shutil.rmtree(root, ignore_errors=True)
    (root / "etc/netplan").mkdir(parents=True)
    document = root / "etc/netplan/x.yaml"
    document.touch(0o600)
    document.write_text("network:\n  version: 2\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    done = subprocess.run([*command, "--root-dir", seen], capture_output=True, text=True)
    if unknown := re.search("unknown key '(.*)'|: (?:eth0: )?(.*) is not supported by networkd", done.stderr):
        key = unknown[1] or unknown[2]
        assert key in unknown_keys, f"netplan does not know {key}"
        raise UnknownKey(key)
    assert done.returncode == 0, done.stderr
    made = root / "run/systemd/network"
    return {path.name.removeprefix("10-netplan-"): parsed(path.read_text()) for path in made.iterdir()}


@pytest.fixture(scope="module", params=("here", "trixie"))
def netplan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netplan]:
    """Return a function that asks Debian's netplan: that of this machine, and that of Debian 13 in a separate root."""
    if request.param == "here":
        if not shutil.which("netplan"):
            pytest.skip("netplan is not installed here: apt-get install netplan.io")
        root = tmp_path_factory.mktemp("netplan") / "root"
        # `netplan generate` only starts Python to run this program.
        command = ["/usr/libexec/netplan/generate"] if GENERATE.exists() else ["netplan", "generate"]
        yield lambda text: netplan_files(command, root, os.fspath(root), text, OLD_NETPLAN)
        return
    tree = network_roots.netplan()
    root = tree / "tmp" / f"netplan-{os.getpid()}"
    chroot = ["chroot", os.fspath(tree), os.fspath(GENERATE)]
    yield lambda text: netplan_files(chroot, root, f"/tmp/{root.name}", text)
    shutil.rmtree(root, ignore_errors=True)


@pytest.mark.parametrize("name", SAMPLES)
def test_our_files_for_networkd_mean_the_same_as_those_of_netplan(name: str, netplan: Netplan) -> None:
    try:
        theirs = netplan(SAMPLES[name])
    except UnknownKey as error:
        pytest.skip(f"this netplan does not know {error}")
    made, blocked = ours(SAMPLES[name])

    assert blocked == ()
    assert comparable(made) == comparable(theirs)
