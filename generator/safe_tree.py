"""File operations below a root that follow no symbolic links.

A directory that belongs to a user may contain a link to any place. So a path is opened one name at a time, and refused
if a name is a link. It is also refused where a directory of a user holds one of somebody else, as systemd-tmpfiles
refuses it: that user could put another directory in its place. The last name is replaced, whatever it is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ordain.generator import selinux_label
from ordain.transforms.account_lines import account_rows

SIZE_MAX = 64 << 20
"""The most bytes of a file that is replaced, because it is read and kept; a sparse file of a user may have any size."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PlacementError(Exception):
    """A file cannot be placed; the message is the reason."""


class Obstructed(PlacementError):
    """Something that is not a directory lies above the path, so nothing is at the path itself."""


@dataclass(frozen=True, slots=True)
class PathState:
    """The state of a path: the current one, a previous one, or the wanted one.

    ``kind`` is nothing, file, link, directory or other. ``digest`` is the SHA-256 of a file's content or a link's
    target. Comparisons ignore ``data``.
    """

    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    digest: str = ""
    data: bytes = field(default=b"", compare=False)

    @classmethod
    def of(cls, kind: str, data: bytes, *, mode: int, uid: int, gid: int) -> PathState:
        """Return the state of a file or link with this content or target."""
        return cls(kind, mode, uid, gid, hashlib.sha256(data).hexdigest(), data)

    def record(self) -> dict[str, str | int]:
        """Return all fields except the data."""
        return {"kind": self.kind, "mode": self.mode, "uid": self.uid, "gid": self.gid, "digest": self.digest}


def read_state(root: Path, path: str) -> tuple[PathState, list[str]]:
    """Return the state of ``path``, and the missing directories above it. Raises `PlacementError`, `OSError`."""
    missing = _missing(root, path)
    if missing:
        return PathState("nothing"), missing
    with _parent(root, path) as (folder, name):
        return _state(folder, name), []


def write_state(root: Path, path: str, wanted: PathState, *, restores: bool = False) -> None:
    """Give ``path`` the state ``wanted``, and make the directories above it. Raises `PlacementError`, `OSError`.

    In a directory of a user, only files of that user are placed, unless this ``restores`` what was there before.
    """
    for above in _missing(root, path):
        with _parent(root, above) as (folder, name):
            os.mkdir(name, 0o755, dir_fd=folder)
            # In a directory of a user, root's directory would be in the way of that user, and no protection.
            parent = os.fstat(folder)
            made = PathState("directory", 0o755, parent.st_uid, parent.st_gid)
            _own(folder, name, made, _label(root, above, made))
            os.fsync(folder)
    with _parent(root, path) as (folder, name):
        # Checked here again, since the user may have exchanged the directories after `user_above` looked at them.
        owner = os.fstat(folder).st_uid
        if _is_user(owner) and wanted.kind != "nothing" and wanted.uid != owner and not restores:
            raise PlacementError("the directory belongs to another user")
        current = _state(folder, name)
        if wanted.kind == "nothing":
            if current.kind == "directory":
                os.rmdir(name, dir_fd=folder)
            elif current.kind != "nothing":
                os.unlink(name, dir_fd=folder)
        elif wanted.kind == "directory":
            if current.kind not in ("nothing", "directory"):
                os.unlink(name, dir_fd=folder)
            is_new = current.kind != "directory"
            if is_new:
                os.mkdir(name, 0o700, dir_fd=folder)
            _own(folder, name, wanted, _label(root, path, wanted) if is_new else b"")
        else:
            if current.kind == "directory":
                _remove_empty(folder, name)
            _replace(folder, name, wanted, _label(root, path, wanted))
        os.fsync(folder)


def is_empty(root: Path, path: str) -> bool:
    """Return whether the directory ``path`` is empty. Raises `PlacementError`, `OSError`."""
    with _parent(root, f"{path}/.") as (folder, _):
        return not os.listdir(folder)


def user_above(root: Path, path: str) -> int:
    """Return the owner of the first directory above ``path`` that is not root's, 0 if there is none. Raises `OSError`.

    That user can replace everything below it, and fill it with anything.
    """
    folder = os.open(root, _FOLDER)
    try:
        for name in path.strip("/").split("/")[:-1]:
            try:
                below = os.open(name, _FOLDER, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError):
                return 0
            os.close(folder)
            folder = below
            if _is_user(uid := os.fstat(folder).st_uid):
                return uid
        return 0
    finally:
        os.close(folder)


def account_name(root: Path, number: int, database: str = "passwd") -> str:
    """Return the name of the user (``passwd``) or group (``group``) with this number, else the number."""
    with contextlib.suppress(OSError):
        for fields in account_rows((root / "etc" / database).read_bytes()):
            if len(fields) > 2 and fields[2] == str(number):
                return fields[0]
    return str(number)


def account_number(root: Path, database: str, name: str) -> int:
    """Return the number of a user (``passwd``) or group (``group``), without NSS, which may wait for the network.

    Raises `PlacementError`.
    """
    if not name:
        return 0
    if name.isascii() and name.isdecimal():
        return int(name)
    with contextlib.suppress(FileNotFoundError):
        for fields in account_rows((root / "etc" / database).read_bytes()):
            if fields[0] == name and len(fields) > 2 and fields[2].isdecimal():
                return int(fields[2])
    raise PlacementError(f"there is no {'user' if database == 'passwd' else 'group'} {name}")


