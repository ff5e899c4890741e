"""The room that an apply needs to keep the previous state of files, looked for before anything is done.

Without their previous state no file is placed (`generator.files`), so the apply would fail half-way, and be rejected
for a reason that is not in the documents.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ordain.agent.errors import Failure, Unavailable
from ordain.agent.system.atomic_files import REMEDIES
from ordain.generator.safe_tree import SIZE_MAX

STATE = "var/lib/ordain"
SPARE_BYTES = 64 << 10
"""The room for the record, in addition to the previous content of the files."""
_FOR_THIS_BOOT = "/run/"
"""Files there are recorded in /run as well."""


class NoRoom(Unavailable):
    """The previous state of files cannot be kept now; nothing was changed."""

    name = Failure.name  # the agent answers, so nobody should look for another way to it


def require_room(root: Path, paths: Iterable[str]) -> None:
    """Raise `NoRoom` if the previous state of the files ``paths`` cannot be kept below ``root``."""
    lasting = [path for path in paths if not path.startswith(_FOR_THIS_BOOT)]
    if not lasting:
        return
    folder = next(folder for folder in (root / STATE, *(root / STATE).parents) if folder.is_dir())
    system = os.statvfs(folder)
    needed = SPARE_BYTES + sum(_size(root / path.lstrip("/")) for path in lasting)
    reason = errno.EROFS if system.f_flag & os.ST_RDONLY else 0
    if not reason and system.f_bfree * system.f_frsize < needed:
        reason = errno.ENOSPC
    if reason:
        what = f"nothing was changed: the previous state of {lasting[0]} cannot be kept in /{STATE}"
        more = f" (and of {len(lasting) - 1} more)" * (len(lasting) > 1)
        raise NoRoom(f"{what}{more}: {os.strerror(reason)}; {REMEDIES[reason]}")


def _size(path: Path) -> int:
    """Return the size of a file whose content is kept; a file of a user, or one that is too large, delays no apply."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_uid == 0 and status.st_size <= SIZE_MAX:
            return status.st_size
    return 0
