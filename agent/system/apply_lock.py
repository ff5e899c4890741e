"""The lock that keeps two applies from running at once; the kernel releases it when its holder dies."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import dropwhile
from pathlib import Path

from ordain.agent.errors import Busy
from ordain.agent.system import atomic_files

PATH = "run/ordain/lock"
POLL_SEC = 0.05


COMMAND_LENGTH = 60
"""The most characters of a command that are shown."""


@asynccontextmanager
async def locked(root: Path, patience_sec: float, *, caller: int = 0) -> AsyncIterator[None]:
    """Hold the lock of the machine below ``root``. Raises `Busy` if another process holds it for too long.

    ``caller`` is the process that asked, 0 if nobody did.
    """
    path = root / PATH
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    atomic_files.make_way(path)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        await _take(root, descriptor, patience_sec)
        with contextlib.suppress(OSError):  # the lock also works on a full disk
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {caller}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def lock_holder(root: Path) -> int:
    """Return the process that holds the lock, or held it last; 0 if it is unknown.

    The answer is certain while `locked` raises `Busy`.
    """
    return _holder_and_caller(root)[0]


def other_holder(root: Path, process: int) -> str | None:
    """Return who else holds the lock, in words; ``""`` if nobody does, None if ``process`` does, or who acts for it."""
    try:
        descriptor = os.open(root / PATH, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return ""
    except BlockingIOError:
        return None if process in _holder_and_caller(root) else _describe_holder(root)
    finally:
        os.close(descriptor)


def _holder_and_caller(root: Path) -> tuple[int, int]:
    try:
        holder, caller, *_ = (*map(int, atomic_files.read(root / PATH).decode().split()), 0, 0)
    except (OSError, ValueError):
        return 0, 0
    return holder, caller


def _describe_holder(root: Path) -> str:
    holder, caller = _holder_and_caller(root)
    if not holder:
        return "a process that is not known"
    asked_for = f", for `{_command(caller)}` (process {caller})" if caller not in (0, holder) else ""
    return f"`{_command(holder)}` (process {holder}){asked_for}"


def _command(process: int) -> str:
    """Return the command line of a process, without the interpreter of a script; its name if that is not readable."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        words = [""]
    if not words[0]:
        return "a process that has ended"
    if "python" in words[0].rpartition("/")[2]:
        words = [*dropwhile(lambda word: word.startswith("-"), words[1:])] or words
    text = " ".join([words[0].rpartition("/")[2], *words[1:]])
    return text if len(text) <= COMMAND_LENGTH else f"{text[:COMMAND_LENGTH]}…"


async def _take(root: Path, descriptor: int, patience_sec: float) -> None:
    for _ in range(1 + int(patience_sec / POLL_SEC)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            await asyncio.sleep(POLL_SEC)
    raise Busy(f"another apply is running: {_describe_holder(root)}")
