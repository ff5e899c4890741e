"""The placement of the entries of a cache in the generator's directories.

A file or link is made complete under a hidden name and then renamed, or made by one system call, so that it is never
seen, or left behind, in part. The five system calls per unit are most of the cost of the generator. This is why they
use names relative to the current directory, and functions of `posix` itself.
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

    ``directories`` are the paths of ``normal``, ``early`` and ``late``. An entry that cannot be placed is skipped, and
    added to ``problems``. An existing file with the same name is replaced; an earlier run may have left it. The
    function changes the current directory; modes are subject to the umask.
    """
    # systemd reads no file that starts with a dot. Two runs must not use the same name.
    temporary = f".ordain-{getpid()}"
    bases: dict[str, int] = {}
    current = ""
    for path, mode, content, link in entries:
        directory, _, name = path.rpartition("/")
        try:
            if directory != current:
                current = ""
                _enter(directory, directories, bases)
                current = directory
            try:
                if content is not None:
                    _write(temporary, mode, content)
                    rename(temporary, name)
                elif link is not None:
                    symlink(link, name)
            except FileExistsError:  # a link with this name, or a leftover of a killed run that had our process number
                _discard(temporary)
                if content is not None:
                    _write(temporary, mode, content)
                elif link is not None:
                    symlink(link, temporary)
                rename(temporary, name)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            if current:
                _discard(temporary)
    for fd in bases.values():
        close(fd)


def _enter(directory: str, directories: dict[str, str], bases: dict[str, int]) -> None:
    """Change into ``normal`` or ``normal/web.service.d``, and make it if necessary; ``bases`` are open descriptors."""
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
                pass  # another generator has just made it
            fd = open_fd(below, _DIRECTORY | O_NOFOLLOW)
        fchdir(fd)
        close(fd)


def _write(name: str, mode: int, content: bytes) -> None:
    fd = open_fd(name, _NEW, mode)
    try:
        written = write(fd, content)
        while written < len(content):  # a full file system first accepts a part, and then fails
            written += write(fd, content[written:])
    finally:
        close(fd)


def _open_directory(path: str) -> int:
    try:
        return open_fd(path, _DIRECTORY)
    except FileNotFoundError:  # systemd makes all three, but a person who runs the generator may have forgotten one
        mkdir(path, 0o755)
        return open_fd(path, _DIRECTORY)


def _discard(name: str) -> None:
    try:
        unlink(name)
    except OSError:
        pass  # it was never made
