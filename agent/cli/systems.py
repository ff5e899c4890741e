"""Operating systems by name: what `render --os ID-VERSION` takes for granted of a machine it cannot see.

The systemd of a release is the one it came with; where minor releases moved it, the latest. Seen in each
distribution's package list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ordain.agent.cli.parse import Usage
from ordain.transforms.errors import near
from ordain.transforms.model import Facts

NEWEST = 260
"""The systemd that rolling releases are taken to have."""


@dataclass(frozen=True, slots=True)
class System:
    """One OS: ID_LIKE, and VERSION_ID → systemd's major version ("" for a release that rolls)."""

    like: tuple[str, ...]
    systemd: Mapping[str, int]


_RHEL = {"8": 239, "9": 252, "10": 257}
SYSTEMS = {
    "almalinux": System(("rhel", "centos", "fedora"), _RHEL),
    "amzn": System(("fedora",), {"2023": 252}),
    "arch": System((), {"": NEWEST}),
    "centos": System(("rhel", "fedora"), {"9": 252, "10": 257}),
    "debian": System((), {"11": 247, "12": 252, "13": 257}),
    "fedora": System((), {"40": 255, "41": 256, "42": 257, "43": 258}),
    "manjaro": System(("arch",), {"": NEWEST}),
    "opensuse-leap": System(("suse", "opensuse"), {"15.5": 249, "15.6": 254, "16.0": 257}),
    "opensuse-tumbleweed": System(("opensuse", "suse"), {"": NEWEST}),
    "raspbian": System(("debian",), {"11": 247, "12": 252}),
    "rhel": System(("fedora",), _RHEL),
    "rocky": System(("rhel", "centos", "fedora"), _RHEL),
    "sles": System(("suse",), {"15.5": 249, "15.6": 254, "15.7": 254, "16.0": 257}),
    "ubuntu": System(("debian",), {"20.04": 245, "22.04": 249, "24.04": 255, "25.04": 257, "25.10": 257}),
}


def facts_of(name: str, *, systemd: int | None = None) -> Facts:
    """The facts of a machine with the OS called ``name``; raises `Usage` if systemd's version stays unknown.

    >>> facts = facts_of("rocky-9.4")
    >>> facts.id, facts.version, facts.systemd, facts.like[0]
    ('rocky', '9.4', 252, 'rhel')
    """
    identity, version = _split(name)
    system = SYSTEMS.get(identity)
    if systemd is None:
        systemd = _systemd(name, identity, version)
    return Facts(id=identity, like=system.like if system else (), version=version, systemd=systemd)


def _split(name: str) -> tuple[str, str]:
    """ID and VERSION_ID; an ID may hold dashes, a VERSION_ID begins with a digit."""
    identity, dash, version = name.rpartition("-")
    return (identity, version) if dash and version[:1].isdigit() else (name, "")


def _systemd(name: str, identity: str, version: str) -> int:
    known = SYSTEMS.get(identity)
    if known is None:
        raise Usage(f"--os: {name!r} is not known here; {near(identity, SYSTEMS) or 'add --systemd N'}")
    # 9.4 has what 9 has: RHEL and its kin keep one systemd within a major release.
    found = known.systemd.get(version) or known.systemd.get(version.partition(".")[0])
    if found is None:
        versions = ", ".join(f"{identity}-{v}" if v else identity for v in known.systemd)
        raise Usage(f"--os: no systemd is known for {name!r}; known are {versions}; or add --systemd N")
    return found
