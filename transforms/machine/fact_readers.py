"""Reads the further facts (`formats.fact_table`) from the files below a root, and from nothing else.

    root/, names ──read_details──▶ the values of each fact, sorted

Only the facts in ``names`` are read: a machine whose documents use none of them does no work for them. A file that is
missing or unreadable gives no value, as on a machine without that hardware. Values that change while a machine runs,
such as free memory or the speed of a link, are not facts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.document.formats.fact_table import (
    FACT_TABLE,
    MAX_TEXT,
    MAX_VALUES,
    SITE,
    Known,
    ValueKind,
)
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import device_facts, installed_packages, rootfs, virtualization
from ordain.transforms.machine.observed_facts import read_observed

OBSERVED = frozenset(name for name, row in FACT_TABLE.items() if row.known is Known.AGENT)
REPORTED = frozenset(name for name, row in FACT_TABLE.items() if not row.large)
"""The facts that the reports of machines always hold."""
_PCI = "sys/bus/pci/devices"
_CPU = "sys/devices/system/cpu"
_MEMORY = "sys/devices/system/memory"
_LARGE_FILE = 16 << 20
"""The limit for /proc/cpuinfo, which has a paragraph for each CPU."""
_BLOCK = lazy_pattern(r"memory[0-9]+")
_SPAN = lazy_pattern(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_NODE = lazy_pattern(r"node[0-9]+")
_UNIT_DIRECTORIES = (
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "usr/local/lib/systemd/system",
    "etc/systemd/system",
)
_UNIT = lazy_pattern(r"[^/]+\.(service|socket|timer|mount|automount|swap|target|path|slice)")
_GPU_MAKERS = {"10de": "nvidia", "1002": "amd", "8086": "intel"}
_NOT_GPUS = frozenset(("1a03", "102b", "1234", "1b36", "15ad", "80ee", "1af4", "1013", "1414"))
"""Makers of displays without a GPU: ASPEED and Matrox (management controllers), and those of virtual machines."""
_DISPLAYS = ("03", "12")
"""The classes of display controllers, and of accelerators (PCI Code and ID Assignment Specification)."""

# The clouds by a file of SMBIOS and the beginning of its text, as cloud-init's ds-identify and systemd know them.
_CLOUDS: tuple[tuple[str, str, str], ...] = (
    ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "azure"),
    ("chassis_asset_tag", "OracleCloud.com", "oracle"),
    ("chassis_asset_tag", "Amazon EC2", "aws"),
    ("sys_vendor", "Amazon EC2", "aws"),
    ("bios_vendor", "Amazon EC2", "aws"),
    ("product_name", "Google Compute Engine", "gce"),
    ("product_name", "Alibaba Cloud ECS", "alibaba"),
    ("product_name", "OpenStack", "openstack"),
    ("chassis_asset_tag", "OpenStack", "openstack"),
    ("sys_vendor", "OpenStack", "openstack"),
    ("sys_vendor", "DigitalOcean", "digitalocean"),
    ("sys_vendor", "Hetzner", "hetzner"),
    ("sys_vendor", "Scaleway", "scaleway"),
    ("sys_vendor", "UpCloud", "upcloud"),
    ("sys_vendor", "Vultr", "vultr"),
    ("sys_vendor", "Akamai", "akamai"),
    ("sys_vendor", "Linode", "akamai"),
    ("sys_vendor", "Exoscale", "exoscale"),
    ("sys_vendor", "Tencent Cloud", "tencent"),
    ("sys_vendor", "Huawei Cloud", "huawei"),
)
# The types of a chassis in SMBIOS (7.4.1) in the words of systemd-hostnamed.
_CHASSIS: Mapping[str, str] = {
    **dict.fromkeys(("3", "4", "6", "7", "13", "35", "36"), "desktop"),
    **dict.fromkeys(("8", "9", "10", "14"), "laptop"),
    "11": "handset",
    **dict.fromkeys(("17", "23", "28", "29"), "server"),
    "30": "tablet",
    **dict.fromkeys(("31", "32"), "convertible"),
    **dict.fromkeys(("33", "34"), "embedded"),
}


def read_details(root: Path, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the values of those further facts in ``names`` that are known, () for a fact without a value.

    The facts of devices, of the network and of the site are those that the agent keeps (`observed_facts`).
    """
    wanted = frozenset(names)
    observed = read_observed(root) if any(map(is_observed, wanted)) else None
    kept = observed.values if observed else {}
    of_agent = {name: kept[name] for name in sorted(wanted) if is_observed(name) and name in kept}
    return {**read_now(root, (name for name in wanted if not is_observed(name))), **of_agent}


def unknown_details(root: Path, names: Iterable[str]) -> frozenset[str]:
    """Return those further facts in ``names`` that nobody knows yet."""
    wanted = sorted(filter(is_observed, names))
    observed = read_observed(root) if wanted else None
    return frozenset(name for name in wanted if observed is None or not observed.is_known(name))


def is_observed(name: str) -> bool:
    """Return whether the agent must observe the fact ``name``: it is not known from the first moment of a boot."""
    return name in OBSERVED or name.startswith(SITE)


