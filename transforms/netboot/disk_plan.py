"""The disk that a machine installs its system to: chosen, divided and named to be wiped, as data.

    section `disk` ─disk_plan▶ `DiskPlan`, faults
    `DiskPlan` ─install_words▶ arguments of the kernel ─parse_words▶ `InstallOrder`

The server makes the arguments from documents, and the program that installs (agent/install) reads them again, so a
script of a boot server says all that happens to a disk. A disk always has a partition for the boot loader of a BIOS, an
EFI system partition and a root, whatever the documents add, so that it starts with either firmware.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.document.formats.netboot_formats import (
    ONCE,
    PARTITION_TYPES,
    POLICIES,
    ROOT_FILE_SYSTEMS,
    partition_name,
)
from ordain.transforms.model import Branch, Leaf
from ordain.transforms.systemd.values import EncodeError, size

INSTALL = "ordain.install"
MIB = 1 << 20
DEVICE_FACTS = ("serial", "model", "wwn", "path")
"""The facts of a disk that are patterns; ``size-min`` and ``size-max`` are limits."""
_SAFE = "-._~/+@*?"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionPlan:
    """One partition; ``type`` is in `PARTITION_TYPES`, sizes are bytes, 0 for no limit, ``format`` "" is nothing."""

    name: str
    type: str
    format: str = ""
    size_min: int = 0
    size_max: int = 0
    mount: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskPlan:
    """All that is done to a disk.

    ``device`` are the facts that the one disk has, and ``wipe`` the contents that may be destroyed. With the policy
    `ONCE` a complete installation is never changed; with ``follow`` it follows the documents.
    """

    policy: str = ONCE
    device: Mapping[str, str] = field(default_factory=dict)
    partitions: tuple[PartitionPlan, ...] = ()
    wipe: tuple[str, ...] = ()

    @property
    def roots(self) -> tuple[PartitionPlan, ...]:
        """The partitions for the system; with two of them, an installation leaves the earlier one alone."""
        return tuple(partition for partition in self.partitions if partition.type == "root")


ALWAYS = (
    PartitionPlan(name="bios", type="bios", size_min=MIB, size_max=MIB),
    PartitionPlan(name="esp", type="esp", format="vfat", size_min=300 * MIB, size_max=300 * MIB),
    PartitionPlan(name="root", type="root", format="ext4"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFault:
    """A value of a plan that cannot be followed: the place in the documents, the reason and the remedy."""

    leaf: Leaf
    what: str
    hint: str


def disk_plan(disk: Branch) -> tuple[DiskPlan, tuple[PlanFault, ...]]:
    """Return the plan in the section ``disk``, and all that is wrong with it."""
    faults: list[PlanFault] = []
    partitions = {partition.name: partition for partition in ALWAYS}
    for name, branch in disk.branch("partitions").branches():
        partitions[name] = _partition(name, branch, partitions.get(name), faults)
    _check_mounts(disk.branch("partitions"), partitions.values(), faults)
    device = {name: str(leaf.value) for name, leaf in disk.branch("device").leaves() if leaf.value is not None}
    wiped = disk.branch("wipe").leaves()
    plan = DiskPlan(
        policy=str(disk.value("install") or ONCE),
        device=device,
        partitions=tuple(sorted(partitions.values(), key=_order)),
        wipe=tuple(name for name, leaf in wiped if leaf.value is not None),
    )
    return plan, tuple(faults)


def _order(partition: PartitionPlan) -> tuple[int, str]:
    return list(PARTITION_TYPES).index(partition.type), partition.name


def _partition(name: str, branch: Branch, before: PartitionPlan | None, faults: list[PlanFault]) -> PartitionPlan:
    default = before or PartitionPlan(name=name, type=name if name in PARTITION_TYPES else "linux-generic")
    kind = str(branch.value("type") or default.type)
    usual = {"root": "ext4", "esp": "vfat", "swap": "swap", "bios": ""}.get(kind, "ext4")
    limits = {key: _bytes(branch.leaf(key)) for key in ("size-min", "size-max")}
    made = PartitionPlan(
        name=name,
        type=kind,
        format=str(branch.value("format") or usual),
        size_min=default.size_min if limits["size-min"] is None else limits["size-min"],
        size_max=default.size_max if limits["size-max"] is None else limits["size-max"],
        mount=str(branch.value("mount") or ""),
    )
    if limits["size-min"] and not limits["size-max"] and made.size_max and made.size_max < made.size_min:
        made = replace(made, size_max=made.size_min)
    _check(made, before, branch, faults)
    return made


def _bytes(leaf: Leaf | None) -> int | None:
    try:
        return None if leaf is None or leaf.value is None else size(str(leaf.value))
    except EncodeError:
        return None  # the schema has reported it, or a template made it


def _check(made: PartitionPlan, before: PartitionPlan | None, branch: Branch, faults: list[PlanFault]) -> None:
    rules = (
        (
            before is not None and made.type != before.type,
            "type",
            f"the partition {made.name} has the type {before.type if before else ''}, which cannot change",
            "remove type, or choose another name",
        ),
        (
            made.type in ("bios", "esp") and before is None,
            "type",
            f"a disk has one partition of the type {made.type}, which is called {made.type}",
            f"call this partition {made.type}",
        ),
        (
            made.type == "root" and made.format not in ROOT_FILE_SYSTEMS,
            "format",
            f"a system cannot be on {made.format}",
            f"use one of {', '.join(ROOT_FILE_SYSTEMS)}",
        ),
        (
            (made.type == "swap") != (made.format == "swap"),
            "format",
            f"a partition of the type {made.type} cannot hold {made.format}",
            "use type and format swap together",
        ),
        (
            made.type == "esp" and made.format != "vfat",
            "format",
            f"firmware does not read {made.format}",
            "remove format: it is vfat",
        ),
        (
            bool(made.mount) and not _is_mount_point(made.mount),
            "mount",
            f"{made.mount[:80]!r} cannot be a mount point",
            "write an absolute path on one line, without //, /./ and /../",
        ),
        (
            bool(made.mount) and made.type in ("bios", "esp", "root", "swap"),
            "mount",
            f"a partition of the type {made.type} has no mount point of its own",
            "remove mount",
        ),
        (
            bool(made.size_max) and made.size_max < made.size_min,
            "size-max",
            f"size-max of {made.name} is less than its size-min",
            "correct one of them",
        ),
    )
    for wrong, key, what, hint in rules:
        if wrong:
            faults.append(PlanFault(leaf=branch.leaf(key) or branch.here, what=what, hint=hint))


def _is_mount_point(text: str) -> bool:
    """Return whether ``text``, which a template may make of a fact, is an absolute and normal path on one line."""
    parts = text.removesuffix("/").split("/")
    is_normal = parts[0] == "" and len(parts) > 1 and not {"", ".", ".."} & set(parts[1:])
    return is_normal and text.isprintable()


def _check_mounts(section: Branch, partitions: Iterable[PartitionPlan], faults: list[PlanFault]) -> None:
    mounted: dict[str, str] = {}
    for partition in partitions:
        if partition.mount and (other := mounted.setdefault(partition.mount, partition.name)) != partition.name:
            leaf = section.branch(partition.name).leaf("mount") or section.here
            what = f"the partitions {other} and {partition.name} have the same mount point {partition.mount}"
            faults.append(PlanFault(leaf=leaf, what=what, hint="choose another one"))


# Arguments of the kernel


def install_words(plan: DiskPlan, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the arguments of the kernel; ``more`` are others that also make the identity of the installation.

    A content that may be wiped does not: it leaves nothing on the disk.
    """
    words = [f"{INSTALL}={plan.policy}"]
    words += [f"{INSTALL}.device={name}:{quote(value, _SAFE)}" for name, value in sorted(plan.device.items())]
    words += [f"{INSTALL}.partition={_partition_word(partition)}" for partition in plan.partitions]
    identity = hashlib.sha256("\0".join([*words[1:], *more]).encode()).hexdigest()[:16]
    words += [f"{INSTALL}.wipe={quote(name, _SAFE)}" for name in plan.wipe]
    return (*words, f"{INSTALL}.id={identity}")


