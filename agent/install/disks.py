"""The disks of this machine, and the one that a plan means.

/sys, database of udev ─list_disks▶ `Disk`s ─choose_disk▶ the one disk, or `Failure`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs
from ordain.transforms.systemd.values import size

SECTOR = 512
"""The unit of `/sys/class/block/NAME/size`, whatever the sectors of the disk are."""
NOT_DISKS = lazy_pattern(r"(loop|ram|zram|sr|fd|dm-|md|nbd|mtdblock)[0-9]*.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk: ``path`` is its device, ``links`` are other paths of it, and ``size`` is in bytes."""

    path: Path
    size: int
    serial: str = ""
    model: str = ""
    wwn: str = ""
    links: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the disk as messages name it."""
        about = ", ".join(
            filter(None, (self.model, f"serial {self.serial}" if self.serial else "", f"{self.size / 1e9:.1f} GB"))
        )
        return f"{self.path} ({about})"


def list_disks(root: Path) -> tuple[Disk, ...]:
    """Return all disks that can be written, sorted by path."""
    return tuple(filter(None, (_disk(root, name) for name in sorted(rootfs.names(root, "sys/class/block")))))


def _disk(root: Path, name: str) -> Disk | None:
    folder = f"sys/class/block/{name}"
    text = {key: _text(root, f"{folder}/{key}") for key in ("size", "ro", "dev", "serial", "wwid")}
    text |= {key: _text(root, f"{folder}/device/{key}") for key in ("model", "serial", "wwid") if not text.get(key)}
    count = int(text["size"]) if is_decimal(text["size"]) else 0
    if NOT_DISKS.fullmatch(name) or rootfs.exists(root, f"{folder}/partition") or not count or text["ro"] == "1":
        return None
    udev = (rootfs.read(root, f"run/udev/data/b{text['dev']}") or b"").decode(errors="replace").split("\n")
    properties = dict(line[2:].partition("=")[::2] for line in udev if line.startswith("E:"))
    return Disk(
        path=Path("/dev", name),
        size=count * SECTOR,
        serial=properties.get("ID_SERIAL_SHORT") or text["serial"],
        model=text.get("model") or properties.get("ID_MODEL", ""),
        wwn=properties.get("ID_WWN") or text["wwid"],
        links=tuple(f"/dev/{line[2:]}" for line in udev if line.startswith("S:")),
    )


def _text(root: Path, path: str) -> str:
    return (rootfs.read(root, path) or b"").decode(errors="replace").strip()


def choose_disk(disks: Iterable[Disk], wanted: Mapping[str, str]) -> Disk:
    """Return the disk with the facts ``wanted``. Raises `Failure` unless exactly one has them."""
    disks = tuple(disks)
    matching = [disk for disk in disks if all(_has(disk, name, value) for name, value in wanted.items())]
    asked = ", ".join(f"{name} {value}" for name, value in sorted(wanted.items()))
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(map(str, disks)) or "none"
    if not matching:
        raise Failure(
            f"no disk has {asked}; this machine has: {known}; correct netboot.disk.device"
            if asked
            else "this machine has no disk that can be written; add one, or choose another root in netboot"
        )
    has = f"have {asked}" if asked else "are in this machine"
    named = ", ".join(map(str, matching))
    raise Failure(f"{len(matching)} disks {has}: {named}; name one of them in netboot.disk.device, such as by serial")


def _has(disk: Disk, name: str, value: str) -> bool:
    if name in ("size-min", "size-max"):
        limit = size(value)
        return disk.size >= limit if name == "size-min" else disk.size <= limit
    return any(fnmatchcase(text, value) for text in _values(disk, name))


def _values(disk: Disk, name: str) -> Iterator[str]:
    if name == "path":
        yield str(disk.path)
        yield from disk.links
    else:
        yield getattr(disk, name)