def home_of(root: Path, user: str) -> str:
    """Return the home directory of ``user``, ``""`` if there is no such user."""
    with contextlib.suppress(FileNotFoundError):
        for fields in account_rows((root / "etc/passwd").read_bytes()):
            if fields[0] == user and len(fields) > 5:
                return fields[5]
    return ""


def serves_user(current: PathState, ours: PathState) -> bool:
    """Return whether a directory of a home, which was made as ``ours``, still serves its user, who may change it.

    sshd(8) takes no key from below a directory of somebody else, or one that others can write to (StrictModes).
    """
    own = current.kind == "directory" and current.uid == ours.uid
    return own and current.mode & 0o500 == 0o500 and not current.mode & 0o022


def _missing(root: Path, path: str) -> list[str]:
    """Return the missing directories above ``path``, the topmost first."""
    folder = os.open(root, _FOLDER)
    names = path.strip("/").split("/")[:-1]
    try:
        for depth, name in enumerate(names):
            try:
                below = _enter(folder, name, "/" + "/".join(names[: depth + 1]))
            except FileNotFoundError:
                return ["/" + "/".join(names[: at + 1]) for at in range(depth, len(names))]
            os.close(folder)
            folder = below
    finally:
        os.close(folder)
    return []


@contextlib.contextmanager
def _parent(root: Path, path: str) -> Iterator[tuple[int, str]]:
    """Open the directory of ``path``; yield its descriptor and the last name."""
    *names, last = path.strip("/").split("/")
    folder = os.open(root, _FOLDER)
    try:
        for depth, name in enumerate(names):
            below = _enter(folder, name, "/" + "/".join(names[: depth + 1]))
            os.close(folder)
            folder = below
        yield folder, last
    finally:
        os.close(folder)


def _is_user(uid: int) -> bool:
    """Return whether a directory of ``uid`` is one that somebody else than we can change."""
    return uid not in (0, os.geteuid())


def _enter(folder: int, name: str, path: str) -> int:
    try:
        below = os.open(name, _FOLDER, dir_fd=folder)
        above_uid, uid = os.fstat(folder).st_uid, os.fstat(below).st_uid
        if not _is_user(above_uid) or uid == above_uid:
            return below
        os.close(below)
        raise PlacementError(f"{path} and the directory above it belong to different users")
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            target = os.readlink(name, dir_fd=folder)
            raise Obstructed(
                f"{path} is a link to {target}, and links are not followed; use the path of the target"
            ) from None
        raise Obstructed(f"{path} is not a directory") from None


def _state(folder: int, name: str) -> PathState:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return PathState("nothing")
    mode, uid, gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    if stat.S_ISDIR(status.st_mode):
        return PathState("directory", mode, uid, gid)
    if stat.S_ISLNK(status.st_mode):
        return PathState.of("link", os.fsencode(os.readlink(name, dir_fd=folder)), mode=0o777, uid=uid, gid=gid)
    if not stat.S_ISREG(status.st_mode):
        return PathState("other", mode, uid, gid)
    if status.st_size > SIZE_MAX:
        raise PlacementError(f"the file at this path has {status.st_size:,} bytes, and {SIZE_MAX:,} can be kept")
    return PathState.of("file", _content(folder, name), mode=mode, uid=uid, gid=gid)


def _content(folder: int, name: str) -> bytes:
    """Return the content of a file; a directory that a user puts there meanwhile is an OSError."""
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:  # fdopen refuses a directory, and leaves it open
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(SIZE_MAX)
    finally:
        os.close(descriptor)


def _remove_empty(folder: int, name: str) -> None:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise PlacementError("a directory with files of others is at this path; move it away") from None


def _label(root: Path, path: str, wanted: PathState) -> bytes:
    kind = {"directory": stat.S_IFDIR, "link": stat.S_IFLNK}.get(wanted.kind, stat.S_IFREG)
    try:
        return selinux_label.label_of(root, path, kind | wanted.mode)
    except selinux_label.PolicyError as error:
        raise PlacementError(str(error)) from None


def _replace(folder: int, name: str, wanted: PathState, label: bytes) -> None:
    """Replace a file or link atomically. It is made under a hidden name, which a killed run may have left behind."""
    beside = f".ordain-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=folder)
    try:
        if wanted.kind == "link":
            os.symlink(wanted.data, beside, dir_fd=folder)
            os.chown(beside, wanted.uid, wanted.gid, dir_fd=folder, follow_symlinks=False)
            selinux_label.set_label(f"/proc/self/fd/{folder}/{beside}", label, is_link=True)
        else:
            with os.fdopen(os.open(beside, _NEW, 0o600, dir_fd=folder), "wb") as file:
                file.write(wanted.data)
                file.flush()
                os.fchown(file.fileno(), wanted.uid, wanted.gid)
                os.fchmod(file.fileno(), wanted.mode)
                selinux_label.set_label(file.fileno(), label)
                os.fsync(file.fileno())
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):  # frees the space on a full disk
            os.unlink(beside, dir_fd=folder)
        raise


def _own(folder: int, name: str, wanted: PathState, label: bytes) -> None:
    fd = os.open(name, _FOLDER, dir_fd=folder)
    try:
        os.fchown(fd, wanted.uid, wanted.gid)
        os.fchmod(fd, wanted.mode)
        selinux_label.set_label(fd, label)
    finally:
        os.close(fd)
