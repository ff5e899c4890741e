"""NetworkManager and ifupdown understand every line of our files; samples that they do not support are blocked.

The oracles are those of Debian 12: `nmcli --offline`, which prints a keyfile as it has read it, and `ifup --no-act`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Severity
from rig import debian_roots
from support.network import network_roots
from support.samples.network_samples import SAMPLES

pytestmark = pytest.mark.thorough

DEFAULTS = {
    # Values that NetworkManager does not print because they are its defaults.
    *(
        "ageing-time=300",
        "stp=true",
        "mode=balance-rr",
        "flags=1",
        "ip6-privacy=-1",
        "ageing=300",
        "limit=0",
        "autoconnect=true",
    ),
    *("preshared-key-flags=0", "ignore-auto-dns=false", "ignore-auto-routes=false", "dhcp-send-hostname=true"),
    *("learning=true", "proxy=false", "rsc=false", "l2-miss=false", "l3-miss=false", "priority=0"),
}
SPELLINGS = {"addr-gen-mode=eui64": "addr-gen-mode=0", "addr-gen-mode=stable-privacy": "addr-gen-mode=1"}
"""Numbers that NetworkManager prints as words, and reads in both forms."""
BLOCKED_BY_MANAGER = set(
    """
    ethernet-activation-off ethernet-address-label ethernet-address-lifetime ethernet-address-options-mixed
    ethernet-dhcp4-use-domains ethernet-dhcp4-use-domains-true ethernet-dhcp4-use-hostname
    ethernet-dhcp4-use-mtu ethernet-emit-lldp ethernet-ignore-carrier ethernet-nameservers
    ethernet-nameservers-search ethernet-ra-overrides ethernet-route-advertised-mss ethernet-route-types
    ethernet-rule-from ethernet-rule-to port-options tunnel-vxlan-everything tunnel-wireguard-file
    tunnel-wireguard-peers vrf
    """.split()
)
BLOCKED_BY_IFUPDOWN = set(
    """
    ethernet-activation-off ethernet-address-label ethernet-address-lifetime ethernet-address-options-mixed
    ethernet-critical ethernet-dhcp-both-overrides ethernet-dhcp-identifier ethernet-dhcp-identifier-duid
    ethernet-dhcp4-send-hostname ethernet-dhcp4-use-dns ethernet-dhcp4-use-domains ethernet-dhcp4-use-hostname
    ethernet-dhcp4-use-mtu ethernet-dhcp4-use-ntp ethernet-dhcp4-use-routes ethernet-dhcp6-route-metric
    ethernet-emit-lldp ethernet-ipv6-address-generation ethernet-ipv6-address-generation-privacy
    ethernet-ipv6-address-token ethernet-link-local-both ethernet-link-local-ipv4 ethernet-link-local-none
    ethernet-match-driver ethernet-match-drivers ethernet-match-mac ethernet-match-name ethernet-ra-overrides
    tunnel-vxlan-everything tunnel-wireguard tunnel-wireguard-file tunnel-wireguard-peers
    """.split()
)


def rendered(text: str, renderer: str) -> tuple[tuple[RegularFile, ...], set[str]]:
    """Return the files, and the codes of the problems that block."""
    indented = "".join(f"  {line}\n" for line in f"renderer: {renderer}\n{text}".splitlines())
    documents, wrong = read("x.yaml", f"ordain: v1\nkind: Layer\nname: x\nnetwork:\n{indented}".encode())
    assert wrong == ()
    compiled = compile(documents, facts_for("debian-12"), shipped=shipped())
    files = tuple(artifact for artifact in compiled.artifacts if isinstance(artifact, RegularFile))
    return files, {p.code for p in compiled.problems if p.severity is not Severity.WARNING}


@pytest.mark.parametrize(
    ("renderer", "expected"), [("NetworkManager", BLOCKED_BY_MANAGER), ("ifupdown", BLOCKED_BY_IFUPDOWN)]
)
def test_samples_that_a_renderer_does_not_support_are_blocked(renderer: str, expected: set[str]) -> None:
    blocked = {name: codes for name, text in SAMPLES.items() if (codes := rendered(text, renderer)[1])}

    assert set(blocked) == expected
    assert all(codes <= {"Renderer", "Needs"} for codes in blocked.values())


@pytest.fixture(scope="module")
def tree() -> Path:
    """Return a Debian 12 with both programs."""
    return network_roots.managers()


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - BLOCKED_BY_MANAGER))
def test_network_manager_understands_every_line(name: str, tree: Path) -> None:
    artifacts, _ = rendered(SAMPLES[name], "NetworkManager")
    keyfiles = [a for a in artifacts if a.path.endswith(".nmconnection")]
    assert keyfiles
    for artifact in keyfiles:
        command = ["chroot", os.fspath(tree), "nmcli", "--offline", "connection", "modify", "connection.zone", ""]
        done = subprocess.run(
            command, input=artifact.content, capture_output=True, text=True, env=debian_roots.CLEAN_ENVIRONMENT
        )
        assert (done.returncode, done.stderr) == (0, ""), artifact.content
        assert assignments(artifact.content) - assignments(done.stdout) == set()


def assignments(keyfile: str) -> set[str]:
    """Return ``section.key=value`` for each assignment that is not a default."""
    lines, section = set(), ""
    for line in keyfile.splitlines():
        line = SPELLINGS.get(line, line)
        if (address := re.fullmatch(r"(address1=[^,]+),(.+)", line)) is not None:
            lines |= {f"{section}.{address[1]}", f"{section}.gateway={address[2]}"}
            continue
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#") and line not in DEFAULTS:
            lines.add(f"{section}.{line}")
    return lines


@pytest.fixture
def interfaces(tree: Path) -> Iterator[Path]:
    """Return a file for stanzas in the tree."""
    where = tree / "tmp" / f"interfaces-{os.getpid()}"
    yield where
    where.unlink(missing_ok=True)
    shutil.rmtree(tree / "run/network", ignore_errors=True)


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - BLOCKED_BY_IFUPDOWN))
def test_ifup_runs_every_command(name: str, tree: Path, interfaces: Path) -> None:
    (artifact,) = (a for a in rendered(SAMPLES[name], "ifupdown")[0] if a.path == "/etc/network/interfaces.d/ordain")
    text = artifact.content
    interfaces.write_text(text)
    command = ["chroot", os.fspath(tree), "ifup", "--no-act", "--force", "--verbose", "-i", f"/tmp/{interfaces.name}"]
    names = re.findall(r"^(?:auto|allow-hotplug|iface) (\S+)", text, re.MULTILINE)
    done = subprocess.run(
        [*command, *dict.fromkeys(names)], capture_output=True, text=True, env=debian_roots.CLEAN_ENVIRONMENT
    )

    assert done.returncode == 0, done.stderr
    for run in re.findall(r"^    (?:pre-up|up) (.*)$", text, re.MULTILINE):
        assert run in done.stdout + done.stderr
    assert "unknown" not in done.stderr.lower()
