"""What outlives an apply, and a boot: the generation that failed, the one that is pinned, a pause; effect.

root/var/lib/ordain/decided.json     and root/run/ordain/decided.json where /var cannot be written
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.json_codec import from_json
from ordain.agent.model import Generation, to_json
from ordain.agent.system import atomic_files

PATHS = ("var/lib/ordain/decided.json", "run/ordain/decided.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedGeneration:
    """A generation that was gone back from, and why; ``complete``: whether all is as it was before."""

    number: int
    hash: str
    why: str
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A generation chosen by hand; it stays while the source is at ``revision`` ("": not known yet)."""

    number: int
    hash: str
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionState:
    """All of it."""

    rejected: RejectedGeneration | None = None
    pin: Pin | None = None
    paused: bool = False


class Decisions:
    """The files below ``root``."""

    def __init__(self, root: Path) -> None:
        self._paths = [root / path for path in PATHS]
        self._now = self._read()

    @property
    def now(self) -> DecisionState:
        """All of it."""
        return self._now

    @property
    def rejected(self) -> RejectedGeneration | None:
        """The generation that is not tried again."""
        return self._now.rejected

    @property
    def pin(self) -> Pin | None:
        """The generation that stays."""
        return self._now.pin

    @property
    def paused(self) -> bool:
        """Whether the source is not followed."""
        return self._now.paused

    def reject(self, rejected: RejectedGeneration | None) -> None:
        """Remember a generation that failed; None forgets."""
        self._write(replace(self._now, rejected=rejected))

    def hold(self, pin: Pin | None) -> None:
        """Stay with a generation; None lets go of it."""
        self._write(replace(self._now, pin=pin))

    def after(self, applied: Generation, revision: str | None, *, pause: bool) -> DecisionState:
        """What is decided once ``applied`` is in force: with a ``revision``, it stays while the source is at that.

        With ``pause``, the source is not followed either.
        """
        pin = None if revision is None else Pin(number=applied.number, hash=applied.hash, revision=revision)
        return replace(self._now, pin=pin, paused=pause or self.paused)

    def stand(self, decided: DecisionState) -> None:
        """Follow the source, or not, as ``decided``; what was rejected is another matter."""
        self._write(replace(self._now, pin=decided.pin, paused=decided.paused))

    def pause(self, paused: bool) -> None:
        """Follow the source no more, or again."""
        self._write(replace(self._now, paused=paused))

    def _read(self) -> DecisionState:
        for path in reversed(self._paths):
            try:
                return from_json(DecisionState, json.loads(path.read_bytes()))
            except (OSError, ValueError, TypeError, AttributeError, KeyError):
                continue
        return DecisionState()

    def _write(self, decided: DecisionState) -> None:
        if decided == self._now:
            return
        self._now = decided
        data = json.dumps(to_json(decided), indent=1).encode()
        lasting, passing = self._paths
        try:
            atomic_files.make_folder(lasting.parent)
            atomic_files.replace(lasting, data)
        except OSError:
            atomic_files.make_folder(passing.parent)
            atomic_files.replace(passing, data)
        else:
            passing.unlink(missing_ok=True)
