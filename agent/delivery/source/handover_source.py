"""What ordain-source.service handed over, as a source: the agent's side, which trusts that service no further."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault
from ordain.agent.delivery.source import handover_file
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.source_settings import SourceSettings

UNIT = "ordain-source.service"
USER = "ordain-source"
FOLDER = "run/ordain-source"
NAME = "handover"


class HandoverSource:
    """A remote source, by way of the file that `UNIT` writes."""

    def __init__(self, root: Path, settings: SourceSettings) -> None:
        self.type = str(settings.type)
        self.location = settings.location
        self._folder = root / FOLDER
        self._settings = settings

    async def read(self) -> Snapshot:
        """What was fetched last, with the health of the source. Raises `SourceError` if that is nothing."""
        found = read_handover(self._folder / NAME)
        if found.location != self.location:
            raise SourceError("the documents of this source are not here yet", code=SourceFault.STARTING)
        health = found.health
        if not found.snapshot.texts and health is not None and not health.connected:
            raise SourceError(health.what, code=SourceFault(health.code or SourceFault.UNREACHABLE), hint=health.hint)
        return replace(found.snapshot, health=health)

    def changes(self) -> AsyncIterator[None]:
        """See `Source.changes`: whenever something was handed over."""
        return DirectorySource(self._folder).changes()


def read_handover(path: Path) -> handover_file.Handover:
    """The file at ``path``, if it is one of `USER`'s. Raises `SourceError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        hint = f"systemctl status {UNIT}"
        raise SourceError(f"{UNIT} has handed nothing over yet", code=SourceFault.STARTING, hint=hint) from None
    except OSError as error:
        what = "a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise SourceError(f"{path}: {what}", code=SourceFault.HANDOVER) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path}: not a regular file", code=SourceFault.HANDOVER)
        if status.st_uid != _owner():
            raise SourceError(f"{path}: not written by {UNIT}", code=SourceFault.HANDOVER)
        if status.st_size > handover_file.MAX_BYTES:
            raise SourceError(f"{path}: {status.st_size:,} bytes", code=SourceFault.TOO_LARGE)
        # It never grows: it is replaced. A writer that does otherwise is not waited for.
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(status.st_size)
    finally:
        os.close(descriptor)
    return handover_file.decode(data)


def _owner() -> int:
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        raise SourceError(f"there is no user {USER}", code=SourceFault.HANDOVER, hint="systemd-sysusers") from None
