"""doctor: checks Ordain itself on this machine. A check reads the machine and changes nothing.

A check yields its findings: the thing that was checked, its status, and a remedy.
"""

from __future__ import annotations

import importlib.util
import os
import stat
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, count, plural
from ordain.agent.cli.documents.document_files import read_files, transforms
from ordain.agent.cli.machine.ask_agent import ask
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.handover_source import FOLDER, NAME, read_handover
from ordain.agent.errors import Failure
from ordain.agent.model import RUNNING, to_json
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind, SourceSettings
from ordain.agent.state.boot_record import boot_id, read_boot_record
from ordain.agent.state.store import Store
from ordain.agent.system.bounded_reads import HINT, NotAnswering, read_in_time
from ordain.generator.cache import CacheError, unpack
from ordain.generator.choose import NOTHING
from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.errors import Refused, only_errors
from ordain.transforms.graph.kept_out_units import started_by_distribution
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import BOOT_ITEM

GENERATOR = "usr/lib/systemd/system-generators/ordain-generator"
MASKS = tuple(f"{top}/systemd/system-generators/ordain-generator" for top in ("run", "etc", "usr/local/lib"))
"""A file of the same name here is used instead of ours (systemd.generator(7))."""
UNITS = (
    "ordain-agent.service",
    "ordain-boot-attempt.service",
    "ordain-boot-good.service",
    "ordain-boot-good.timer",
    "ordain-boot-why.service",
    "ordain-command@.service",
    "ordain-fallback.service",
    "ordain-files-early.service",
    "ordain-files-remote.service",
    "ordain-files.service",
    "ordain-forget.service",
    "ordain-hostname.service",
    "ordain-relay.service",
    "ordain-secrets.service",
    "ordain-services.target",
    "ordain-source.service",
    "ordain-users.service",
    "ordain.target",
)
DECIDING = ("etc/ordain", "etc/ordain/transforms", "etc/ordain/trust", "etc/ordain/boot")
SPACE_BYTES = 16 << 20
"""With less free space than this, the next apply may fail."""


