"""Decisions that survive an apply and a reboot: a rejected generation, a pinned generation, and a pause.

They are in root/var/lib/ordain/decided.json, or in root/run/ordain/decided.json if /var is not writable.
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
    """A generation that was rolled back, and why; ``complete``: the rollback restored everything."""

    number: int
    hash: str
    why: str
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A generation that an administrator chose; it stays while the source is at ``revision`` (``""``: unknown yet)."""

    number: int
    hash: str
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionState:
    """All decisions."""

    rejected: RejectedGeneration | None = None
    pin: Pin | None = None
    paused: bool = False


class Decisions:
    """The decisions of the machine below ``root``, read once and written at every change."""

    def __init__(self, root: Path) -> None:
        self._paths = [root / path for path in PATHS]
        self._now = self._read()

    @property
    def now(self) -> DecisionState:
        """Return all decisions."""
        return self._now

    @property
    def rejected(self) -> RejectedGeneration | None:
        """Return the generation that is not tried again."""
        return self._now.rejected

    @property
    def pin(self) -> Pin | None:
        """Return the pinned generation."""
        return self._now.pin

    @property
    def paused(self) -> bool:
        """Return whether the agent does not follow the source."""
        return self._now.paused

    def reject(self, rejected: RejectedGeneration | None) -> None:
        """Record a generation that failed; None removes the record."""
        self._write(replace(self._now, rejected=rejected))

    def set_pin(self, pin: Pin | None) -> None:
        """Pin a generation; None removes the pin."""
        self._write(replace(self._now, pin=pin))

    def after_apply(self, applied: Generation, revision: str | None, *, pause: bool) -> DecisionState:
        """Return the decisions that are in force once ``applied`` is.

        With a ``revision``, the generation is pinned while the source is at that revision. With ``pause``, the agent
        does not follow the source either.
        """
        pin = None if revision is None else Pin(number=applied.number, hash=applied.hash, revision=revision)
        return replace(self._now, pin=pin, paused=pause or self.paused)

    def restore(self, decided: DecisionState) -> None:
        """Take the pin and the pause from ``decided``; the rejected generation does not change."""
        self._write(replace(self._now, pin=decided.pin, paused=decided.paused))

    def pause(self) -> None:
        """Stop following the source until `follow`."""
        self._write(replace(self._now, paused=True))

    def follow(self) -> None:
        """Follow the source again: end a pause and a pin."""
        self._write(replace(self._now, pin=None, paused=False))

    def _read(self) -> DecisionState:
        for path in reversed(self._paths):
            try:
                return from_json(DecisionState, json.loads(atomic_files.read(path)))
            except (OSError, ValueError, TypeError, AttributeError, KeyError):
                continue
        return DecisionState()

    def _write(self, decided: DecisionState) -> None:
        if decided == self._now:
            return
        self._now = decided
        data = json.dumps(to_json(decided), indent=1).encode()
        persistent, temporary = self._paths
        try:
            atomic_files.make_folder(persistent.parent)
            atomic_files.replace(persistent, data)
        except OSError:
            atomic_files.make_folder(temporary.parent)
            atomic_files.replace(temporary, data)
        else:
            temporary.unlink(missing_ok=True)