def _partition_word(partition: PartitionPlan) -> str:
    values = {
        "type": "" if partition.type == partition.name else partition.type,
        "format": partition.format,
        "min": str(partition.size_min or ""),
        "max": str(partition.size_max or ""),
        "mount": quote(partition.mount, _SAFE),
    }
    return ",".join([partition.name, *(f"{key}={value}" for key, value in values.items() if value)])


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOrder:
    """The arguments of a kernel that installs: the plan, the identity of the installation, and the archive."""

    plan: DiskPlan
    id: str
    root: str
    root_sha256: str
    memory: int


def parse_words(words: Iterable[str]) -> InstallOrder:
    """Return the order in the arguments of a kernel. Raises `ValueError` with the argument that is wrong."""
    pairs = [word.partition("=")[::2] for word in words]
    last = dict(pairs)
    policy, identity, memory = last.get(INSTALL, ""), last.get(f"{INSTALL}.id", ""), last.get("ordain.root.memory", "")
    if policy not in POLICIES:
        raise ValueError(f"{INSTALL}={policy}: not one of {', '.join(POLICIES)}")
    if not identity or not is_decimal(memory):
        raise ValueError(f"{INSTALL} needs {INSTALL}.id and ordain.root.memory")
    device = dict(_fact(value) for name, value in pairs if name == f"{INSTALL}.device")
    plan = DiskPlan(
        policy=policy,
        device=device,
        partitions=tuple(_parse_partition(value) for name, value in pairs if name == f"{INSTALL}.partition"),
        wipe=tuple(unquote(value) for name, value in pairs if name == f"{INSTALL}.wipe"),
    )
    names = [partition.name for partition in plan.partitions]
    absent = [partition.name for partition in ALWAYS if partition.name not in names]
    if absent or len(set(names)) != len(names):
        raise ValueError(f"{INSTALL}.partition: each partition is named once, and {', '.join(absent) or 'all'} must be")
    return InstallOrder(
        plan=plan,
        id=identity,
        root=last.get("ordain.root", ""),
        root_sha256=last.get("ordain.root.sha256", ""),
        memory=int(memory),
    )


