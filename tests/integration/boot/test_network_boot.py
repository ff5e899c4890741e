"""DHCP for machines that boot from the network: real dnsmasq with the printed configuration, and a real client."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ordain.agent.server.dnsmasq import dnsmasq_configuration
from rig.debian_roots import CLEAN_ENVIRONMENT

pytestmark = pytest.mark.integration

URL = "http://192.0.2.1:8080"
SCRIPT = """\
set -e
ip link add server type veth peer name client
ip address add 192.0.2.1/24 dev server
ip link set server up
ip link set client up
dnsmasq --no-daemon --conf-file="$1/conf" --interface=server --bind-interfaces --user=root \
	--dhcp-leasefile="$1/leases" --pid-file= 2>"$1/log" &
trap 'kill $!' EXIT
shift
busybox udhcpc --foreground --quit --now --retries=20 --interface=client --script="$PRINT" "$@"
"""
PRINT = '#!/bin/sh\n[ "$1" != bound ] || echo "boot=$boot_file$bootfile address=$ip"\n'
IPXE = ["-x", "0xaf:b105010180"]
"""Option 175, by which iPXE is known (https://ipxe.org/howto/dhcpd)."""


def boot_file(folder: Path, options: list[str]) -> str:
    """Return the name of the boot file that a client with these options of DHCP gets."""
    (folder / "conf").write_text(dnsmasq_configuration(URL, "192.0.2.100,192.0.2.200"))
    (folder / "print").write_text(PRINT)
    (folder / "print").chmod(0o755)
    command = ["unshare", "--net", "sh", "-c", SCRIPT, "sh", str(folder), "-O", "bootfile", *options]
    environment = {**CLEAN_ENVIRONMENT, "PRINT": str(folder / "print")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    log = (folder / "log").read_text() if (folder / "log").exists() else ""
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{log}"
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("boot=")]
    words = dict(word.partition("=")[::2] for word in line.split())
    assert 100 <= int(words["address"].removeprefix("192.0.2.")) <= 200
    return words["boot"]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], "undionly.kpxe"),
        (["-x", "0x5d:0000"], "undionly.kpxe"),
        (["-x", "0x5d:0007"], "ipxe.efi"),
        (["-x", "0x5d:0009"], "ipxe.efi"),
        (["-x", "0x5d:0010", "-V", "HTTPClient:Arch:00016:UNDI:003001"], f"{URL}/files/ipxe.efi"),
        ([*IPXE, "-x", "0x5d:0007"], f"{URL}/boot.ipxe"),
        (IPXE, f"{URL}/boot.ipxe"),
    ],
    ids=["unknown", "BIOS", "UEFI", "UEFI x86-64", "UEFI HTTP boot", "iPXE of UEFI", "iPXE of BIOS"],
)
def test_each_kind_of_firmware_gets_its_boot_file(tmp_path: Path, options: list[str], wanted: str) -> None:
    assert boot_file(tmp_path, options) == wanted
