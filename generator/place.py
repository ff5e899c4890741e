"""Place the entries of a cache below the generator's directories.

A file or link is made whole under a hidden name and renamed, or made in one system call: whoever looks,
or kills us, finds it complete or not at all. The five system calls per unit made here are most of what
the generator costs, hence bare names in the current directory and functions taken from `posix` itself.
"""

from __future__ import annotations

from posix import (
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    O_WRONLY,
    close,
    fchdir,
    getpid,
    mkdir,
    rename,
    symlink,
    unlink,
    write,
)
from posix import open as open_fd

TYPE_CHECKING = False  # typing costs 10 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ordain.generator.cache import Entry

_DIRECTORY = O_PATH | O_DIRECTORY | O_CLOEXEC
_NEW = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC


def place(entries: Sequence[Entry], directories: dict[str, str], problems: list[str]) -> None:
    """Place ``entries`` in their order.

    ``directories`` maps ``normal``, ``early`` and ``late`` to where they are. An entry that cannot be
    placed is skipped and adds a line to ``problems``. What stands there under the same name is replaced, as
    another run of ours may have left it. Changes the current directory; modes are subject to the umask.
    """
    # A hidden name: systemd reads no file that starts with a dot. Two runs must not share it.
    temporary = f".ordain-{getpid()}"
    bases: dict[str, int] = {}
    here = ""
    for path, mode, content, link in entries:
        directory, _, name = path.rpartition("/")
        try:
            if directory != here:
                here = ""
                _enter(directory, directories, bases)
                here = directory
            try:
                if content is not None:
                    _write(temporary, mode, content)
                    rename(temporary, name)
                elif link is not None:
                    symlink(link, name)
            except FileExistsError:  # a link of this name, or what a killed run with our number left
                _discard(temporary)
                if content is not None:
                    _write(temporary, mode, content)
                elif link is not None:
                    symlink(link, temporary)
                rename(temporary, name)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            if here:
                _discard(temporary)
    for fd in bases.values():
        close(fd)


def _enter(directory: str, directories: dict[str, str], bases: dict[str, int]) -> None:
    """Change into ``normal`` or ``normal/web.service.d``, made if need be; ``bases`` keeps the three open."""
    top, _, below = directory.partition("/")
    if top not in bases:
        bases[top] = _open_directory(directories[top])
    fchdir(bases[top])
    if below:
        try:
            fd = open_fd(below, _DIRECTORY | O_NOFOLLOW)
        except FileNotFoundError:
            try:
                mkdir(below, 0o755)
            except FileExistsError:
                pass  # another generator made it just now
            fd = open_fd(below, _DIRECTORY | O_NOFOLLOW)
        fchdir(fd)
        close(fd)


def _write(name: str, mode: int, content: bytes) -> None:
    fd = open_fd(name, _NEW, mode)
    try:
        written = write(fd, content)
        while written < len(content):  # a full file system takes a part first, and then refuses
            written += write(fd, content[written:])
    finally:
        close(fd)


def _open_directory(path: str) -> int:
    try:
        return open_fd(path, _DIRECTORY)
    except FileNotFoundError:  # systemd makes them; by hand one may be missing
        mkdir(path, 0o755)
        return open_fd(path, _DIRECTORY)


def _discard(name: str) -> None:
    try:
        unlink(name)
    except OSError:
        pass  # it was never made
