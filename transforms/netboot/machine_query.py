"""The facts of a machine in the query of its request, as the script `ipxe_script.ASK` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Facts

ARCHITECTURES: Mapping[str, str] = {
    "x86_64": "x86-64",
    "i386": "x86",
    "arm64": "arm64",
    "arm32": "arm",
    "riscv64": "riscv64",
    "riscv32": "riscv32",
    "loong64": "loongarch64",
}
"""``buildarch`` of iPXE (https://ipxe.org/cfg/buildarch) to systemd's names."""
FIRMWARES: Mapping[str, str] = {"pcbios": "bios", "efi": "uefi"}
"""``platform`` of iPXE (https://ipxe.org/cfg/platform) to the values of the fact."""
MAX_TEXT = 128
_MAC = lazy_pattern(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UUID = lazy_pattern(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


BEFORE_ANY_SYSTEM = Facts(id="", systemd=0, hostname="", arch="x86-64", virtualization="", root="")
"""The facts of a machine of which nothing is known yet."""


def parse_mac(text: str) -> str:
    """Return a MAC address as `Facts` hold it, "" if ``text`` is not one.

    >>> parse_mac("52-54-00-AB-CD-EF"), parse_mac("web3")
    ('52:54:00:ab:cd:ef', '')
    """
    address = text.lower().replace("-", ":")
    return address if _MAC.fullmatch(address) else ""


def facts_of_query(query: Mapping[str, str]) -> Facts | None:
    """Return the facts in ``query`` without wrong values; None if it has neither a valid MAC address nor a UUID."""
    mac, uuid = parse_mac(query.get("mac", "")), query.get("uuid", "").lower()
    if not mac and not _UUID.fullmatch(uuid):
        return None
    return replace(
        BEFORE_ANY_SYSTEM,
        arch=ARCHITECTURES.get(query.get("arch", ""), "unknown"),
        mac=(mac,) if mac else (),
        system_firmware=FIRMWARES.get(query.get("firmware", ""), ""),
        system_uuid=uuid if _UUID.fullmatch(uuid) else "",
        system_serial_number=_text(query.get("serial", "")),
        system_manufacturer=_text(query.get("manufacturer", "")),
        system_product_name=_text(query.get("product", "")),
    )


def _text(text: str) -> str:
    return text.strip() if len(text) <= MAX_TEXT and text.isprintable() else ""
