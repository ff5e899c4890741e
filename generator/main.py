"""The generator: it places the units of the chosen generation, and records the choice.

    argv ─▶ choose ─▶ place ─▶ units, /run/ordain/boot/choice, lines in /dev/kmsg, exit status

It runs before any unit is loaded, and PID 1 waits for it. So it must not hang, must not ask another process (as NSS
does), and must not fail as a whole. Every module that it imports is built into the interpreter.
"""

from __future__ import annotations

import sys

# The module signal would take 5 ms, because it builds enums.
from _signal import SIG_DFL, SIGALRM, SIGINT, alarm, signal  # type: ignore[import-not-found]
from posix import (
    O_CLOEXEC,
    O_CREAT,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_TRUNC,
    O_WRONLY,
    close,
    environ,
    getcwd,
    getpid,
    mkdir,
    rename,
    umask,
    write,
)
from posix import open as open_fd
from time import monotonic_ns

from ordain.generator.choose import NOTHING, RECORD, choose
from ordain.generator.place import place

TYPE_CHECKING = False  # typing costs 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from ordain.generator.choose import BootChoice

    Log = Callable[[int, str], None]

USAGE = """\
usage: ordain-generator [--root=DIR] DIR [EARLY-DIR LATE-DIR]
Place the units of this machine's generation below DIR, or below the three directories.
  --root=DIR  the machine below DIR: its caches, machine-id and kernel command line; the record goes there
"""
SECONDS = 5
"""Our time limit. All generators share 90 s; after these, the boot stops (systemd#39354)."""
LINES_MAX = 8
"""The most lines that one run logs; the record has all of them."""
WHY = "/run/ordain/boot/why"
"""The reasons why this boot does not use the current generation; ordain-boot-why.service shows them on the console."""


