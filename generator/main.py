"""The generator: which generation this boot gets, and its units placed.

    argv, kernel command line, caches ─choose─▶ Cache ─place─▶ units, and the record /run/ordain/boot/choice

In order: the trial of this boot, current, fallback, baseline, nothing (product.md, Boot). A cache that
is missing, damaged, foreign or was tried in three boots in vain is passed over for the next. Runs before
anything else does, blocks PID 1 while it runs, and must neither hang, ask another process (no NSS), nor
fail as a whole: everything imported here is built into the interpreter.
"""

from __future__ import annotations

import sys

# Not from signal, which builds enums for 5 ms.
from _signal import SIGALRM, alarm, signal  # type: ignore[import-not-found]
from posix import (
    O_CLOEXEC,
    O_CREAT,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_RDONLY,
    O_TRUNC,
    O_WRONLY,
    close,
    environ,
    fstat,
    geteuid,
    getpid,
    mkdir,
    read,
    rename,
    umask,
    write,
)
from posix import open as open_fd
from time import monotonic_ns

from ordain.generator.cache import CacheError, unpack
from ordain.generator.place import place

TYPE_CHECKING = False  # typing costs 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ordain.generator.cache import Cache

USAGE = """\
usage: ordain-generator [--root=DIR] DIR [EARLY-DIR LATE-DIR]
Place the units of this machine's generation below DIR, or below the three directories.
--root=DIR: read caches, kernel command line and machine-id below DIR, and keep the record there.
"""
SECONDS = 5  # of the 90 that all generators share; when those are over, the boot stops (systemd#39354)
TRIES = 3  # boots a generation gets to complete one
SIZE_MAX = 64 << 20
LINES_MAX = 8  # problems logged; the record has all
RECORD = "/run/ordain/boot/choice"


class _TimeUp(BaseException):
    """The alarm went off; no handler for Exception may swallow it."""