class CheckResult(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


STYLES = {CheckResult.OK: Style.GOOD, CheckResult.WARNING: Style.WARN, CheckResult.FAILED: Style.BAD}


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorFinding:
    """One line of the report: the thing that was checked, its state, and a remedy (``hint``)."""

    about: str
    verdict: CheckResult
    what: str
    hint: str = ""


def doctor(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl doctor`."""
    findings: list[DoctorFinding] = []
    with console.progress("checking"):
        for check in CHECKS:
            findings += check(request.root)
    if request.json:
        console.json(to_json(findings))
    else:
        console.table((), [(f.about, (str(f.verdict), STYLES[f.verdict]), _text(f)) for f in findings])
    return Exit.REFUSED if any(f.verdict is CheckResult.FAILED for f in findings) else Exit.OK


def _text(finding: DoctorFinding) -> str:
    return finding.what + (f"; {finding.hint}" if finding.hint else "")


def _ok(about: str, what: str) -> DoctorFinding:
    return DoctorFinding(about=about, verdict=CheckResult.OK, what=what)


def _warning(about: str, what: str, hint: str = "") -> DoctorFinding:
    return DoctorFinding(about=about, verdict=CheckResult.WARNING, what=what, hint=hint)


def _failed(about: str, what: str, hint: str = "") -> DoctorFinding:
    return DoctorFinding(about=about, verdict=CheckResult.FAILED, what=what, hint=hint)


REINSTALL = "reinstall the package ordain"


def generator(root: Path) -> Iterator[DoctorFinding]:
    """Check the program that PID 1 runs: installed, not overridden, and precompiled."""
    about = "generator"
    for mask in MASKS:
        if (root / mask).is_symlink() or (root / mask).exists():
            yield _failed(about, f"/{mask} overrides it, so no units are placed", f"remove /{mask}")
            return
    program = root / GENERATOR
    if not os.access(program, os.X_OK) or not program.is_file():
        yield _failed(about, f"/{GENERATOR} is missing or not executable", REINSTALL)
        return
    sources = _sources(root, program)
    if not any(path.name == "main.py" for path in sources):
        yield _failed(about, f"/{GENERATOR} cannot find its modules", REINSTALL)
    elif stale := [path.name for path in sources if not _compiled(path)]:
        slow = f"{', '.join(stale)} not compiled for this Python, which slows down every boot and reload"
        yield _warning(about, slow, REINSTALL)
    else:
        yield _ok(about, f"/{GENERATOR}")


def _sources(root: Path, program: Path) -> list[Path]:
    """Return the modules that ``program`` imports: it names their directory (generator/ordain-generator)."""
    for line in program.read_text("utf-8", "replace").splitlines():
        if line.startswith('sys.path.insert(0, "'):
            return sorted((root / line.split('"')[1].lstrip("/") / "ordain/generator").glob("*.py"))
    return []


def _compiled(source: Path) -> bool:
    """Tell whether Python would use the .pyc: its bytes 8 to 16 are the time and size of the source (PEP 552)."""
    try:
        head = Path(importlib.util.cache_from_source(str(source))).read_bytes()[:16]
        status = source.stat()
    except OSError:
        return False
    wanted = (int(status.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + status.st_size.to_bytes(4, "little")
    by_hash = head[4:8] != bytes(4)
    return by_hash or head[8:16] == wanted


def last_run(root: Path) -> Iterator[DoctorFinding]:
    """Check the last run of the generator in this boot."""
    about = "last run"
    record = read_boot_record(root)
    if not record:
        yield _failed(about, "the generator has not run in this boot", "run systemctl daemon-reload")
        return
    origin, number, hash, entries, usec = (
        record.get(key, ("?",))[0] for key in ("from", "number", "hash", "entries", "usec")
    )
    title = hash[:12] if number == "0" else number  # a generation of an image or a first boot has no number
    for problem in record.get("problem", ()):
        yield _failed(about, problem, "correct this, then run systemctl daemon-reload")
    for note in record.get("note", ()):
        yield _warning(about, note)
    if origin == "off":
        yield _warning(about, "turned off by ordain=off on the kernel command line", "reboot without it")
    elif origin == "nothing":
        yield _warning(about, "there was no generation to place", "run ordainctl apply")
    elif origin in ("trial", "current") or hash == _current(root):
        yield _ok(about, f"generation {title} from {origin}: {entries} files and links in {_milliseconds(usec)} ms")
    else:
        yield _warning(about, f"generation {title} from {origin}, not the current one", "run ordainctl status")


def _current(root: Path) -> str:
    try:
        return unpack((root / "etc/ordain/boot/current").read_bytes()).hash
    except (OSError, CacheError):
        return ""


def _milliseconds(usec: str) -> str:
    return f"{int(usec) / 1000:.1f}" if is_decimal(usec) else "?"


def caches(root: Path) -> Iterator[DoctorFinding]:
    """Check the boot caches: readable, complete, made for this machine, and writable by root only."""
    for name, path in (
        ("boot cache", "etc/ordain/boot/current"),
        ("fallback", "etc/ordain/boot/fallback"),
        ("baseline", "usr/lib/ordain/boot/baseline"),
    ):
        yield from _cache(root, name, path)


def _cache(root: Path, about: str, path: str) -> Iterator[DoctorFinding]:
    again = "ordainctl apply writes a new one"
    try:
        status = (root / path).lstat()
        data = (root / path).read_bytes()
        cache = unpack(data)
    except FileNotFoundError:
        if about == "boot cache":
            yield _warning(about, f"/{path} not found: no generation is proven yet", "the first apply creates it")
        return
    except OSError as error:
        yield _failed(about, f"/{path}: {error.strerror}", "run as root")
        return
    except CacheError as error:
        yield _failed(about, f"/{path}: {error}", again)
        return
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        yield _failed(about, f"/{path} is writable by users other than root, so it is not used", f"remove it; {again}")
        return
    machine_id = (rootfs.read(root, "etc/machine-id") or b"").decode("ascii", "replace").strip()
    if cache.machine_id and cache.machine_id != machine_id:
        yield _failed(about, f"/{path} was made for another machine, {cache.machine_id} [ForeignCache]", again)
        return
    yield _ok(about, f"generation {cache.title}, {plural(len(cache.entries), 'file')}")


def generations(root: Path) -> Iterator[DoctorFinding]:
    """Verify the generations in the history, to which an administrator may roll back."""
    store = Store(root)
    damaged = list(store.damaged())
    for damage in damaged:
        yield _failed("history", str(damage), "a rollback to it is refused; choose another one (`ordainctl history`)")
    if not damaged:
        yield _ok("history", f"{plural(len(store.numbers()), 'generation')} to roll back to")


def attempts(root: Path) -> Iterator[DoctorFinding]:
    """Report boots that did not complete since the last one that did."""
    lines = (rootfs.read(root, "etc/ordain/boot/attempts") or b"").splitlines()
    other = [line for line in lines if not line.endswith(boot_id(root).encode())]
    counts = Counter(line.partition(b" ")[0].decode("ascii", "replace") for line in other)
    for hash, boots in counts.items():
        title = "no generation" if hash == NOTHING else f"generation {hash[:12]}"
        yield _warning("boots", f"{plural(boots, 'boot')} with {title} did not complete", "see journalctl --boot=-1")
    if not counts:
        yield _ok("boots", "the last boot completed")


def units(root: Path) -> Iterator[DoctorFinding]:
    """Check the static units: installed, and not masked."""
    wrong = False
    for name in UNITS:
        mask = root / "etc/systemd/system" / name
        if mask.is_symlink() and str(mask.readlink()) == os.devnull:
            wrong = True
            yield _warning("units", f"{name} is masked", f"run systemctl unmask {name}")
        elif rootfs.read(root, f"usr/lib/systemd/system/{name}") is None:
            wrong = True
            yield _failed("units", f"{name} is not installed", REINSTALL)
    if not wrong:
        yield _ok("units", f"{len(UNITS)} of {len(UNITS)} installed")


def agent(root: Path) -> Iterator[DoctorFinding]:
    """Check the agent: on the bus, and its state."""
    try:
        status = ask(root, lambda client: client.status())
    except Failure as failure:
        yield _failed("agent", str(failure), "see systemctl status ordain-agent.service")
        return
    if status.agent:
        yield _ok("agent", f"on the bus, {status.state}")
    else:
        yield _warning(
            "agent",
            "not running, so changes of the documents are not applied",
            "see systemctl status ordain-agent.service",
        )


def distribution(root: Path) -> Iterator[DoctorFinding]:
    """Report the units that the distribution starts in addition to the documents, or that exclusive mode keeps out."""
    about = "distribution"
    store = Store(root)
    try:
        applied = store.read_applied()
        members = store.load_hash(applied.hash).members if applied else ()
    except (KeyError, OSError, ValueError):
        members = ()
    if held := [member.unit for member in members if member.item == BOOT_ITEM]:
        yield _ok(about, f"boot: {{mode: exclusive}} keeps out {', '.join(held)}")
        yield from _started_anyway(root, about)
        return
    spoken_of = {name for member in members for name in (member.unit, member.starts)}
    others = sorted(started_by_distribution(read_installed(root)) - spoken_of)
    if not others:
        yield _ok(about, "starts no units in addition to the documents")
    else:
        starts = f"starts {plural(len(others), 'unit')} in addition to the documents: {', '.join(others)}"
        yield DoctorFinding(
            about=about, verdict=CheckResult.OK, what=starts, hint="boot: {mode: exclusive} keeps them out"
        )


def _started_anyway(root: Path, about: str) -> Iterator[DoctorFinding]:
    """Report units that run although exclusive mode keeps them out: an administrator or a new package started them."""
    try:
        units = ask(root, lambda client: client.status()).units
    except Failure:
        return  # the check of the agent reports it
    for unit in units:
        if unit.item == BOOT_ITEM and not unit.ok and unit.active_state in RUNNING:
            what = f"{unit.unit} was started manually and will not run after the next boot"
            yield _warning(
                about, what, f"boot: {{allow: [{unit.unit}]}} allows it; systemctl stop {unit.unit} stops it now"
            )


def documents(root: Path) -> Iterator[DoctorFinding]:
    """Check the settings, the source, the documents and the transformation database: readable and valid."""
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
        yield _failed("transforms", count(refused.problems), "run ordainctl validate /etc/ordain/transforms")


def writers(root: Path) -> Iterator[DoctorFinding]:
    """Check that only root can write what decides for root: settings, documents, Transforms and trusted keys."""
    about = "permissions"
    settings = read_settings(root)[0]
    places = [folder for folder in DECIDING if (root / folder).exists()]
    if settings.source.type is SourceKind.DIRECTORY:
        places.append(settings.source.path.lstrip("/"))
    wrong: set[rootfs.OtherWriter] = set()
    for place in places:
        try:
            wrong |= read_in_time(f"/{place}", partial(_others, root / place))
        except NotAnswering as error:
            yield _failed(about, f"{error} [MountNotAnswering]", HINT)
            return
        except OSError as error:
            yield _warning(about, f"{error.filename}: {error.strerror}", "run as root")
            return
    for other in sorted(wrong, key=lambda other: other.place):
        below = Path(other.place).is_relative_to(root)
        shown = replace(other, place=f"/{Path(other.place).relative_to(root)}") if below else other
        yield _failed(about, f"{shown.place}: {shown.who}", shown.remedy)
    if not wrong:
        yield _ok(about, "only root can write settings, documents and keys")


def _others(folder: Path) -> set[rootfs.OtherWriter]:
    """Return the users other than root who can write or replace ``folder`` or a file in it."""
    paths = (folder, *(folder.iterdir() if folder.is_dir() else ()))
    return {other for path in paths if (other := rootfs.other_writer(path))}


def _directory(root: Path, path: str) -> DoctorFinding:
    directory = root / path.lstrip("/")
    try:
        is_directory = read_in_time(path, directory.is_dir)
    except NotAnswering as error:
        return _failed("source", f"{error}; the last valid state stays in force [MountNotAnswering]", HINT)
    if not is_directory:
        return _failed(
            "source", f"{path} is not a directory", "create it, or set source; the last valid state stays in force"
        )
    documents_found, problems = read_files([str(directory)])
    if only_errors(problems):
        return _failed("documents", count(problems), f"run ordainctl validate {path}")
    if not documents_found:
        return _warning("documents", f"{path} contains no documents; the last valid state stays in force")
    return _ok("documents", f"{plural(len(documents_found), 'document')} in {path}")


def _remote(root: Path, settings: SourceSettings) -> DoctorFinding:
    """Check the handover of ordain-source.service; only root and that service may read it."""
    try:
        handover = read_handover(root / FOLDER / NAME)
    except SourceError as error:
        return _failed("source", f"{error} [{error.code}]", error.hint)
    health = handover.health
    if handover.location != settings.location:
        return _failed(
            "source",
            f"the documents are from {handover.location}, not from {settings.location}",
            "run systemctl reload ordain-agent.service",
        )
    if health is not None and not health.connected:
        return _failed("source", f"{health.what} [{health.code}]", health.hint or "the last valid state stays in force")
    if health is not None and health.code:
        return _warning("source", f"{health.what} [{health.code}]")
    return _ok("source", f"{plural(len(handover.snapshot.texts), 'text')} of {settings.location}")


def disk(root: Path) -> Iterator[DoctorFinding]:
    """Check the directories that an apply writes to: writable, with enough space."""
    for name in ("etc", "var/lib", "run"):
        try:
            status = os.statvfs(root / name)
        except OSError as error:
            yield _failed(f"/{name}", error.strerror or str(error))
            continue
        free = status.f_bavail * status.f_frsize
        if status.f_flag & os.ST_RDONLY:
            yield _warning(f"/{name}", "read-only, so changes last only until the next boot [NotPersistent]")
        elif free < SPACE_BYTES or (status.f_files and status.f_favail < 1000):
            yield _warning(f"/{name}", f"only {free >> 20} MiB and {status.f_favail} inodes free", "free some space")
        else:
            yield _ok(f"/{name}", f"writable, {free >> 20} MiB free")


CHECKS: tuple[Callable[[Path], Iterator[DoctorFinding]], ...] = (
    generator,
    last_run,
    caches,
    generations,
    attempts,
    units,
    agent,
    distribution,
    documents,
    writers,
    disk,
)
