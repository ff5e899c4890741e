"""The labels of SELinux for what Ordain places, as restorecon(8) would give them; nothing where no policy is in force.

    root/etc/selinux/config ─▶ file_contexts of that policy ─libselinux▶ the label of a path

A new file gets the label of the directory that it is made in, which is often the wrong one: a program may not read it
then. It has the right label before it gets its name, so that nothing ever sees it with another one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from functools import lru_cache
from pathlib import Path

TYPE_CHECKING = False  # the import of typing would cost every boot 10 ms
if TYPE_CHECKING:
    from typing import Any

IN_FORCE = "sys/fs/selinux/enforce"
"""This file exists if the kernel has loaded a policy, and its file system is mounted."""
_ATTRIBUTE = "security.selinux"
_BY_FILE, _OPT_PATH = 0, 3  # SELABEL_CTX_FILE and SELABEL_OPT_PATH of selinux/label.h


class PolicyError(Exception):
    """SELinux is in force, and its policy does not tell labels; the message is the reason."""


def label_of(root: Path, path: str, mode: int) -> bytes:
    """Return the label for ``path`` with the type of file in ``mode``, b"" without SELinux or if the policy has none.

    Raises `PolicyError`.
    """
    if not (root / IN_FORCE).exists():
        return b""
    contexts = _file_contexts(root)
    library, handle = _opened(str(contexts), contexts.stat().st_mtime_ns)
    import ctypes

    label = ctypes.c_char_p()
    if library.selabel_lookup_raw(handle, ctypes.byref(label), os.fsencode(path), mode):
        reason = ctypes.get_errno()
        if reason == errno.ENOENT:  # the policy says <<none>>, or does not know the path
            return b""
        raise PolicyError(f"{contexts}: no label for {path}: {os.strerror(reason)}; `restorecon -n {path}` says more")
    value = label.value or b""
    library.freecon(label)
    return value


def set_label(where: int | str, label: bytes, *, is_link: bool = False) -> None:
    """Give an open file, or a link by its path, this label, if its file system has labels. Raises `OSError`."""
    if not label:
        return
    try:
        os.setxattr(where, _ATTRIBUTE, label + b"\0", follow_symlinks=not is_link)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTSUP):
            raise


def _file_contexts(root: Path) -> Path:
    """Return the file with the labels of the policy that the machine uses. Raises `PolicyError`."""
    configuration, policy = root / "etc/selinux/config", "targeted"
    with contextlib.suppress(OSError):
        for line in configuration.read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "SELINUXTYPE":
                policy = value.strip()
    contexts = root / "etc/selinux" / policy / "contexts/files/file_contexts"
    if not contexts.is_file():
        raise PolicyError(f"SELinux is in force, and {contexts} is missing; correct SELINUXTYPE in {configuration}")
    return contexts


@lru_cache(maxsize=1)
def _opened(contexts: str, changed_ns: int) -> tuple[Any, int]:
    """Return libselinux and its handle of ``contexts``, as of ``changed_ns``. Raises `PolicyError`."""
    import ctypes

    class Option(ctypes.Structure):
        _fields_ = (("type", ctypes.c_int), ("value", ctypes.c_char_p))

    try:
        library = ctypes.CDLL("libselinux.so.1", use_errno=True)
    except OSError as error:
        raise PolicyError(f"SELinux is in force, and libselinux cannot be loaded: {error}; install it") from None
    library.selabel_open.restype = ctypes.c_void_p
    library.selabel_lookup_raw.argtypes = (
        *(ctypes.c_void_p, ctypes.POINTER(ctypes.c_char_p)),
        *(ctypes.c_char_p, ctypes.c_int),
    )
    options = (Option * 1)(Option(_OPT_PATH, os.fsencode(contexts)))
    handle = library.selabel_open(_BY_FILE, options, 1)
    if not handle:
        reason = os.strerror(ctypes.get_errno())
        raise PolicyError(f"SELinux is in force, and {contexts} cannot be read: {reason}; `semodule -B` makes it again")
    return library, handle
