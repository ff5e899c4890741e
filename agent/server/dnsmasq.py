"""The configuration of dnsmasq, which gives machines that boot from the network an address, iPXE, and our URL.

    firmware ─DHCP▶ iPXE by TFTP (or HTTP) ─DHCP▶ /boot.ipxe of `ordainctl serve`

Sources: dnsmasq(8); the architectures are those of RFC 4578 and of IANA's list "Processor Architecture Types".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from ordain.agent.errors import Failure
from ordain.transforms.netboot.ipxe_script import FILES, SCRIPT

IPXE = "/usr/lib/ipxe"
"""The directory of Debian's package ipxe."""
BIOS, UEFI = "undionly.kpxe", "ipxe.efi"
UEFI_TAGS: Mapping[int, str] = {7: "uefi", 9: "uefi", 16: "uefi-http"}
"""By number of option 93: x86-64 as EFI BC and as x86-64, and x86-64 with HTTP boot."""
TEMPLATE = """\
# DHCP and TFTP for machines that boot from the network. Machines that already run iPXE get the URL of the script.
port=0
dhcp-range={range}
enable-tftp
tftp-root={ipxe}
dhcp-match=set:ipxe,175
{matches}
dhcp-boot=tag:!ipxe,tag:!uefi,tag:!uefi-http,{bios}
dhcp-boot=tag:!ipxe,tag:uefi,{uefi}
# UEFI HTTP boot: copy {ipxe}/{uefi} to the directory of --files.
dhcp-option-force=tag:!ipxe,tag:uefi-http,60,HTTPClient
dhcp-boot=tag:!ipxe,tag:uefi-http,{url}/{files}/{uefi}
dhcp-boot=tag:ipxe,{url}/{script}
"""


def dnsmasq_configuration(url: str, addresses: str) -> str:
    """Return the configuration for a server at ``url``; ``addresses`` is ``FIRST,LAST``. Raises `Failure`."""
    first, comma, last = addresses.partition(",")
    try:
        inside = comma and ipaddress.IPv4Address(first) <= ipaddress.IPv4Address(last)
    except ValueError:
        inside = False
    if not inside:
        raise Failure(f"{addresses}: not a range of IPv4 addresses; write FIRST,LAST, as in 192.0.2.100,192.0.2.200")
    matches = "\n".join(f"dhcp-match=set:{tag},option:client-arch,{number}" for number, tag in UEFI_TAGS.items())
    return TEMPLATE.format(
        range=addresses, ipxe=IPXE, matches=matches, bios=BIOS, uefi=UEFI, url=url, files=FILES, script=SCRIPT
    )