def _fact(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    if name not in (*DEVICE_FACTS, "size-min", "size-max"):
        raise ValueError(f"{INSTALL}.device={text}: {name} is not a fact of a disk")
    return name, unquote(value)


def _parse_partition(text: str) -> PartitionPlan:
    name, *parts = text.split(",")
    values = dict(part.partition("=")[::2] for part in parts)
    kind = values.get("type", name)
    least, most = values.get("min", "0"), values.get("max", "0")
    try:
        partition_name(name)
    except ValueError:
        kind = ""
    mount = unquote(values.get("mount", ""))
    if (
        kind not in PARTITION_TYPES
        or not is_decimal(least)
        or not is_decimal(most)
        or (mount and not _is_mount_point(mount))
    ):
        raise ValueError(f"{INSTALL}.partition={text}: it has another form than NAME,type=…,format=…,min=…,max=…")
    return PartitionPlan(
        name=name,
        type=kind,
        format=values.get("format", ""),
        size_min=int(least),
        size_max=int(most),
        mount=mount,
    )


def install_of(words: Iterable[str]) -> tuple[str, str] | None:
    """Return policy and identity in the arguments of a kernel or in a script, None if it does not install.

    >>> install_of("kernel x ordain.install=once ordain.install.id=9f".split())
    ('once', '9f')
    """
    values = dict(_pairs(words))
    return (values[INSTALL], values[f"{INSTALL}.id"]) if {INSTALL, f"{INSTALL}.id"} <= values.keys() else None


def _pairs(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, _, value = word.partition("=")
        yield name, value
