"""Where documents come from: one module per kind of source.

Whatever goes wrong with a source is a `SourceError` whose ``code`` is a `SourceFault`, and stops nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ordain.agent.errors import OrdainError


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All documents of one moment: the path to show in problems, and the bytes, sorted by path.

    ``revision`` names that moment in the source's own words. ``own``: they are this machine's own, from a directory
    of it or its boot. ``meant``: what they take away is meant to go; a signed release says so, or it only stood in.
    ``health`` is of a source that may be lost while its last documents are still at hand; None: it was read just now.
    """

    texts: tuple[tuple[str, bytes], ...]
    revision: str = ""
    own: bool = False
    meant: bool = False
    health: SourceHealth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """How a source does. ``code`` is a `SourceFault`, ``what`` and ``hint`` say more; all are "" while it is connected.

    ``since``: since when it has been so, in seconds of CLOCK_BOOTTIME, which no clock that is set moves.
    """

    connected: bool
    code: str = ""
    what: str = ""
    hint: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseReference:
    """The release that a machine took last; number 0: none."""

    channel: str = ""
    number: int = 0
    hash: str = ""

    @property
    def title(self) -> str:
        """For people: ``stable 42``; "" for none."""
        return f"{self.channel} {self.number}" if self.number else ""


class SourceFault(StrEnum):
    """Why the documents cannot be had: the codes of the conditions that show it."""

    UNREADABLE = "SourceUnreadable"
    """A directory or a file that cannot be read, or is written to all the time."""
    UNREACHABLE = "SourceUnreachable"
    """No connection, no answer in time, or an answer that says "not now" (5xx)."""
    THROTTLED = "Throttled"
    TLS = "TlsFailed"
    """The server's certificate does not hold, or ours was not taken."""
    REDIRECTED = "Redirected"
    """Never followed: the documents of a machine come from where its admin said."""
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
    """Nothing can be written; reading goes on."""
    TRUNCATED = "Truncated"
    WRONG_MACHINE = "WrongMachine"
    HANDOVER = "BadHandover"
    """What ordain-source.service wrote is not what it writes."""
    STARTING = "SourceStarting"
    """ordain-source.service has handed nothing over yet."""
    SETTINGS = "Settings"
    INTERNAL = "Internal"
    """A bug of ours."""
    UNSIGNED = "Unsigned"
    RELEASE_INCOMPLETE = "ReleaseIncomplete"
    VERIFY_FAILED = "VerifyFailed"
    RELEASE_REPLAYED = "ReleaseReplayed"
    SCHEMA_TOO_NEW = "SchemaTooNew"


class SourceError(OrdainError):
    """The documents cannot be had now; what was had last stays.

    ``retry_after_sec``: the source asked not to be asked again before; 0: it said nothing of that.
    """

    def __init__(
        self, what: str, *, code: SourceFault = SourceFault.UNREADABLE, hint: str = "", retry_after_sec: float = 0.0
    ) -> None:
        super().__init__(what)
        self.code = code
        self.hint = hint
        self.retry_after_sec = retry_after_sec


class Source(Protocol):
    """A place that holds documents."""

    type: str
    location: str

    async def read(self) -> Snapshot:
        """The documents as they are now; raises `SourceError`."""

    def changes(self) -> AsyncIterator[None]:
        """Yields whenever the documents may have changed, for ever; bursts come as one."""
