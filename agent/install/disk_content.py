"""The content of a disk before anything is written to it: nothing, an installation of ours, or something foreign.

    disk ─read_content▶ `DiskContent` ─judge▶ `Verdict`

A disk is ours if a partition table names a partition `ESP_LABEL`. Before our first partition table is written, `BEGUN`
is written to a place that no partition table uses: so a table that a power cut has torn is known as ours. A content
that nothing identifies is foreign as well; only a disk without any signature and with zeros at its start is empty.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.install.tools import Tools
from ordain.transforms.lazy_patterns import lazy_pattern

LABEL = "ordain-"
ESP_LABEL = f"{LABEL}esp"
BEGUN = b"Ordain begins to install to this disk.\n"
BEGUN_AT = 512 << 10
"""Between a partition table and the first partition, which begins at 1 MiB."""
START = 1 << 20
_TABLES = {"gpt", "PMBR"}
_NOTHING_FOUND, _SEVERAL_FOUND = 2, 8
_OTHERS = lazy_pattern(r"[^A-Za-z0-9_+.-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEntry:
    """A partition in the table of a disk; ``offset`` is in bytes."""

    number: int
    offset: int
    name: str
    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskContent:
    """``name`` names the content, "" for nothing; it is what `wipe` takes. ``begun``: our first table is unfinished."""

    name: str = ""
    about: str = ""
    begun: bool = False
    entries: tuple[TableEntry, ...] = ()


class Verdict(Enum):
    """The right to write to a disk."""

    EMPTY = "empty"
    """It is empty, or our first partition table on it was torn: it may be overwritten."""
    OURS = "ours"
    """It has our partitions, which are kept."""
    FOREIGN = "foreign"
    """It must not be written to."""


def probe(device: Path, tools: Tools) -> Mapping[str, str]:
    """Return what blkid(8) reads on ``device``, such as TYPE and UUID; nothing if it knows nothing there.

    Raises `Failure` if the device does not exist: blkid says the same of it as of an empty one.
    """
    if not device.exists():
        raise Failure(f"{device}: this device is gone; boot the machine again")
    probed = tools.run("blkid", "-p", "-o", "export", device, allowed=(0, _NOTHING_FOUND, _SEVERAL_FOUND))
    return dict(line.partition("=")[::2] for line in probed.split("\n"))


def read_content(device: Path, tools: Tools) -> DiskContent:
    """Return the content of a disk. Raises `Failure` and `OSError`."""
    values = probe(device, tools)
    listed = tools.run("wipefs", "--json", "--no-act", device)
    signatures = json.loads(listed)["signatures"] if listed.strip() else []
    types = sorted({str(signature["type"]) for signature in signatures})
    with device.open("rb", buffering=0) as disk:
        start = disk.read(START)
    begun = start[BEGUN_AT : BEGUN_AT + len(BEGUN)] == BEGUN
    entries = _entries(device, tools) if values.get("PTTYPE") == "gpt" else ()
    if begun and not entries and set(types) <= _TABLES:
        return DiskContent(begun=True)
    if begun:
        start = start.replace(BEGUN, bytes(len(BEGUN)), 1)
    kind = values.get("PTTYPE") or values.get("TYPE") or "+".join(types)
    if not kind and any(start):
        kind = "unknown"
    identity = values.get("PTUUID") or values.get("UUID") or hashlib.sha256(start).hexdigest()[:16]
    about = f"a partition table ({kind}) with the partitions {_named(entries)}" if entries else f"{kind or 'nothing'}"
    name = _OTHERS.sub("_", f"{kind}-{identity}") if kind else ""
    return DiskContent(name=name, about=about, begun=begun, entries=entries)


def _named(entries: tuple[TableEntry, ...]) -> str:
    return ", ".join(entry.name or str(entry.number) for entry in entries)


def _entries(device: Path, tools: Tools) -> tuple[TableEntry, ...]:
    shown = tools.run("partx", "--pairs", "--bytes", "--output", "NR,START,NAME,UUID", device, allowed=(0, 1))
    rows = (dict(word.partition("=")[::2] for word in shlex.split(line)) for line in shown.split("\n") if line)
    return tuple(
        TableEntry(number=int(row["NR"]), offset=int(row["START"]) * 512, name=row["NAME"], uuid=row["UUID"])
        for row in rows
    )


def judge(content: DiskContent) -> Verdict:
    """Return what may be done with the disk."""
    if any(entry.name == ESP_LABEL for entry in content.entries):
        return Verdict.OURS
    return Verdict.FOREIGN if content.name else Verdict.EMPTY


def mark_begun(device: Path, *, begun: bool) -> None:
    """Write `BEGUN` to a disk, or remove it. Raises `OSError`."""
    with device.open("r+b", buffering=0) as disk:
        disk.seek(BEGUN_AT)
        disk.write(BEGUN.ljust(4096, b"\0") if begun else bytes(4096))
        os.fsync(disk.fileno())
