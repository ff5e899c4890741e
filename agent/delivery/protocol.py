"""The interface of all sources of documents: `Source`, the `Snapshot` it returns, and the faults it can have.

Every error of a source is a `SourceError` whose ``code`` is a `SourceFault`. No such error stops a service.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ordain.agent.errors import OrdainError
from ordain.agent.model import RawDocuments


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All documents as of one moment: pairs of a path, which problems show, and bytes, sorted by path.

    ``revision`` identifies that moment; only the source can interpret it.
    ``own`` is true for documents of the machine itself: from a directory on it, or from its boot.
    ``removals_intended`` is true where the limit on removals does not apply: a signed release says so, or the previous
    documents were only a substitute for these.
    ``health`` is given by a source that can fail while its last documents are still known; None: the documents were
    read just now. ``waiting`` is the reason why the machine does not get a newer release yet, "" if there is none.
    """

    texts: RawDocuments
    revision: str = ""
    own: bool = False
    removals_intended: bool = False
    health: SourceHealth | None = None
    waiting: str = ""


def content_revision(texts: RawDocuments) -> str:
    """Return a revision that is the same for the same paths and bytes, for sources without one of their own."""
    digest = hashlib.sha256()
    for path, data in texts:
        digest.update(f"{path}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """The state of a connection to a source.

    While it is not ``connected``, ``code`` is a `SourceFault`, and ``what`` and ``hint`` describe the fault and the
    remedy. While it is, ``code`` is ``""``, `SourceFault.SERVER` if only some of its servers answer, or
    `SourceFault.SERVER_REFUSES` if the server has documents that it does not serve. ``since`` is the start of this
    state in seconds of CLOCK_BOOTTIME, which setting the clock does not move.
    """

    connected: bool
    code: str = ""
    what: str = ""
    hint: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseReference:
    """The identity of a release: its channel, its number and the hash of its manifest; number 0: no release.

    ``expires`` is that of the manifest, in ISO 8601.
    """

    channel: str = ""
    number: int = 0
    hash: str = ""
    expires: str = ""

    @property
    def title(self) -> str:
        """Return ``stable 42``, or "" if there is no release."""
        return f"{self.channel} {self.number}" if self.number else ""


class SourceFault(StrEnum):
    """The reason why documents cannot be fetched; the value is the code of the condition in the status."""

    UNREADABLE = "SourceUnreadable"
    """A directory or file cannot be read, or changes all the time."""
    NOT_ANSWERING = "MountNotAnswering"
    """The mount of a directory or file does not answer in time."""
    UNREACHABLE = "SourceUnreachable"
    """The server cannot be connected to, does not answer in time, or answers with a server error (5xx)."""
    SERVER = "SourceServerFailed"
    """One of several servers fails, and another one answers."""
    SERVER_REFUSES = "ServerRefuses"
    """The boot server refuses newer documents, and serves the last valid ones."""
    THROTTLED = "Throttled"
    TLS = "TlsFailed"
    """The server's certificate is not valid, or the server rejected ours."""
    REDIRECTED = "Redirected"
    """Redirects are never followed: the documents of a machine come from the server that its administrator named."""
    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    CREDENTIAL = "CredentialMissing"
    EMPTY = "SourceEmpty"
    SHRUNKEN = "SourceShrunken"
    REWOUND = "SourceRewound"
    CONFLICT = "SourceConflict"
    NOT_DOCUMENTS = "NotDocuments"
    TOO_LARGE = "TooLarge"
    FULL = "StoreFull"
    """The store accepts no writes; reads still work."""
    TRUNCATED = "Truncated"
    WRONG_MACHINE = "WrongMachine"
    HANDOVER = "BadHandover"
    """The handover file is not one that ordain-source.service writes."""
    STARTING = "SourceStarting"
    """ordain-source.service has not handed over any documents yet."""
    SETTINGS = "Settings"
    INTERNAL = "Internal"
    """Ordain itself has a bug."""
    UNSIGNED = "Unsigned"
    RELEASE_INCOMPLETE = "ReleaseIncomplete"
    VERIFY_FAILED = "VerifyFailed"
    RELEASE_REPLAYED = "ReleaseReplayed"
    SCHEMA_TOO_NEW = "SchemaTooNew"


REFUSED_DOCUMENTS = frozenset(
    {
        SourceFault.UNSIGNED,
        SourceFault.VERIFY_FAILED,
        SourceFault.RELEASE_REPLAYED,
        SourceFault.SCHEMA_TOO_NEW,
        SourceFault.WRONG_MACHINE,
        SourceFault.SERVER_REFUSES,
    }
)
"""The source has answered, and this machine or the boot server refuses documents: others stay in force."""
DEFAULT_HINTS = {
    SourceFault.UNREACHABLE: "check the address, the server and the network",
    SourceFault.TLS: "check the certificates of both sides, and the clocks",
}
"""The remedies of errors that have none of their own."""


class SourceError(OrdainError):
    """A failure to fetch documents; the documents that were fetched last stay in force.

    ``retry_after_sec`` is the time that the source asked to be left alone for, 0 if it did not ask.
    """

    def __init__(
        self, message: str, *, code: SourceFault = SourceFault.UNREADABLE, hint: str = "", retry_after_sec: float = 0.0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint or DEFAULT_HINTS.get(code, "")
        self.retry_after_sec = retry_after_sec


class StoreAway(SourceError):
    """A relay answers, and its store does not: documents can be read, and slots of rollouts cannot be taken."""


def ignore() -> None:
    """Do nothing: the default of a callback."""


class Source(Protocol):
    """A place that documents are read from."""

    type: str
    location: str

    async def read(self) -> Snapshot:
        """Return the documents as they are now. Raises `SourceError`."""

    def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        """Yield whenever the documents may have changed, without end; a burst of changes yields once.

        A source that waits for the end of a burst calls ``begun`` at its first change.
        """
