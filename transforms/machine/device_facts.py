"""Reads the facts of devices and of the network, which appear while a machine boots, from the files below a root.

The agent reads them when it has started and keeps them (`observed_facts`): before that, a disk or an address that is
still missing would look like one that was removed.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs

_BLOCK = "sys/class/block"
_NET = "sys/class/net"
_SECTOR = 512
"""The unit of /sys/class/block/NAME/size, whatever the disk itself uses."""
_OF_OTHERS = lazy_pattern(r"(lo|docker|virbr|veth|cni|flannel|cali|podman|lxc|lxd|tun|tap|wg|br-[0-9a-f]{12}).*")
"""Interfaces of containers, virtual machines and tunnels, whose networks come and go."""
_UP = 0x1
_DEFAULT = "00000000"


def _text(root: Path, path: str) -> str:
    """Return the text of a file without the blanks around it, "" if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return (rootfs.read(root, path) or b"").decode("utf-8", "replace").strip()
    return ""


def _disks(root: Path) -> list[str]:
    """Return the names of the disks: block devices with hardware that are not removable, and no partitions."""
    return [
        name
        for name in rootfs.names(root, _BLOCK)
        if rootfs.exists(root, f"{_BLOCK}/{name}/device")
        and not rootfs.exists(root, f"{_BLOCK}/{name}/partition")
        and _text(root, f"{_BLOCK}/{name}/removable") != "1"
        and _text(root, f"{_BLOCK}/{name}/size") not in ("", "0")
    ]


def _count(root: Path) -> Iterable[str]:
    return (str(len(_disks(root))),)


def _sizes(root: Path) -> Iterable[str]:
    sizes = (_text(root, f"{_BLOCK}/{name}/size") for name in _disks(root))
    return [str(int(size) * _SECTOR) for size in sizes if size.isascii() and size.isdigit()]


def _types(root: Path) -> Iterable[str]:
    for name in _disks(root):
        if name.startswith("nvme"):
            yield "nvme"
        elif name.startswith(("vd", "xvd")):
            yield "virtual"
        else:
            yield "hdd" if _text(root, f"{_BLOCK}/{name}/queue/rotational") == "1" else "ssd"


def _models(root: Path) -> Iterable[str]:
    return [" ".join(_text(root, f"{_BLOCK}/{name}/device/model").split()) for name in _disks(root)]


def _nics(root: Path) -> list[str]:
    return [name for name in rootfs.names(root, _NET) if rootfs.exists(root, f"{_NET}/{name}/device")]


def _drivers(root: Path) -> Iterable[str]:
    for name in _nics(root):
        with contextlib.suppress(OSError):
            yield rootfs.chase(root, f"{_NET}/{name}/device/driver").name.replace("driver", "")


def _infiniband(root: Path) -> Iterable[str]:
    return rootfs.names(root, "sys/class/infiniband")


def _routes(root: Path) -> Iterator[tuple[str, str, str, int, str]]:
    """Yield interface, destination, gateway, flags and mask of each route for IPv4, as /proc/net/route has them."""
    for line in _text(root, "proc/net/route").splitlines()[1:]:
        words = line.split()
        with contextlib.suppress(ValueError, IndexError):
            yield words[0], words[1], words[2], int(words[3], 16), words[7]


def _address(digits: str) -> str:
    """Return the address in the hexadecimal digits of a word in the order of bytes of this machine.

    >>> _address("0100000A") in ("10.0.0.1", "1.0.0.10")
    True
    """
    import socket  # which few machines need

    return socket.inet_ntoa(struct.pack("=L", int(digits, 16)))


def _subnets(root: Path) -> Iterable[str]:
    """Yield the networks of the addresses: connected routes for IPv4, addresses with their prefix for IPv6."""
    import ipaddress  # which few machines need

    for name, destination, gateway, flags, mask in _routes(root):
        if flags & _UP and gateway == _DEFAULT and destination != _DEFAULT and not _OF_OTHERS.fullmatch(name):
            with contextlib.suppress(ValueError, struct.error):
                network = ipaddress.ip_network(f"{_address(destination)}/{_address(mask)}")
                if not network.is_link_local:
                    yield str(network)
    for line in _text(root, "proc/net/if_inet6").splitlines():
        words = line.split()
        with contextlib.suppress(ValueError, IndexError):
            interface = ipaddress.IPv6Interface((bytes.fromhex(words[0]), int(words[2], 16)))
            if not (interface.is_link_local or interface.is_loopback or _OF_OTHERS.fullmatch(words[5])):
                yield str(interface.network)


def _gateways(root: Path) -> Iterable[str]:
    for _, destination, gateway, flags, _ in _routes(root):
        if flags & _UP and destination == _DEFAULT and gateway != _DEFAULT:
            with contextlib.suppress(ValueError, struct.error):
                yield _address(gateway)


READERS: Mapping[str, Callable[[Path], Iterable[str]]] = {
    "disk": _disks,
    "disks": _count,
    "disk-size": _sizes,
    "disk-type": _types,
    "disk-model": _models,
    "nic": _nics,
    "nic-driver": _drivers,
    "infiniband": _infiniband,
    "subnet": _subnets,
    "gateway": _gateways,
}
"""The reader of each fact that only the agent knows."""
