"""Checks of the strings in the section ``network``, by the name in the ``format`` of a schema.

Each raises `ValueError` with a hint. If a template makes a string, the renderer checks it again. No string that passes
can have a second meaning in a file of any renderer: none holds a blank, a line end or a bracket. ``free-text`` and
``ssid`` are the exceptions, for NetworkManager only: `value_text.keyfile_text` escapes them.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.values import EncodeError, timespan

Check = Callable[[str], None]


def _pattern(pattern: str, hint: str) -> Check:
    compiled = lazy_pattern(pattern, re.ASCII)

    def check(text: str) -> None:
        if not compiled.fullmatch(text):
            raise ValueError(hint)

    return check


def interface(text: str) -> None:
    """Check the name of a network interface for the kernel and udev (dev_valid_name(), ifname_valid_full())."""
    if len(text) > 15:
        raise ValueError("use at most 15 characters")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", text, re.ASCII) or text.isdigit():
        raise ValueError("use letters, digits and - _ . +, and not only digits")
    if text in {"all", "default", "lo"}:
        raise ValueError("the kernel uses this name itself; choose another one")


def address(text: str) -> None:
    """Check an IP address; an IPv6 address must not have a scope."""
    version(text)


def version(text: str) -> int:
    """Return 4 or 6 for an IP address with or without a prefix length. Raises `ValueError`."""
    try:
        if "%" in text or not re.fullmatch(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", text, re.ASCII):
            raise ValueError
        family = ipaddress.ip_interface(text).version
    except ValueError:
        raise ValueError("such as 192.0.2.1 or 2001:db8::1") from None
    prefix = text.partition("/")[2]
    if prefix != "0" and prefix.startswith("0"):  # networkd reads 024 as 20, an octal number
        raise ValueError(f"write /{int(prefix)}: a prefix length has no 0 before it")
    return family


def interface_address(text: str) -> None:
    """Check an address with its prefix length."""
    if "/" not in text:
        raise ValueError("write the prefix length, such as 192.0.2.1/24")
    version(text)


def _address_or_template(text: str) -> None:
    if text != "template":
        interface_address(text)


def _of(wanted: int, example: str) -> Check:
    def check(text: str) -> None:
        if "/" in text or version(text) != wanted:
            raise ValueError(f"such as {example}")

    return check


def _plain_address(text: str) -> None:
    if "/" in text:
        raise ValueError("write it without a prefix length")
    version(text)


def network(text: str) -> None:
    """Check a network or an address."""
    version(text)


def destination(text: str) -> None:
    """Check the destination of a route: a network, an address, or ``default``."""
    if text != "default":
        version(text)


def domain(text: str) -> None:
    """Check the name of a host or a domain, absolute or not."""
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_-]{0,62}", label, re.ASCII) for label in labels):
        raise ValueError("use letters, digits, - and _ between dots, at most 253 characters")


def search(text: str) -> None:
    """Check a search domain; ``~`` in front makes it a routing domain (systemd.network(5), Domains=)."""
    if text not in {".", "~."}:
        domain(text.removeprefix("~"))


def host_and_port(text: str) -> None:
    """Check ``HOST:PORT`` of a WireGuard peer; an IPv6 address is in brackets."""
    host, colon, number = text.rpartition(":")
    if not colon:
        raise ValueError("such as 192.0.2.1:51820 or [2001:db8::1]:51820")
    port(number)
    if host.startswith("[") and host.endswith("]"):
        _of(6, "[2001:db8::1]:51820")(host[1:-1])
    else:
        domain(host)


def wireguard_key(text: str) -> None:
    """Check a WireGuard key: 32 bytes in base64."""
    try:
        right = len(text) == 44 and len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        right = False
    if not right:
        raise ValueError("use 44 characters of base64, as `wg genkey` prints them")


def wireguard_secret(text: str) -> None:
    """Check a WireGuard key, or the path of a file that holds one."""
    try:
        wireguard_key(text)
    except ValueError:
        if not text.startswith("/"):
            raise
        file(text)


def port(text: str) -> None:
    """Check a port."""
    if not re.fullmatch("[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise ValueError("use 1 to 65535")


def tunnel_key(text: str) -> None:
    """Check the key of a tunnel: a number of 32 bits, an IPv4 address, or the private key of WireGuard."""
    if re.fullmatch("[0-9]{1,10}", text, re.ASCII):
        if int(text) >= 2**32:
            raise ValueError("use a number below 4294967296")
    elif len(text) >= 40 or text.startswith("/"):
        wireguard_secret(text)
    else:
        _of(4, "1234 or 192.0.2.1")(text)


def interval(text: str) -> None:
    """Check a time; a bare number is in the unit of its key."""
    try:
        timespan(text)
    except EncodeError as error:
        raise ValueError(error.hint or error.what) from None


def free_text(text: str) -> None:
    """Check a text such as a password, which may have any printable character of ASCII in it."""
    if not re.fullmatch("[ -~]{1,255}", text, re.ASCII):
        raise ValueError("use 1 to 255 printable characters of ASCII")


def ssid(text: str) -> None:
    """Check the name of a Wi-Fi network."""
    if not re.fullmatch("[ -~]{1,32}", text, re.ASCII):
        raise ValueError("use 1 to 32 printable characters of ASCII")


file = _pattern(r"/[A-Za-z0-9_.@:+,=/-]{1,4000}", "use an absolute path of letters, digits and _.@:+,=-")
FORMATS: dict[str, Check] = {
    "bridge-interval": interval,
    "domain": domain,
    "driver": _pattern(r"!?[A-Za-z0-9_*?\[\]-]{1,64}", "use letters, digits, - _ and globs"),
    "host-and-port": host_and_port,
    "interface": interface,
    "interface-address": interface_address,
    "interface-address-or-template": _address_or_template,
    "interface-glob": _pattern(r"[A-Za-z0-9_.+*?\[\]-]{1,15}", "use at most 15 letters, digits, - _ . + and globs"),
    "interface-label": _pattern(r"[A-Za-z0-9_.:+-]{1,15}", "use at most 15 letters, digits and - _ . : +"),
    "ip": _plain_address,
    "ip-family": _pattern("ipv4|ipv6", "use ipv4 or ipv6"),
    "ipv4": _of(4, "192.0.2.1"),
    "ipv6": _of(6, "2001:db8::1"),
    "access-point-name": _pattern(r"[A-Za-z0-9._-]{1,63}", "use letters, digits and - _ ."),
    "address-kind": _pattern("ipv4-ll|ipv6-ra|dhcp4|dhcp6|static", "use ipv4-ll, ipv6-ra, dhcp4, dhcp6 or static"),
    "country": _pattern("[A-Z]{2}|00", "use two capital letters (ISO 3166)"),
    "digits": _pattern("[0-9]{1,24}", "use digits"),
    "file": file,
    "free-text": free_text,
    "ssid": ssid,
    "wake-on-wlan": _pattern(
        "default|any|disconnect|magic_pkt|gtk_rekey_failure|eap_identity_req|four_way_handshake|rfkill_release|tcp",
        "use a word of netplan's reference, such as magic_pkt",
    ),
    "network-word": _pattern("[A-Za-z0-9_.:@-]{1,64}", "use letters, digits and - _ . : @"),
    "mac": _pattern(r"([0-9A-Fa-f]{2}:){5}(([0-9A-Fa-f]{2}:){14})?[0-9A-Fa-f]{2}", "such as 52:54:00:12:34:56"),
    "mac-or-policy": _pattern(
        r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}|permanent|random|stable|preserve",
        "such as 52:54:00:12:34:56, or one of permanent, random, stable, preserve",
    ),
    "network": network,
    "network-id": _pattern(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}", "use at most 64 letters, digits and - _ . +"),
    "operator": _pattern("[0-9]{5,6}", "use 5 or 6 digits"),
    "port": port,
    "route-destination": destination,
    "search-domain": search,
    "tunnel-key": tunnel_key,
    "vxlan-checksum": _pattern(
        "udp|zero-udp6-tx|zero-udp6-rx|remote-tx|remote-rx",
        "use udp, zero-udp6-tx, zero-udp6-rx, remote-tx or remote-rx",
    ),
    "vxlan-extension": _pattern("group-policy|generic-protocol", "use group-policy or generic-protocol"),
    "vxlan-miss": _pattern("l2-miss|l3-miss", "use l2-miss or l3-miss"),
    "wireguard-key": wireguard_key,
    "wireguard-secret": wireguard_secret,
}
