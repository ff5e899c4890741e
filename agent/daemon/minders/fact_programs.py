"""The entries of /etc/ordain/facts.d: files that are read, and programs that PID 1 runs without any right.

    facts.d/NAME.yaml|.yml|.json ──read─────────────────────┐
    facts.d/NAME (executable) ──transient unit──▶ its output ┴──read_site_facts (in the worker)──▶ facts, or the fault

A program runs as a user of its own (DynamicUser), which may write nowhere but to its own /tmp, with limits of time,
memory, processes and output. An entry that fails costs its own facts only, and these keep the values that they had.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ordain.agent.compile.executor import Executor
from ordain.agent.errors import Failure
from ordain.agent.system import atomic_files
from ordain.agent.system.dbus.bus import Variant
from ordain.agent.system.systemd import transient_units
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.document.formats.fact_table import SITE_NAME
from ordain.transforms.errors import Refused
from ordain.transforms.machine import rootfs

FOLDER = "etc/ordain/facts.d"
OUTPUT = "run/ordain/facts"
READ = "ordain.transforms.machine.site_facts:facts_or_fault"
SUFFIXES = (".yaml", ".yml", ".json")
MAX_ENTRIES = 64
MAX_BYTES = 64 << 10
"""The most bytes of a file, and of the output of a program."""
DEADLINE_SEC = 10.0
AT_ONCE = 4
_MEMORY = 128 << 20
_LAST_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteResult:
    """The facts of one entry, or the ``fault`` because of which it has none."""

    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fault: str = ""


def signature(root: Path) -> tuple[object, ...]:
    """Return what changes if an entry is added, changed or removed."""
    entries = []
    for name in _names(root):
        try:
            status = (root / FOLDER / name).stat()
        except OSError:
            continue
        entries.append((name, status.st_mtime_ns, status.st_size, status.st_mode, status.st_uid, status.st_ino))
    return tuple(entries)


def _names(root: Path) -> tuple[str, ...]:
    """Return the names of the entries; those of editors and package managers are left out."""
    names = (name for name in rootfs.names(root, FOLDER) if not name.startswith(".") and not name.endswith("~"))
    return tuple(name for name in names if ".dpkg-" not in name and not name.endswith((".rpmnew", ".rpmsave")))


async def collect(systemd: Systemd, executor: Executor, root: Path) -> dict[str, SiteResult]:
    """Return the result of each entry, by its name without suffix; this takes `DEADLINE_SEC` for a few programs."""
    turns = asyncio.Semaphore(AT_ONCE)
    names = _names(root)
    entries: dict[str, SiteResult] = {}
    for name in names[MAX_ENTRIES:]:
        entries[_entry(name)] = SiteResult(fault=f"there are more than {MAX_ENTRIES} entries")

    async def one(name: str) -> None:
        async with turns:
            try:
                entries.setdefault(_entry(name), SiteResult(facts=await _facts(systemd, executor, root, name)))
            except (OSError, ValueError, Refused, Failure) as error:
                fault = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                entries[_entry(name)] = SiteResult(fault=fault)

    await asyncio.gather(*(one(name) for name in names[:MAX_ENTRIES]))
    return dict(sorted(entries.items()))


def _entry(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


async def _facts(systemd: Systemd, executor: Executor, root: Path, name: str) -> Mapping[str, tuple[str, ...]]:
    """Return the facts of one entry. Raises OSError and ValueError with the fault."""
    entry = _entry(name)
    if not SITE_NAME.fullmatch(entry):
        raise ValueError("its name may have letters, digits, - and _ only, and one of the suffixes .yaml, .yml, .json")
    path = rootfs.chase(root, f"{FOLDER}/{name}")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if other := rootfs.other_writer(root / FOLDER / name):
        raise ValueError(f"it is not used: {rootfs.UnsafeFile(other)}")
    if name.endswith(SUFFIXES):
        data = rootfs.read_resolved(path, limit=MAX_BYTES)
    elif status.st_mode & 0o111:
        data = await _output(systemd, root, entry, path)
    else:
        raise ValueError("it is not executable, and its name does not end with .yaml, .yml or .json")
    facts, fault = await asyncio.to_thread(executor, READ, entry, data, f"/{FOLDER}/{name}")
    if fault:
        raise ValueError(fault)
    return dict(facts)


async def _output(systemd: Systemd, root: Path, entry: str, path: Path) -> bytes:
    """Return the output of a program. Raises ValueError with the reason if it fails."""
    folder = root / OUTPUT
    atomic_files.make_folder(folder, 0o700)
    output, errors = folder / entry, folder / f"{entry}.errors"
    for file in (output, errors):
        file.unlink(missing_ok=True)
    began = time.monotonic()
    what = f"Facts of {entry} for Ordain"
    wrong = await transient_units.run(
        systemd,
        f"ordain-fact-{entry}.service",
        what,
        ((os.fspath(path),),),
        output=output,
        seconds=DEADLINE_SEC,
        errors=errors,
        more=_LIMITS,
    )
    size = output.stat().st_size if output.exists() else 0
    if size > MAX_BYTES:
        raise ValueError(f"it wrote more than {MAX_BYTES >> 10} KiB, and was ended")
    if wrong and time.monotonic() - began >= DEADLINE_SEC:
        raise ValueError(f"it did not end within {DEADLINE_SEC:.0f} s{_last_lines(errors)}")
    if wrong:
        raise ValueError(f"it failed{_last_lines(errors) or f': {wrong}'}")
    return rootfs.read_resolved(output, limit=MAX_BYTES) if size else b""


def _last_lines(path: Path) -> str:
    """Return the last lines of an error output, after a colon; "" if there are none."""
    try:
        text = atomic_files.read(path, MAX_BYTES * 2).decode("utf-8", "replace")
    except OSError:
        return ""
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    lines = [line.strip()[:200] for line in printable.splitlines() if line.strip()]
    return f": {' | '.join(lines[-_LAST_LINES:])}" if lines else ""


_LIMITS: Mapping[str, Variant] = {
    "DynamicUser": Variant("b", True),
    "ProtectHome": Variant("s", "yes"),
    "PrivateDevices": Variant("b", True),
    "MemoryMax": Variant("t", _MEMORY),
    "TasksMax": Variant("t", 32),
    "LimitFSIZE": Variant("t", MAX_BYTES + 1),
    "LimitFSIZESoft": Variant("t", MAX_BYTES + 1),
    "LimitCORE": Variant("t", 0),
    "LimitCORESoft": Variant("t", 0),
    "Nice": Variant("i", 10),
    "TimeoutStopUSec": Variant("t", 1_000_000),
}
"""The sandbox of a program."""


def faults(results: Mapping[str, SiteResult]) -> Iterable[tuple[str, str]]:
    """Yield name and fault of each entry that failed."""
    for name, result in results.items():
        if result.fault:
            yield name, result.fault
