"""Keyfiles for Wi-Fi, modems, 802.1X and InfiniBand have the sections that netplan of Debian 13 writes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rig import debian_roots
from support.network import network_roots
from support.network.network_compile import compiled, refusals

COMPARED = {"802-1x", "wifi", "wifi-security", "gsm", "cdma", "infiniband"}
SAMPLES = {
    "shared key": 'wifis: {wlan0: {access-points: {"some ssid": {password: "s0s3cr;t word"}}}}',
    "everything of a network": (
        "wifis: {wlan0: {wakeonwlan: [magic_pkt, disconnect], access-points: {home: {password: secret-word,"
        ' hidden: true, bssid: "52:54:00:12:34:56", band: 5GHz, channel: 36}, other: {band: 2.4GHz}}}}'
    ),
    "access point": "wifis: {wlan0: {access-points: {mine: {mode: ap}, near: {mode: adhoc}}}}",
    "wpa3": "wifis: {wlan0: {access-points: {home: {auth: {key-management: sae, password: secret-word}}}}}",
    **{
        f"psk by {key}": (
            f"wifis: {{wlan0: {{access-points: {{a: {{auth: {{key-management: {key}, password: secret-word}}}}}}}}}}"
        )
        for key in ("psk", "psk-sha256")
    },
    **{
        f"eap by {key}": (
            f"wifis: {{wlan0: {{access-points: {{a: {{auth: {{key-management: {key}, method: tls, identity: me,"
            " client-certificate: /c, client-key: /k, client-key-password: pw}}}}}"
        )
        for key in ("eap", "eap-sha256", "802.1x")
    },
    "eap": (
        "wifis: {wlan0: {access-points: {work: {auth: {key-management: eap, method: peap, identity: me,"
        " anonymous-identity: nobody, password: pw, phase2-auth: mschapv2}}}}}"
    ),
    "suite b": (
        "wifis: {wlan0: {access-points: {work: {auth: {key-management: eap-suite-b-192, method: tls, identity: me,"
        " client-certificate: /c, client-key: /k, client-key-password: pw, ca-certificate: /ca}}}}}"
    ),
    "cable": (
        "ethernets: {eth0: {auth: {key-management: 802.1x, method: ttls, identity: me, password: 'a;b',"
        " phase2-auth: chap}}}"
    ),
    "certificate": (
        "ethernets: {eth0: {auth: {key-management: 802.1x, method: tls, identity: me, client-certificate: /c,"
        " client-key: /k, client-key-password: pw}}}"
    ),
    "gsm": (
        "modems: {wan: {apn: internet, username: me, password: pw, pin: '0000', network-id: '25409',"
        " number: '*99#', sim-id: '8914', sim-operator-id: '310260', device-id: da812de9}}"
    ),
    "gsm by itself": "modems: {wan: {auto-config: true}}",
    "gsm without settings": "modems: {wan: {pin: '1234', mtu: 1600}}",
    "cdma": "modems: {wan: {number: '#777', mtu: 1542, username: me, password: pw}}",
    "infiniband": "ethernets: {ib0: {infiniband-mode: connected}}",
}
pytestmark = pytest.mark.thorough
Keyfile = dict[str, dict[str, str]]


def parsed(text: str) -> Keyfile:
    """Return the compared sections, each with its keys and values."""
    sections: Keyfile = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#") and name in COMPARED:
            key, _, value = line.partition("=")
            sections.setdefault(name, {})[key] = value
    return sections


@pytest.fixture(scope="module")
def tree() -> Path:
    return network_roots.netplan()


@pytest.mark.parametrize("name", SAMPLES)
def test_our_keyfiles_have_the_sections_of_netplans(name: str, tree: Path) -> None:
    section: dict[str, Any] = yaml.safe_load(SAMPLES[name])
    root = tree / "tmp" / f"keyfiles-{os.getpid()}"
    shutil.rmtree(root, ignore_errors=True)
    (root / "etc/netplan").mkdir(parents=True)
    document = root / "etc/netplan/x.yaml"
    document.touch(0o600)
    document.write_text(yaml.safe_dump({"network": {"version": 2, "renderer": "NetworkManager", **section}}))
    command = ["chroot", os.fspath(tree), "/usr/libexec/netplan/generate", "--root-dir", f"/tmp/{root.name}"]
    subprocess.run(command, check=True, capture_output=True, env=debian_roots.CLEAN_ENVIRONMENT)
    theirs = [parsed(path.read_text()) for path in root.glob("run/NetworkManager/system-connections/*")]
    shutil.rmtree(root)

    files, problems = compiled(section, "NetworkManager")

    assert refusals(problems) == []
    ours = [parsed(text) for path, text in files.items() if path.endswith(".nmconnection")]
    assert theirs
    assert sorted(map(repr, map(sort_keys, ours))) == sorted(map(repr, map(sort_keys, theirs)))


def sort_keys(keyfile: Keyfile) -> Keyfile:
    """Return the sections and keys in order."""
    return {name: dict(sorted(keyfile[name].items())) for name in sorted(keyfile)}
