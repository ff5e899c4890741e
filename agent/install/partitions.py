"""The partitions of a plan on a disk, made by systemd-repart, and the file systems in them.

    plan, entries of the disk ─definitions▶ repart.d(5) ─make_partitions▶ `Partition`s ─make_file_system▶

systemd-repart adds what is missing in one table that it writes last, and never removes a partition.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.install.disk_content import LABEL, TableEntry, probe
from ordain.agent.install.tools import Tools
from ordain.transforms.document.formats.netboot_formats import PARTITION_TYPES
from ordain.transforms.netboot.disk_plan import DiskPlan, PartitionPlan

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
    "vfat": ("mkfs.vfat", "-F", "32"),
    "swap": ("mkswap", "--force"),
}
"""The programs that make file systems, without the device; those for its UUID are in `make_file_system`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition on the disk; ``content`` is its file system, "" for none, and ``fs_uuid`` the UUID of that."""

    plan: PartitionPlan
    device: Path
    uuid: str
    size: int
    content: str
    fs_uuid: str


def definitions(plan: DiskPlan, entries: Sequence[TableEntry], root_bytes: int) -> Mapping[str, str]:
    """Return the files of repart.d(5), by name: first the partitions on the disk, in their order, then new ones.

    systemd-repart takes the partitions of one type in this order. ``root_bytes`` is the least size of a root.
    """
    names = [entry.name.removeprefix(LABEL) for entry in sorted(entries, key=lambda entry: entry.offset)]
    order = {name: number for number, name in enumerate(names)}
    partitions = sorted(plan.partitions, key=lambda partition: order.get(partition.name, len(order)))
    return {
        f"{number:02}-{partition.name}.conf": _definition(partition, root_bytes)
        for number, partition in enumerate(partitions, 10)
    }


def _definition(partition: PartitionPlan, root_bytes: int) -> str:
    least = max(partition.size_min, root_bytes) if partition.type == "root" else partition.size_min
    lines = ["[Partition]", f"Type={PARTITION_TYPES[partition.type]}", f"Label={LABEL}{partition.name}"]
    lines += [f"SizeMinBytes={least}"] if least else []
    lines += [f"SizeMaxBytes={partition.size_max}"] if partition.size_max else []
    return "\n".join(lines) + "\n"


def make_partitions(
    disk: Path, plan: DiskPlan, entries: Sequence[TableEntry], root_bytes: int, *, new: bool, work: Path, tools: Tools
) -> tuple[Partition, ...]:
    """Make all partitions of the plan that are missing, and return all; the disk is locked then.

    ``new``: with a new table. Raises `Failure`.
    """
    folder = work / "repart.d"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, text in definitions(plan, entries, root_bytes).items():
        (folder / name).write_text(text)
    words = ["systemd-repart", f"--definitions={folder}", f"--empty={'force' if new else 'refuse'}"]
    words += ["--json=short", "--seed=random"]  # otherwise an image with a machine-id gives all disks the same UUIDs
    if not new:
        _check_names(json.loads(tools.run(*words, "--dry-run=yes", disk)), entries)
    made = json.loads(tools.run(*words, "--dry-run=no", disk))
    tools.lock(disk)
    plans = {partition.name: partition for partition in plan.partitions}
    rows = {_name(row): row for row in made}
    return tuple(_partition(plans[name], rows[name], tools) for name in plans if name in rows)


def _name(row: Mapping[str, object]) -> str:
    return str(row["file"]).removesuffix(".conf").partition("-")[2]


def _check_names(rows: Iterable[Mapping[str, object]], entries: Sequence[TableEntry]) -> None:
    """Raise `Failure` if systemd-repart would take one partition for another."""
    by_offset = {entry.offset: entry.name for entry in entries}
    for row in rows:
        name = by_offset.get(int(str(row["offset"])), "")
        if row["old_size"] and name != f"{LABEL}{_name(row)}":
            raise Failure(
                f"the partition {name or row['node']} on the disk would become {_name(row)}; "
                "give the partitions in netboot.disk the names and types that they have on the disk"
            )


def _partition(plan: PartitionPlan, row: Mapping[str, object], tools: Tools) -> Partition:
    size = int(str(row["raw_size"]))
    device = tools.partition_device(str(row["node"]), int(str(row["offset"])), size)
    content, fs_uuid = read_file_system(device, tools)
    return Partition(plan=plan, device=device, uuid=str(row["uuid"]), size=size, content=content, fs_uuid=fs_uuid)


def read_file_system(device: Path, tools: Tools) -> tuple[str, str]:
    """Return the type and the UUID of the file system on ``device``, "" for nothing. Raises `Failure`."""
    values = probe(device, tools)
    return values.get("TYPE", ""), values.get("UUID", "")


def make_file_system(partition: Partition, tools: Tools) -> Partition:
    """Make the file system of a partition, whatever it holds, and return it. Raises `Failure`."""
    kind = partition.plan.format
    tools.run(*COMMANDS[kind], partition.device)
    content, fs_uuid = read_file_system(partition.device, tools)
    if content != kind:
        program = COMMANDS[kind][0]
        raise Failure(f"{partition.device}: it holds {content or 'nothing'} after {program}; is the disk broken?")
    return replace(partition, content=content, fs_uuid=fs_uuid)


def keep_or_make(partition: Partition, tools: Tools) -> Partition:
    """Return a partition with its file system, made if there is nothing; a content is kept. Raises `Failure`."""
    if not partition.plan.format or partition.content == partition.plan.format:
        return partition
    if partition.content:
        raise Failure(
            f"the partition {partition.plan.name} holds {partition.content}, and netboot.disk says "
            f"{partition.plan.format}; its content is kept: correct format, or empty the partition"
        )
    return make_file_system(partition, tools)