def main(argv: list[str]) -> int:
    """Place this machine's units; ``argv`` as systemd gives it. Returns the exit status.

    0: placed, or there is nothing to place. 1: something is missing, and a logged line says what.
    """
    started = monotonic_ns()
    log = _log_to_kernel if environ.get(b"SYSTEMD_SCOPE") == b"system" else _log_to_stderr
    arguments = argv[1:]
    root = ""
    by_systemd = log is _log_to_kernel
    if arguments and arguments[0].startswith("--root="):
        root = arguments.pop(0)[len("--root=") :].rstrip("/")
        log, by_systemd = _log_to_stderr, True
    if len(arguments) not in (1, 3) or any(a.startswith("-") or not a for a in arguments):
        _to_stderr(USAGE.encode())
        return 1
    if environ.get(b"SYSTEMD_IN_INITRD") == b"1" or environ.get(b"SYSTEMD_SCOPE") == b"user":
        return 0
    umask(0o022)
    try:
        signal(SIGALRM, _time_up)
        alarm(SECONDS)
        run = _Run(root, log)
        normal, early, late = arguments * (3 // len(arguments))
        run.place({"normal": normal, "early": early, "late": late})
        alarm(0)
        if by_systemd:
            run.record((monotonic_ns() - started) // 1000)
        return run.report()
    except _TimeUp:
        log(3, f"not done after {SECONDS} s, nothing placed")
    except Exception as error:  # the last resort: one line, and the boot goes on
        line = error.__traceback__.tb_lineno if error.__traceback__ else 0
        log(3, f"internal error, line {line}: {type(error).__name__}: {error}")
    return 1


class _Run:
    """One run: what was chosen and from where, what was passed over (notes), what is missing (problems)."""

    def __init__(self, root: str, log: Callable[[int, str], None]) -> None:
        self.root = root
        self.log = log
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.cache: Cache | None = None
        self.origin = "nothing"
        self.boot_id = _word(root + "/proc/sys/kernel/random/boot_id").replace("-", "")
        pin = _read_record(root + RECORD)
        self.first = not self.boot_id or pin.get("boot_id") != self.boot_id
        # Pinned for this boot: its own attempt must not change what a reload in it places.
        self.tried = _tried(root) if self.first else pin.get("tried", "").split()
        self.booted = "" if self.first else pin.get("booted", "")
        self.option = ""
        self.choose()

    def choose(self) -> None:
        """Take the first cache that can be used."""
        on, self.option = _options(self.root)
        if not on:
            self.origin = "off"
            return
        for origin, path in self.candidates():
            try:
                cache = self.load(path)
            except FileNotFoundError:
                if origin.isdigit():
                    self.notes.append(f"ordain.boot={origin}: not kept, taking the next")
                continue
            except OSError as error:
                self.notes.append(f"{path}: {error.strerror}, taking the next")
                continue
            except CacheError as error:
                self.notes.append(f"{path}: {error}, taking the next")
                continue
            if origin == "trial" and (not cache.boot_id or cache.boot_id != self.boot_id):
                continue  # another boot's: it ended there
            if cache.hash in self.tried and origin not in ("trial", self.option):
                self.notes.append(
                    f"{path}: {TRIES} boots with generation {cache.number} did not complete, taking the next"
                )
                continue
            self.cache, self.origin = cache, origin
            return

    def candidates(self) -> Iterator[tuple[str, str]]:
        """Origin and path of every cache that may be taken, best first."""
        yield "trial", "/run/ordain/boot/current"
        option = self.option
        if option and option not in ("fallback", "baseline") and not (option.isascii() and option.isdigit()):
            self.notes.append(f"ordain.boot={option[:40]}: want fallback, baseline or a number, taking fallback")
            option = self.option = "fallback"
        if option.isdigit():
            yield option, f"/etc/ordain/boot/{option[:18]}"
        if not option:
            yield "current", "/etc/ordain/boot/current"
        if option != "baseline":
            yield "fallback", "/etc/ordain/boot/fallback"
        yield "baseline", "/usr/lib/ordain/boot/baseline"

    def load(self, path: str) -> Cache:
        """The cache at ``path``. Raises `OSError`, `CacheError`."""
        cache = unpack(_read_trusted(self.root + path))
        if cache.machine_id and cache.machine_id != _word(self.root + "/etc/machine-id"):
            raise CacheError("ForeignCache", f"made for machine {cache.machine_id[:32]}")
        return cache

    def place(self, directories: dict[str, str]) -> None:
        """Place what was chosen; when time is up, what is there stays."""
        if self.cache is None:
            return
        try:
            place(self.cache.entries, directories, self.problems)
        except _TimeUp:
            self.problems.append(f"not done after {SECONDS} s, the rest is not placed")

    def record(self, usec: int) -> None:
        """Write the record: what status and doctor show, and what a reload in this boot goes by."""
        cache = self.cache
        if self.first and cache is not None and not self.option:
            self.booted = cache.hash
        lines = [
            f"boot_id={self.boot_id}",
            f"tried={' '.join(self.tried)}",
            f"booted={self.booted}",
            f"from={self.origin}",
            f"number={cache.number if cache else 0}",
            f"hash={cache.hash if cache else ''}",
            f"entries={len(cache.entries) if cache else 0}",
            f"usec={usec}",
        ]
        lines += [f"note={_printable(note)}" for note in self.notes]
        lines += [f"problem={_printable(problem)}" for problem in self.problems]
        try:
            for directory in ("/run", "/run/ordain", "/run/ordain/boot"):
                try:
                    mkdir(self.root + directory, 0o755)
                except FileExistsError:
                    pass
            if self.first and self.booted:
                # The line that ordain-boot-attempt.service adds to /etc/ordain/boot/attempts.
                _write(self.root + "/run/ordain/boot/booted", f"{self.booted} {self.boot_id}\n")
            _write(self.root + RECORD, "\n".join(lines) + "\n")
        except OSError as error:
            self.notes.append(f"{RECORD}: {error.strerror}")

    def report(self) -> int:
        """Log what a person should know; the exit status."""
        lines = [(4, note) for note in self.notes] + [(3, problem) for problem in self.problems]
        for level, line in lines[:LINES_MAX]:
            self.log(level, line)
        if len(lines) > LINES_MAX:
            self.log(3, f"{len(lines) - LINES_MAX} more: {RECORD}")
        if self.origin not in ("trial", "current"):
            what = f"generation {self.cache.number}" if self.cache else "no units placed"
            self.log(5 if self.notes else 7, f"from {self.origin}: {what}")
        return 1 if self.problems or (self.notes and self.cache is None) else 0


def _options(root: str) -> tuple[bool, str]:
    """Kernel command line: whether Ordain is on, and the value of ``ordain.boot``; the last one counts."""
    container = environ.get(b"SYSTEMD_VIRTUALIZATION", b"").startswith(b"container:")
    if container or _word(root + "/run/systemd/container"):
        # /proc/cmdline is the host's there (proc-cmdline.c does the same).
        words = _small(root + "/proc/1/cmdline").split(b"\0")
    else:
        words = _small(root + "/proc/cmdline").split()
    on, boot = True, ""
    for word in words:
        key, _, value = word.partition(b"=")
        if key == b"ordain":
            on = value not in (b"off", b"no", b"0", b"false")
        elif key == b"ordain.boot":
            boot = value.decode("ascii", "replace")
    return on, boot


def _tried(root: str) -> list[str]:
    """Hashes of the generations that had their `TRIES` boots.

    /etc/ordain/boot/attempts holds a line ``HASH BOOT-ID`` per boot that did not complete; it is removed
    when one does. A line cut short by a power failure counts for nothing.
    """
    counts: dict[str, int] = {}
    for line in set(_small(root + "/etc/ordain/boot/attempts").split(b"\n")):
        words = line.decode("ascii", "replace").split()
        if len(words) == 2:
            counts[words[0]] = counts.get(words[0], 0) + 1
    return sorted(hash for hash, count in counts.items() if count >= TRIES)


def _read_record(path: str) -> dict[str, str]:
    pairs = {}
    for line in _small(path).decode("utf-8", "replace").split("\n"):
        key, _, value = line.partition("=")
        pairs[key] = value
    return pairs


def _read_trusted(path: str) -> bytes:
    """A file only its owner, root or us, could write. Raises `CacheError` ``UnsafeCache``, `OSError`.

    O_NONBLOCK: to open a FIFO would otherwise wait for a writer, and the boot with it.
    """
    fd = open_fd(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    try:
        stat = fstat(fd)
        if stat.st_mode & 0o170000 != 0o100000:
            raise CacheError("UnsafeCache", "not a regular file")
        if stat.st_uid not in (0, geteuid()) or stat.st_mode & 0o022:
            raise CacheError("UnsafeCache", f"owner {stat.st_uid}, mode {stat.st_mode & 0o7777:o}: others may write it")
        if stat.st_size > SIZE_MAX:
            raise CacheError("UnsafeCache", f"{stat.st_size} bytes, at most {SIZE_MAX}")
        data = read(fd, stat.st_size + 1)
        while len(data) < stat.st_size and (more := read(fd, stat.st_size - len(data))):
            data += more
        return data
    finally:
        close(fd)


def _small(path: str) -> bytes:
    """The first 64 KiB of a file, empty when it cannot be read."""
    try:
        fd = open_fd(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    except OSError:
        return b""
    try:
        return read(fd, 1 << 16)
    except OSError:
        return b""
    finally:
        close(fd)


def _word(path: str) -> str:
    return _small(path).strip().decode("ascii", "replace")


def _write(path: str, text: str) -> None:
    temporary = f"{path}.{getpid()}"
    fd = open_fd(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o644)
    try:
        write(fd, text.encode("utf-8", "replace"))
    finally:
        close(fd)
    rename(temporary, path)


def _log_to_kernel(level: int, text: str) -> None:
    """One record of /dev/kmsg; the kernel refuses more than 1,024 bytes (devkmsg_write)."""
    line = f"<{level}>ordain-generator[{getpid()}]: {_printable(text)}".encode("utf-8", "replace")[:990] + b"\n"
    try:
        fd = open_fd("/dev/kmsg", O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
        try:
            write(fd, line)
        finally:
            close(fd)
    except OSError:
        _to_stderr(line[3:])


def _log_to_stderr(level: int, text: str) -> None:
    _to_stderr(f"ordain-generator: {_printable(text)}\n".encode("utf-8", "replace"))


def _to_stderr(line: bytes) -> None:
    if sys.stderr is None:
        return  # closed at start: number 2 may by now be a unit file
    try:
        write(2, line)
    except OSError:
        pass  # nobody is listening


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _time_up(*_: object) -> None:
    raise _TimeUp
