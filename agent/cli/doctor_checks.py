"""The checks of `ordainctl doctor`; effect: each reads the machine below a root and changes nothing.

A check answers with rows: what was looked at, how it is, and what to do about it.
"""

from __future__ import annotations

import importlib.util
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ordain.agent.cli.apply import ask
from ordain.agent.cli.console import count, plural
from ordain.agent.cli.document_files import read_files, transforms
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.handover_source import FOLDER, NAME, read_handover
from ordain.agent.errors import Failure
from ordain.agent.model import RUNNING
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind, SourceSettings
from ordain.agent.state.boot_record import boot_id, read_record
from ordain.agent.state.store import Store
from ordain.generator.cache import CacheError, unpack
from ordain.generator.choose import NOTHING
from ordain.transforms.errors import Refused, errors
from ordain.transforms.graph.essential_units import ITEM as BOOT
from ordain.transforms.graph.exclusive_boot import would_start
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.installed_units import read_installed

GENERATOR = "usr/lib/systemd/system-generators/ordain-generator"
MASKS = tuple(f"{top}/systemd/system-generators/ordain-generator" for top in ("run", "etc", "usr/local/lib"))
"""Where a file of the same name is used in place of ours (systemd.generator(7))."""
UNITS = (
    "ordain-agent.service",
    "ordain-boot-attempt.service",
    "ordain-boot-good.service",
    "ordain-boot-good.timer",
    "ordain-boot-why.service",
    "ordain-fallback.service",
    "ordain-files-early.service",
    "ordain-files-remote.service",
    "ordain-files.service",
    "ordain-forget.service",
    "ordain-hostname.service",
    "ordain-services.target",
    "ordain-source.service",
    "ordain-users.service",
    "ordain.target",
)
SPACE_BYTES = 16 << 20
"""Less free than this, and the next apply may fail."""


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row. ``hint`` says what to do."""

    about: str
    verdict: Verdict
    what: str
    hint: str = ""


def _ok(about: str, what: str) -> Check:
    return Check(about=about, verdict=Verdict.OK, what=what)


def _warning(about: str, what: str, hint: str = "") -> Check:
    return Check(about=about, verdict=Verdict.WARNING, what=what, hint=hint)


def _failed(about: str, what: str, hint: str = "") -> Check:
    return Check(about=about, verdict=Verdict.FAILED, what=what, hint=hint)


REINSTALL = "install the package ordain again"


def generator(root: Path) -> Iterator[Check]:
    """The program that PID 1 runs: there, ours, and precompiled."""
    about = "generator"
    for mask in MASKS:
        if (root / mask).is_symlink() or (root / mask).exists():
            yield _failed(about, f"/{mask} stands in its place, so no unit is placed", f"remove /{mask}")
            return
    program = root / GENERATOR
    if not os.access(program, os.X_OK) or not program.is_file():
        yield _failed(about, f"/{GENERATOR} is missing or not executable", REINSTALL)
        return
    sources = _sources(root, program)
    if not any(path.name == "main.py" for path in sources):
        yield _failed(about, f"/{GENERATOR} does not find its modules", REINSTALL)
    elif stale := [path.name for path in sources if not _compiled(path)]:
        slow = f"{', '.join(stale)} not compiled for this Python: every boot and reload is slower"
        yield _warning(about, slow, REINSTALL)
    else:
        yield _ok(about, f"/{GENERATOR}")


def _sources(root: Path, program: Path) -> list[Path]:
    """The modules it imports: it names their directory itself (generator/ordain-generator)."""
    for line in program.read_text("utf-8", "replace").splitlines():
        if line.startswith('sys.path.insert(0, "'):
            return sorted((root / line.split('"')[1].lstrip("/") / "ordain/generator").glob("*.py"))
    return []


def _compiled(source: Path) -> bool:
    """Whether Python would take the .pyc: its bytes 8 to 16 are the source's time and size (PEP 552)."""
    try:
        head = Path(importlib.util.cache_from_source(str(source))).read_bytes()[:16]
        status = source.stat()
    except OSError:
        return False
    wanted = (int(status.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + status.st_size.to_bytes(4, "little")
    by_hash = head[4:8] != bytes(4)
    return by_hash or head[8:16] == wanted


def last_run(root: Path) -> Iterator[Check]:
    """What the generator did when it last ran in this boot."""
    about = "last run"
    record = read_record(root)
    if not record:
        yield _failed(about, "the generator has not run in this boot", "systemctl daemon-reload")
        return
    origin, number, hash, entries, usec = (
        record.get(key, ("?",))[0] for key in ("from", "number", "hash", "entries", "usec")
    )
    title = hash[:12] if number == "0" else number  # of an image or a first boot it has none
    for problem in record.get("problem", ()):
        yield _failed(about, problem, "systemctl daemon-reload, when that is mended")
    for note in record.get("note", ()):
        yield _warning(about, note)
    if origin == "off":
        yield _warning(about, "off by ordain=off on the kernel command line", "boot without it")
    elif origin == "nothing":
        yield _warning(about, "there was nothing to place", "ordainctl apply")
    elif origin in ("trial", "current") or hash == _current(root):
        yield _ok(about, f"generation {title} from {origin}: {entries} files and links in {_milliseconds(usec)} ms")
    else:
        yield _warning(about, f"generation {title} from {origin}, not the current one", "ordainctl status")


def _current(root: Path) -> str:
    try:
        return unpack((root / "etc/ordain/boot/current").read_bytes()).hash
    except (OSError, CacheError):
        return ""


def _milliseconds(usec: str) -> str:
    return f"{int(usec) / 1000:.1f}" if usec.isdigit() else "?"


def caches(root: Path) -> Iterator[Check]:
    """The boot caches: readable, whole, this machine's, and safe from others."""
    for name, path in (
        ("boot cache", "etc/ordain/boot/current"),
        ("fallback", "etc/ordain/boot/fallback"),
        ("baseline", "usr/lib/ordain/boot/baseline"),
    ):
        yield from _cache(root, name, path)


def _cache(root: Path, about: str, path: str) -> Iterator[Check]:
    again = "ordainctl apply writes it again"
    try:
        status = (root / path).lstat()
        data = (root / path).read_bytes()
        cache = unpack(data)
    except FileNotFoundError:
        if about == "boot cache":
            yield _warning(about, f"/{path} is not there: nothing was proven yet", "ordainctl status")
        return
    except OSError as error:
        yield _failed(about, f"/{path}: {error.strerror}", "run as root")
        return
    except CacheError as error:
        yield _failed(about, f"/{path}: {error}", again)
        return
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        yield _failed(about, f"/{path} could be written by others, so it is not used", f"remove it; {again}")
        return
    machine_id = (rootfs.read(root, "etc/machine-id") or b"").decode("ascii", "replace").strip()
    if cache.machine_id and cache.machine_id != machine_id:
        yield _failed(about, f"/{path} was made for the machine {cache.machine_id} [ForeignCache]", again)
        return
    yield _ok(about, f"generation {cache.title}, {plural(len(cache.entries), 'file')}")


def attempts(root: Path) -> Iterator[Check]:
    """Boots that did not complete since one with the same generation did."""
    lines = (rootfs.read(root, "etc/ordain/boot/attempts") or b"").splitlines()
    other = [line for line in lines if not line.endswith(boot_id(root).encode())]
    counts = Counter(line.partition(b" ")[0].decode("ascii", "replace") for line in other)
    for hash, boots in counts.items():
        title = "nothing of Ordain" if hash == NOTHING else f"generation {hash[:12]}"
        yield _warning("boots", f"{plural(boots, 'boot')} with {title} did not complete", "journalctl --boot=-1")
    if not counts:
        yield _ok("boots", "the last one completed")


def units(root: Path) -> Iterator[Check]:
    """The static units: there, and not masked."""
    wrong = False
    for name in UNITS:
        mask = root / "etc/systemd/system" / name
        if mask.is_symlink() and str(mask.readlink()) == os.devnull:
            wrong = True
            yield _warning("units", f"{name} is masked", f"systemctl unmask {name}")
        elif rootfs.read(root, f"usr/lib/systemd/system/{name}") is None:
            wrong = True
            yield _failed("units", f"{name} is not installed", REINSTALL)
    if not wrong:
        yield _ok("units", f"{len(UNITS)} of {len(UNITS)} installed")


def agent(root: Path) -> Iterator[Check]:
    """The agent: on the bus, and what it says of itself."""
    try:
        status = ask(root, lambda client: client.status())
    except Failure as failure:
        yield _failed("agent", str(failure), "systemctl status ordain-agent.service")
        return
    if status.agent:
        yield _ok("agent", f"on the bus, {status.state}")
    else:
        yield _warning(
            "agent", "does not run: changes of the documents are not followed", "systemctl status ordain-agent.service"
        )


def distribution(root: Path) -> Iterator[Check]:
    """What the distribution's own boot starts besides the documents, or what exclusive mode keeps out."""
    about = "distribution"
    store = Store(root)
    try:
        applied = store.read_applied()
        members = store.load_hash(applied.hash).members if applied else ()
    except (KeyError, OSError, ValueError):
        members = ()
    if held := [member.unit for member in members if member.item == BOOT]:
        yield _ok(about, f"boot is exclusive, which keeps out {', '.join(held)}")
        yield from _in_spite(root, about)
        return
    spoken_of = {name for member in members for name in (member.unit, member.starts)}
    others = sorted(would_start(read_installed(root)) - spoken_of)
    if not others:
        yield _ok(about, "starts nothing besides the documents")
    else:
        starts = f"starts {plural(len(others), 'unit')} besides the documents: {', '.join(others)}"
        yield Check(about=about, verdict=Verdict.OK, what=starts, hint="`boot: {mode: exclusive}` keeps them out")


def _in_spite(root: Path, about: str) -> Iterator[Check]:
    """What runs though exclusive mode keeps it out: an admin's hand, or a package's that was installed since."""
    try:
        units = ask(root, lambda client: client.status()).units
    except Failure:
        return  # the check of the agent says it
    for unit in units:
        if unit.item == BOOT and not unit.ok and unit.active_state in RUNNING:
            what = f"{unit.unit} was started by hand, and will not run after the next boot"
            yield _warning(about, what, f"`boot: {{allow: [{unit.unit}]}}` lets it in, systemctl stop ends it now")


def documents(root: Path) -> Iterator[Check]:
    """Settings, source, documents and the transformation database: readable and valid."""
    settings, wrong = read_settings(root)
    for problem in wrong:
        yield _failed("settings", str(problem))
    if settings.source.remote:
        yield _remote(root, settings.source)
    elif settings.source.type is SourceKind.DIRECTORY:
        yield _directory(root, settings.source.path)
    try:
        yield _ok("transforms", plural(len(transforms(root)), "document"))
    except Refused as refused:
        yield _failed("transforms", count(refused.problems), "ordainctl validate /etc/ordain/transforms")


def _directory(root: Path, path: str) -> Check:
    directory = root / path.lstrip("/")
    if not directory.is_dir():
        return _failed("source", f"{path} is no directory", "last good stays; create it, or set source")
    found, problems = read_files([str(directory)])
    if errors(problems):
        return _failed("documents", count(problems), f"ordainctl validate {path}")
    if not found:
        return _warning("documents", f"{path} holds none: last good stays")
    return _ok("documents", f"{plural(len(found), 'document')} in {path}")


def _remote(root: Path, settings: SourceSettings) -> Check:
    """What ordain-source.service handed over; only root and that service may read it."""
    try:
        found = read_handover(root / FOLDER / NAME)
    except SourceError as error:
        return _failed("source", f"{error} [{error.code}]", error.hint)
    health = found.health
    if found.location != settings.location:
        return _failed("source", f"fetched from {found.location}", "systemctl reload ordain-agent.service")
    if health is not None and not health.connected:
        return _failed("source", f"{health.what} [{health.code}]", health.hint or "last good stays")
    return _ok("source", f"{plural(len(found.snapshot.texts), 'text')} of {settings.location}")


def disk(root: Path) -> Iterator[Check]:
    """What an apply writes to: writable, with room."""
    for name in ("etc", "var/lib", "run"):
        try:
            found = os.statvfs(root / name)
        except OSError as error:
            yield _failed(f"/{name}", error.strerror or str(error))
            continue
        free = found.f_bavail * found.f_frsize
        if found.f_flag & os.ST_RDONLY:
            yield _warning(f"/{name}", "is read-only: what is applied holds for this boot [NotPersistent]")
        elif free < SPACE_BYTES or (found.f_files and found.f_favail < 1000):
            yield _warning(f"/{name}", f"{free >> 20} MiB and {found.f_favail} inodes left", "make room")
        else:
            yield _ok(f"/{name}", f"writable, {free >> 20} MiB free")


CHECKS: tuple[Callable[[Path], Iterator[Check]], ...] = (
    generator,
    last_run,
    caches,
    attempts,
    units,
    agent,
    distribution,
    documents,
    disk,
)