def read_now(root: Path, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the values that files tell at this moment of those facts in ``names`` that are in the table."""
    wanted = sorted(FACT_TABLE.keys() & set(names))
    container = bool(virtualization.container(root)) if wanted else False
    return {
        name: () if container and not FACT_TABLE[name].in_container else _bounded(name, READERS[name](root))
        for name in wanted
    }


def _bounded(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return the values that are texts of one line, each once, sorted, and no more than the bounds allow."""
    kept = {value for value in values if value and len(value) <= MAX_TEXT and value.isprintable()}
    numbers = FACT_TABLE[name].kind in (ValueKind.NUMBER, ValueKind.SIZE)
    return tuple(sorted(kept, key=(lambda text: (len(text), text)) if numbers else None)[:MAX_VALUES])


def _text(root: Path, path: str, *, limit: int = rootfs.LIMIT) -> str:
    """Return the text of a file without the blanks around it, "" if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return (rootfs.read(root, path, limit=limit) or b"").decode("utf-8", "replace").strip()
    return ""


def _count(text: str) -> int:
    """Return the number of members in a list of the kernel, such as ``0-3,8``; 0 if it is not one."""
    count = 0
    for part in text.split(","):
        span = _SPAN.fullmatch(part)
        if span is None:
            return 0
        count += max(int(span[2] or span[1]) - int(span[1]) + 1, 0)
    return count


def _some(number: int) -> tuple[str, ...]:
    return (str(number),) if number else ()


def _cpus(root: Path) -> Iterable[str]:
    return _some(_count(_text(root, f"{_CPU}/present")))


def _sockets(root: Path) -> Iterable[str]:
    packages = set()
    for name in rootfs.names(root, _CPU):
        if name[:3] == "cpu" and is_decimal(name[3:]):
            packages.add(_text(root, f"{_CPU}/{name}/topology/physical_package_id"))
    return _some(len(packages - {"", "-1"}))


def _nodes(root: Path) -> Iterable[str]:
    return _some(sum(bool(_NODE.fullmatch(name)) for name in rootfs.names(root, "sys/devices/system/node")))


def _cpuinfo(*keys: str) -> Callable[[Path], Iterable[str]]:
    """Return the reader of the first paragraph of /proc/cpuinfo: the names of a key differ between architectures."""

    def read(root: Path) -> Iterable[str]:
        text = _text(root, "proc/cpuinfo", limit=_LARGE_FILE)
        entries = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]
        return next(([value.strip()] for key, _, value in entries if key.strip() in keys), ())

    return read


def _cpu_flags(root: Path) -> Iterable[str]:
    return [word for text in _cpuinfo("flags", "Features", "features", "isa")(root) for word in text.split()]


def _memory(root: Path) -> Iterable[str]:
    """Return the size of all blocks of memory: free(1) lacks what the kernel and the firmware keep, which changes."""
    with contextlib.suppress(ValueError):
        size = int(_text(root, f"{_MEMORY}/block_size_bytes") or "0", 16)
        if installed := size * sum(bool(_BLOCK.fullmatch(name)) for name in rootfs.names(root, _MEMORY)):
            return _some(installed)
    words = _text(root, "proc/meminfo").partition("\n")[0].split()
    return _some(int(words[1]) * 1024) if words[:1] == ["MemTotal:"] and is_decimal(words[1]) else ()


def _kernel(root: Path) -> Iterable[str]:
    return (_text(root, "proc/sys/kernel/osrelease"),)


def _pci_devices(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield class, vendor and device of each PCI device, as hexadecimal digits."""
    for address in rootfs.names(root, _PCI):
        files = (_text(root, f"{_PCI}/{address}/{name}") for name in ("class", "vendor", "device"))
        kind, vendor, device = (text.removeprefix("0x").lower() for text in files)
        if kind and vendor:
            yield kind, vendor, device


def _pci(root: Path) -> Iterable[str]:
    return [f"{vendor}:{device}" for _, vendor, device in _pci_devices(root)]


def _pci_classes(root: Path) -> Iterable[str]:
    return [kind[:4] for kind, _, _ in _pci_devices(root)]


def _gpu_vendors(root: Path) -> list[str]:
    return [v for kind, v, _ in _pci_devices(root) if kind[:2] in _DISPLAYS and v not in _NOT_GPUS]


def _gpu(root: Path) -> Iterable[str]:
    return [_GPU_MAKERS.get(vendor, vendor) for vendor in _gpu_vendors(root)]


def _gpus(root: Path) -> Iterable[str]:
    return _some(len(_gpu_vendors(root)))


def _smbios(name: str) -> Callable[[Path], Iterable[str]]:
    return lambda root: (_text(root, f"sys/class/dmi/id/{name}"),)


def _cloud(root: Path) -> Iterable[str]:
    texts = {name: _text(root, f"sys/class/dmi/id/{name}") for name in dict.fromkeys(name for name, _, _ in _CLOUDS)}
    return next(([cloud] for name, begin, cloud in _CLOUDS if texts[name].startswith(begin)), ())


def _chassis(root: Path) -> Iterable[str]:
    return (_CHASSIS.get(_text(root, "sys/class/dmi/id/chassis_type"), ""),)


def _units(root: Path) -> Iterable[str]:
    return [name for path in _UNIT_DIRECTORIES for name in rootfs.names(root, path) if _UNIT.fullmatch(name)]


READERS: Mapping[str, Callable[[Path], Iterable[str]]] = {
    "cpus": _cpus,
    "cpu-sockets": _sockets,
    "numa-nodes": _nodes,
    "cpu-vendor": _cpuinfo("vendor_id", "CPU implementer", "vendor"),
    "cpu-model": _cpuinfo("model name", "cpu model", "cpu", "machine"),
    "cpu-flag": _cpu_flags,
    "memory": _memory,
    "kernel": _kernel,
    "pci": _pci,
    "pci-class": _pci_classes,
    "gpu": _gpu,
    "gpus": _gpus,
    "cloud": _cloud,
    "chassis": _chassis,
    "board-name": _smbios("board_name"),
    "bios-version": _smbios("bios_version"),
    "chassis-asset-tag": _smbios("chassis_asset_tag"),
    "package": installed_packages.read,
    **device_facts.READERS,
    "unit": _units,
}
"""The reader of each fact of the table."""
