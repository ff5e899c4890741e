"""The files by which an administrator or the distribution has a say in a unit of ours; effect: reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ordain.agent.plan.explain import OverrideFile
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.installed_units import drop_in_names, read_installed
from ordain.transforms.systemd.unit_file import parse
from ordain.transforms.systemd.unit_name import suffix

RUNTIME = (
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/system",
)
"""What `read_installed` leaves out as it ends with the boot; highest first (systemd.unit(5), Unit File Load Path)."""


ADMIN = ("etc/systemd/system.control", *RUNTIME[:2], "etc/systemd/system", RUNTIME[2])
"""Where an admin's files are that win over ours, highest first; ``systemctl set-property`` writes to the first two."""


def hands(root: Path, unit: str, *, ours: bool) -> tuple[OverrideFile, ...]:
    """The files for ``unit`` that are not ours, in the order systemd reads them.

    ``ours``: the whole unit is ours, so that a fragment elsewhere takes its place; else it is the base of our drop-ins.
    """
    return tuple(_hands(root, unit, ours))


def _hands(root: Path, unit: str, ours: bool) -> Iterator[OverrideFile]:
    installed = read_installed(root).units.get(unit)
    for directory in RUNTIME:
        if (hand := _fragment(root, f"{directory}/{unit}", replaces=True)) is not None:
            yield hand
    if installed and installed.path:
        # The generator's normal directory stands between /etc and /usr: only what is in /etc wins over ours.
        wins = installed.path.lstrip("/").startswith("etc/")
        if wins or not ours:
            yield OverrideFile(path=f"/{installed.path.lstrip('/')}", masks=installed.masked, replaces=wins)
    runtime = list(_drop_ins(root, RUNTIME, (*drop_in_names(unit), suffix(unit))))
    for path in sorted([*(installed.drop_ins if installed else ()), *runtime], key=lambda p: p.rpartition("/")[2]):
        yield OverrideFile(path=f"/{path.lstrip('/')}", assignments=_assignments(root, path))


def edits(root: Path, units: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """The files in /etc and /run by which an admin changes each of ``units``; no masks, nor what is for all services.

    Two hundred units cost as much as one: a directory is listed once, and few have drop-ins.
    """
    there = {f"{d}/{name}": d for d in ADMIN for name in rootfs.names(root, d)}
    found: dict[str, tuple[str, ...]] = {}
    for unit in units:
        own = [f"{d}/{unit}" for d in ADMIN if f"{d}/{unit}" in there and not (root / d / unit).is_symlink()]
        names = [name for name in drop_in_names(unit) if any(f"{d}/{name}.d" in there for d in ADMIN)]
        if paths := [f"/{path}" for path in dict.fromkeys([*own, *_drop_ins(root, ADMIN, names)])]:
            found[unit] = tuple(paths)
    return found


def _drop_ins(root: Path, directories: Iterable[str], units: Iterable[str]) -> Iterator[str]:
    named = tuple(units)
    for directory in directories:
        for unit in dict.fromkeys(named):
            for name in rootfs.names(root, f"{directory}/{unit}.d"):
                if name.endswith(".conf"):
                    yield f"{directory}/{unit}.d/{name}"


def _fragment(root: Path, path: str, *, replaces: bool) -> OverrideFile | None:
    if (root / path).is_symlink() and rootfs.chase(root, path) == root / "dev/null":
        return OverrideFile(path=f"/{path}", masks=True, replaces=replaces)
    data = rootfs.read(root, path)
    return None if data is None else OverrideFile(path=f"/{path}", masks=not data, replaces=replaces)


def _assignments(root: Path, path: str) -> tuple[tuple[str, str, str], ...]:
    try:
        data = rootfs.read(root, path) or b""
    except OSError:
        return ()
    return tuple(parse(data.decode("utf-8", "replace")))
