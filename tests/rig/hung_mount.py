"""A mount that never answers, as one of a dying disk or of a server that is away: a FUSE whose server reads nothing."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str:
    """Return the reason why there can be no such mount here, or ""."""
    return "" if os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK) else "needs root and /dev/fuse"


@contextmanager
def hung_mount(where: Path) -> Iterator[None]:
    """Mount at ``where``. Afterwards all calls that wait for it fail."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    if _libc.mount(b"hung", os.fsencode(where), b"fuse.hung", 0, options.encode()):
        number = ctypes.get_errno()
        os.close(device)
        raise OSError(number, os.strerror(number), str(where))
    try:
        yield
    finally:
        os.close(device)  # which aborts the connection
        _libc.umount2(os.fsencode(where), MNT_DETACH)
