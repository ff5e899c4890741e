"""A remote source as the agent sees it: the file that ordain-source.service writes, which is not trusted further."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault, ignore
from ordain.agent.delivery.source import handover_file
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.source_settings import SourceSettings

UNIT = "ordain-source.service"
USER = "ordain-source"
FOLDER = "run/ordain-source"
NAME = "handover"


class HandoverSource:
    """A remote source, by the handover file below ``root``."""

    def __init__(self, root: Path, settings: SourceSettings) -> None:
        self.type = str(settings.type)
        self.location = settings.location
        self._folder = root / FOLDER
        self._settings = settings

    async def read(self) -> Snapshot:
        """Return the documents that were fetched last, with the health of the source.

        Raises `SourceError` if none have been fetched yet.
        """
        handover = read_handover(self._folder / NAME)
        if handover.location != self.location:
            message = "the documents of this source have not been fetched yet"
            raise SourceError(message, code=SourceFault.STARTING, hint=f"systemctl status {UNIT}")
        health = handover.health
        if not handover.snapshot.texts and health is not None and not health.connected:
            code = SourceFault(health.code or SourceFault.UNREACHABLE)
            raise SourceError(health.what, code=code, hint=health.hint)
        return replace(handover.snapshot, health=health)

    def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        """See `Source.changes`; yields whenever the file is written: it is replaced as a whole, so nothing follows."""
        return DirectorySource(self._folder, quiet_sec=0.0).changes(begun)


def read_handover(path: Path) -> handover_file.Handover:
    """Return the content of the file at ``path``. Raises `SourceError` if it was not written by `USER`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        message, hint = f"{UNIT} has not handed over any documents yet", f"systemctl status {UNIT}"
        raise SourceError(message, code=SourceFault.STARTING, hint=hint) from None
    except OSError as error:
        message = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise SourceError(f"{path}: {message}", code=SourceFault.HANDOVER) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path}: not a regular file", code=SourceFault.HANDOVER)
        if status.st_uid != _owner():
            raise SourceError(f"{path}: not written by {UNIT}", code=SourceFault.HANDOVER)
        if status.st_size > handover_file.MAX_BYTES:
            raise SourceError(f"{path}: {status.st_size:,} bytes are too many", code=SourceFault.TOO_LARGE)
        # The service replaces the file and never lets it grow. The agent does not wait for one that does.
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(status.st_size)
    finally:
        os.close(descriptor)
    return handover_file.decode(data)


def _owner() -> int:
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        message = f"there is no user {USER}"
        raise SourceError(message, code=SourceFault.HANDOVER, hint="run systemd-sysusers") from None