def main(argv: list[str]) -> int:
    """Place the units of this machine, with the ``argv`` of systemd. Return the exit status.

    It is 0 if everything was placed or there is nothing to place, and 1 if something is missing, which is logged.
    """
    started = monotonic_ns()
    by_manager = environ.get(b"SYSTEMD_SCOPE") == b"system"  # since systemd 251
    log = _log_to_kernel if by_manager else _log_to_stderr
    root, directories = "", argv[1:]
    if directories and directories[0].startswith("--root="):
        root = _absolute(directories.pop(0).partition("=")[2]).rstrip("/")
        log = _log_to_stderr
    if len(directories) not in (1, 3) or any(not d or d.startswith("-") for d in directories):
        _to_stderr(USAGE)
        return 1
    if environ.get(b"SYSTEMD_IN_INITRD") == b"1" or environ.get(b"SYSTEMD_SCOPE") == b"user":
        return 0
    umask(0o022)
    signal(SIGINT, SIG_DFL)
    try:
        signal(SIGALRM, _time_up)
        alarm(SECONDS)
        choice = _choose(root)
        problems = _place(choice, directories)
        alarm(0)
        if by_manager or root:
            # A run by a person places no units in this machine, so it does not change the record of this machine.
            _record(root, choice, problems, (monotonic_ns() - started) // 1000)
        _report(choice, problems, log)
    except _TimeUp:
        log(3, f"not finished after {SECONDS} s")
    except Exception as error:  # the last resort: log one line instead of a traceback, and continue the boot
        log(3, f"internal error: {type(error).__name__}: {error}")
    else:
        return 1 if problems or (choice.notes and choice.cache is None) else 0
    return 1


def _choose(root: str) -> BootChoice:
    """Choose a cache; if agent.yaml must be read or documents must be compiled, a separate program does that first."""
    choice = choose(root)
    if choice.undecided:
        from ordain.generator import first_boot

        choice = _choose_after(root, first_boot.ask_trust, first_boot.SECONDS, "agent.yaml was not read within")
    if choice.first and choice.origin in ("baseline", "nothing") and choice.option != "baseline":
        from ordain.generator import first_boot

        if first_boot.needs_compile(root, own=choice.origin == "nothing" and not choice.tried):
            choice = _choose_after(
                root, first_boot.run_compiler, first_boot.SECONDS, "the documents were not compiled within"
            )
    return choice


def _choose_after(root: str, run: Callable[[str], tuple[str, list[str]]], seconds: int, not_done: str) -> BootChoice:
    """Choose a cache with the `trust` that ``run`` returns; its other lines become notes. It may take ``seconds``."""
    alarm(seconds)
    try:
        trust, reasons = run(root)
    except _TimeUp:
        trust, reasons = "", [f"{not_done} {seconds} s; the agent will do it"]
    alarm(SECONDS)
    choice = choose(root, trust)
    choice.notes += reasons
    return choice


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{getcwd()}/{path}"


class _TimeUp(BaseException):
    """The alarm went off; it is not an Exception, so that no handler of exceptions catches it."""


def _time_up(*_: object) -> None:
    raise _TimeUp


def _place(choice: BootChoice, directories: list[str]) -> list[str]:
    """Place the chosen cache; return the problems. After the time limit, the units that are placed stay."""
    problems: list[str] = []
    if choice.cache is not None:
        normal, early, late = [_absolute(d) for d in directories] * (3 // len(directories))
        try:
            place(choice.cache.entries, {"normal": normal, "early": early, "late": late}, problems)
        except _TimeUp:
            problems.append(f"not finished after {SECONDS} s; the other units are not placed")
    return problems


def _record(root: str, choice: BootChoice, problems: list[str], usec: int) -> None:
    """Write `RECORD`, which status and doctor show, and which later runs in this boot read.

    The first run of a boot also writes `WHY`, and /run/ordain/boot/booted with the line that
    ordain-boot-attempt.service adds to /etc/ordain/boot/attempts. If an administrator chose the generation
    (``ordain.boot=``), the boot proves nothing and is not counted.
    """
    cache = choice.cache
    if choice.first and not choice.option:
        choice.booted = cache.hash if cache is not None else NOTHING * bool(choice.tried)
    lines = [
        f"boot_id={choice.boot_id}",
        f"tried={' '.join(choice.tried)}",
        f"booted={choice.booted}",
        f"from={choice.origin}",
        f"number={cache.number if cache else 0}",
        f"hash={cache.hash if cache else ''}",
        f"entries={len(cache.entries) if cache else 0}",
        f"usec={usec}",
        f"boot_usec={choice.boot_usec or usec}",
    ]
    lines += [f"note={_printable(note)}" for note in choice.notes]
    lines += [f"problem={_printable(problem)}" for problem in problems]
    try:
        # Boot caches may hold secrets, so users other than root do not enter their directory.
        for directory, mode in (("/run", 0o755), ("/run/ordain", 0o755), ("/run/ordain/boot", 0o700)):
            try:
                mkdir(root + directory, mode)
            except FileExistsError:
                pass
        if choice.first and choice.booted:
            _write(root + "/run/ordain/boot/booted", f"{choice.booted} {choice.boot_id}\n")
        if choice.first and choice.notes:
            _write(root + WHY, "".join(f"{_printable(line)}\n" for line in [*choice.notes, _placed(choice)]))
        _write(root + RECORD, "\n".join(lines) + "\n")
    except OSError as error:
        choice.notes.append(f"{RECORD}: {error.strerror}")


def _write(path: str, text: str) -> None:
    temporary = f"{path}.{getpid()}"
    fd = open_fd(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o644)
    try:
        write(fd, text.encode("utf-8", "replace"))
    finally:
        close(fd)
    rename(temporary, path)


def _report(choice: BootChoice, problems: list[str], log: Log) -> None:
    """Log the notes and problems, and the choice if it is not the usual one."""
    # Level 3 is shown on the console even if the kernel is booted with `quiet`.
    lines = [(3, note) for note in choice.notes] + [(3, problem) for problem in problems]
    for level, line in lines[:LINES_MAX]:
        log(level, line)
    if len(lines) > LINES_MAX:
        log(3, f"{len(lines) - LINES_MAX} more messages are in {RECORD}")
    if choice.cache is None:
        log(5 if choice.notes else 7, _placed(choice))
    elif choice.origin not in ("trial", "current") and (choice.first or choice.origin != "handed"):
        log(5, _placed(choice))


def _placed(choice: BootChoice) -> str:
    if choice.cache is None:
        return "Ordain is off" if choice.origin == "off" else "no generation to place"
    return f"placed generation {choice.cache.title} from {choice.origin}"


def _log_to_kernel(level: int, text: str) -> None:
    """Log a line to /dev/kmsg; one write is one record of less than 1,024 bytes (devkmsg_write in the kernel)."""
    line = f"<{level}>ordain-generator[{getpid()}]: {_printable(text)}".encode("utf-8", "replace")[:990]
    try:
        fd = open_fd("/dev/kmsg", O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
        try:
            write(fd, line + b"\n")
        finally:
            close(fd)
    except OSError:
        _log_to_stderr(level, text)


def _log_to_stderr(level: int, text: str) -> None:
    _to_stderr(f"ordain-generator: {_printable(text)}\n")


def _to_stderr(text: str) -> None:
    if sys.stderr is None:
        return  # it was closed at the start, so descriptor 2 may be another file now
    try:
        write(2, text.encode("utf-8", "replace"))
    except OSError:
        pass  # nobody reads it


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
