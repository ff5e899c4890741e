"""The table of the further facts: those that are only read if a document, a report or a person asks for them.

The facts that every compile knows are in `conditions.FACTS`. A label that has the name of a further fact overrides it,
so that a new row never changes the meaning of documents that have such a label.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ordain.transforms.document.formats import conditions
from ordain.transforms.lazy_patterns import lazy_pattern

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


class ValueKind(StrEnum):
    """The kinds of values; each has a way to compare, see `holds`."""

    WORD = "a text, or a pattern with * and ?"
    NUMBER = "a number or a range, such as 8 or >=8 <64"
    SIZE = "a size or a range, such as >=64G"
    VERSION = "a version or a range, such as >=6.1"
    NETWORK = "an address or a network, such as 10.1.0.0/16"


class Known(StrEnum):
    """The earliest moment at which a fact is known."""

    IMAGE = "in an image"
    KERNEL = "from the first moment of a boot"
    AGENT = "when the agent has looked; later boots begin with the value of the last one"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRow:
    """A further fact. ``many``: it is a list, of which any value may match. ``large``: reports leave it out.

    ``in_container``: a container has it as well; other hardware belongs to its host.
    """

    about: str
    example: str
    kind: ValueKind = ValueKind.WORD
    known: Known = Known.KERNEL
    many: bool = False
    large: bool = False
    in_container: bool = False


_WORD, _NUMBER, _SIZE = ValueKind.WORD, ValueKind.NUMBER, ValueKind.SIZE
FACT_TABLE: Mapping[str, FactRow] = {
    "cpus": FactRow(
        about="The number of CPUs that the kernel knows, as `nproc --all`.",
        example=">=8",
        kind=_NUMBER,
        in_container=True,
    ),
    "cpu-sockets": FactRow(about="The number of processors.", example="2", kind=_NUMBER, in_container=True),
    "numa-nodes": FactRow(about="The number of NUMA nodes.", example=">1", kind=_NUMBER, in_container=True),
    "cpu-vendor": FactRow(about="The maker in /proc/cpuinfo.", example="AuthenticAMD", in_container=True),
    "cpu-model": FactRow(about="The model name in /proc/cpuinfo.", example="*EPYC*", in_container=True),
    "cpu-flag": FactRow(
        about="The flags or features in /proc/cpuinfo.", example="avx512f", many=True, large=True, in_container=True
    ),
    "memory": FactRow(
        about="The installed memory in bytes, as the total of `lsmem`; without it, the total of `free`.",
        example=">=64G",
        kind=_SIZE,
        in_container=True,
    ),
    "kernel": FactRow(
        about="The version of the kernel.", example=">=6.1", kind=ValueKind.VERSION, in_container=True
    ),
    "pci": FactRow(
        about="The PCI devices as VENDOR:DEVICE, as `lspci -n`.", example="10de:*", many=True, large=True
    ),
    "pci-class": FactRow(about="The classes of the PCI devices.", example="0207", many=True),
    "gpu": FactRow(
        about="The makers of the GPUs: nvidia, amd, intel, or the number of another one. "
        "The display of a management controller does not count.",
        example="nvidia",
        many=True,
    ),
    "gpus": FactRow(about="The number of GPUs.", example=">=4", kind=_NUMBER),
    "disk": FactRow(
        about="The names of the disks; removable ones, and partitions, do not count.",
        example="nvme*",
        known=Known.AGENT,
        many=True,
    ),
    "disks": FactRow(about="The number of disks.", example=">=2", kind=_NUMBER, known=Known.AGENT),
    "disk-size": FactRow(
        about="The sizes of the disks in bytes.", example=">=1T", kind=_SIZE, known=Known.AGENT, many=True
    ),
    "disk-type": FactRow(
        about="The types of the disks: nvme, ssd, hdd, or virtual.", example="nvme", known=Known.AGENT, many=True
    ),
    "disk-model": FactRow(about="The models of the disks.", example="SAMSUNG*", known=Known.AGENT, many=True),
    "nic": FactRow(
        about="The names of the network devices with hardware.",
        example="eno*",
        known=Known.AGENT,
        many=True,
        in_container=True,
    ),
    "nic-driver": FactRow(
        about="The drivers of the network devices.",
        example="mlx5_core",
        known=Known.AGENT,
        many=True,
        in_container=True,
    ),
    "infiniband": FactRow(about="The InfiniBand devices.", example="mlx5_*", known=Known.AGENT, many=True),
    "subnet": FactRow(
        about="The networks of the addresses; a network in `match` also matches smaller ones within it.",
        example="10.1.0.0/16",
        kind=ValueKind.NETWORK,
        known=Known.AGENT,
        many=True,
        in_container=True,
    ),
    "gateway": FactRow(
        about="The addresses of the default gateways for IPv4.",
        example="10.1.0.1",
        kind=ValueKind.NETWORK,
        known=Known.AGENT,
        many=True,
        in_container=True,
    ),
    "cloud": FactRow(about="The cloud that the machine runs in, from SMBIOS.", example="aws"),
    "chassis": FactRow(about="The type of the chassis, from SMBIOS, in words of hostnamed.", example="server"),
    "board-name": FactRow(about="The name of the main board, from SMBIOS.", example="H12SSL-i"),
    "bios-version": FactRow(about="The version of the firmware, from SMBIOS.", example="2.*"),
    "chassis-asset-tag": FactRow(about="The asset tag of the chassis, from SMBIOS.", example="INV-00123"),
    "package": FactRow(
        about="The installed packages, from the database of dpkg, rpm or pacman.",
        example="nginx",
        known=Known.IMAGE,
        many=True,
        large=True,
        in_container=True,
    ),
    "unit": FactRow(
        about="The installed unit files of the system and the administrator.",
        example="docker.service",
        known=Known.IMAGE,
        many=True,
        large=True,
        in_container=True,
    ),
}  # fmt: skip
"""The further facts by name. `machine.fact_readers.READERS` says how each is read."""
SITE = "facts."
"""The prefix of the facts of the site (facts.d) in `match`."""
SITE_NAME = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,54}")
MAX_VALUES = 20_000
"""The most values of one fact; a system has some 5,000 packages."""
MAX_TEXT = 256
"""The most characters of one value."""

_SIGNS: Mapping[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "": operator.eq,
}
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_TERM = lazy_pattern(r"(>=|<=|>|<|=|)\s*([0-9]{1,20}(?:\.[0-9]{1,6})?)([KMGTPE]?)")
_RANGE = lazy_pattern(rf"\s*{_TERM.pattern}(\s+{_TERM.pattern})*\s*")


def is_further_fact(name: str) -> bool:
    """Return whether ``name`` in `match` is a fact of the table, or one of the site, unless it is a label.

    >>> is_further_fact("memory"), is_further_fact("facts.rack"), is_further_fact("role"), is_further_fact("arch")
    (True, True, False, False)
    """
    return name in FACT_TABLE or name.startswith(SITE)


def holds(name: str, wanted: str, actual: Iterable[str]) -> bool:
    """Return whether any of the values ``actual`` of a further fact is the ``wanted`` one.

    >>> holds("memory", ">=64G", ["68719476736"]), holds("gpu", "nvidia", ["nvidia"]), holds("facts.row", ">3", ["4"])
    (True, True, True)
    """
    row = FACT_TABLE.get(name)
    kind = row.kind if row else _NUMBER if wanted.strip()[:1] in ("<", ">", "=") else _WORD
    compare = _COMPARE[kind]
    return bool(wanted) and any(compare(wanted, value) for value in actual)


def value_error(name: str, wanted: str) -> str:
    """Return the fault of ``wanted`` as a value of the fact ``name``, "" if it is valid.

    >>> value_error("memory", "64GB"), value_error("cpus", ">=8")
    ('"64GB" is not a size or a range, such as >=64G', '')
    """
    row = FACT_TABLE.get(name)
    if row is None:
        return ""
    wrong = {
        _WORD: False,
        _NUMBER: not _RANGE.fullmatch(wanted) or any(unit in wanted for unit in "KMGTPE"),
        _SIZE: not _RANGE.fullmatch(wanted),
        ValueKind.VERSION: conditions.range_error(wanted) is not None,
        ValueKind.NETWORK: _network(wanted) is None,
    }[row.kind]
    return f'"{wanted}" is not {row.kind}' if wrong else ""


def _in_range(wanted: str, value: str) -> bool:
    have = _RANGE.fullmatch(value) and _TERM.fullmatch(value)
    if not _RANGE.fullmatch(wanted) or not have or have[1]:
        return False
    number = _number(have[2], have[3])
    return all(_SIGNS[sign](number, _number(digits, unit)) for sign, digits, unit in _TERM.findall(wanted))


def _number(digits: str, unit: str) -> int:
    """Return a number in millionths, which are exact."""
    whole, _, fraction = digits.partition(".")
    return int(whole + fraction.ljust(6, "0")) << (10 * _UNITS[unit])


def _in_network(wanted: str, value: str) -> bool:
    outer, inner = _network(wanted), _network(value)
    if outer is None or inner is None or outer.version != inner.version:
        return False
    return outer.network_address <= inner.network_address and inner.broadcast_address <= outer.broadcast_address  # type: ignore[operator]


def _network(text: str) -> IPv4Network | IPv6Network | None:
    from ipaddress import ip_network

    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


_COMPARE: Mapping[ValueKind, Callable[[str, str], bool]] = {
    _WORD: lambda wanted, value: fnmatchcase(value, wanted),
    _NUMBER: _in_range,
    _SIZE: _in_range,
    ValueKind.VERSION: lambda wanted, value: conditions.in_range(value, wanted),
    ValueKind.NETWORK: _in_network,
}
