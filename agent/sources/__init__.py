"""Where documents come from: one module per kind of source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All documents of one moment: the path to show in problems, and the bytes, sorted by path.

    ``revision`` names that moment in the source's own words.
    """

    texts: tuple[tuple[str, bytes], ...]
    revision: str = ""


class SourceError(Exception):
    """The documents cannot be had now; what was had last stays."""


class Source(Protocol):
    """A place that holds documents."""

    type: str
    location: str

    async def read(self) -> Snapshot:
        """The documents as they are now; raises `SourceError`."""

    def changes(self) -> AsyncIterator[None]:
        """Yields whenever the documents may have changed, for ever; bursts come as one."""
