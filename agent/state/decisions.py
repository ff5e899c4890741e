"""Decisions that survive an apply and a reboot: a rejected generation, a pinned generation, and a pause.

They are in root/var/lib/ordain/decided.json, or in root/run/ordain/decided.json if /var is not writable.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from ordain.agent.instruction import Expiry, Instruction
from ordain.agent.json_codec import from_json
from ordain.agent.model import ChangeCause, Generation, to_json
from ordain.agent.system import atomic_files

NOBODY = Instruction()
"""The instruction of which nothing is known."""
PATHS = ("var/lib/ordain/decided.json", "run/ordain/decided.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedGeneration:
    """A generation that was rolled back, and why; ``complete``: the rollback restored everything.

    ``cause`` is what had led to it: an administrator may have chosen it, and not the documents.
    """

    number: int
    hash: str
    why: str
    complete: bool = True
    cause: ChangeCause = ChangeCause.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin(Instruction):
    """A generation that an administrator chose; it stays while the source is at ``revision`` (``""``: unknown yet)."""

    number: int
    hash: str
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionState:
    """All decisions; ``pause`` tells who paused the agent and why, unless an earlier version did.

    ``pin_changes`` and ``pause_changes`` count how often the pin and the pause were changed apart from an apply: by
    `ordainctl pause`, `ordainctl follow` or the end of a pause. An apply restores only what nobody has changed since.
    """

    rejected: RejectedGeneration | None = None
    pin: Pin | None = None
    paused: bool = False
    pause: Instruction = field(default_factory=Instruction)
    pin_changes: int = 0
    pause_changes: int = 0


class Decisions:
    """The decisions of the machine below ``root``, written at every change.

    They are read again before each change: without an agent, another process may have changed them meanwhile.
    """

    def __init__(self, root: Path) -> None:
        self._paths = [root / path for path in PATHS]
        self._now = self._read() or DecisionState()

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
        self._write(replace(self._latest(), rejected=rejected))

    def set_pin(self, pin: Pin | None) -> None:
        """Pin a generation; None removes the pin."""
        self._write(replace(self._latest(), pin=pin))

    def after_apply(
        self, applied: Generation, revision: str | None, *, pause: bool, asked: Instruction = NOBODY
    ) -> DecisionState:
        """Return the decisions that are in force once ``applied`` is; ``asked`` has who asked for the apply, and why.

        With a ``revision``, the generation is pinned while the source is at that revision. With ``pause``, the agent
        does not follow the source either, whatever end an earlier pause had.
        """
        pin = None
        if revision is not None:
            pin = Pin(
                number=applied.number,
                hash=applied.hash,
                revision=revision,
                since=asked.since,
                by=asked.by,
                why=asked.why,
            )
        decided = replace(self._now, pin=pin)
        return replace(decided, paused=True, pause=asked) if pause else decided

    def restore(self, decided: DecisionState) -> None:
        """Take the pin and the pause from ``decided``; the rejected generation does not change.

        Each of them stays as it is if it was changed since ``decided`` was read, other than by the apply that restores
        it: an administrator's `pause` and `follow` hold whatever becomes of the apply that they were given in.
        """
        now = self._latest()
        restored = now
        if decided.pin_changes == now.pin_changes:
            restored = replace(restored, pin=decided.pin)
        if decided.pause_changes == now.pause_changes:
            restored = replace(restored, paused=decided.paused, pause=decided.pause)
        self._write(restored)

    def pause(self, instruction: Instruction = NOBODY) -> None:
        """Stop following the source until `follow`, or until the end of the instruction (`end_pause`)."""
        self._write(_with_pause(self._latest(), paused=True, pause=instruction))

    def recount_pause(self, end: Expiry) -> None:
        """Write down the end of the pause as it is counted now, see `instruction.recount`."""
        now = self._latest()
        self._write(replace(now, pause=replace(now.pause, end=end)))

    def end_pause(self) -> None:
        """End a pause; a pin stays."""
        self._write(_with_pause(self._latest(), paused=False, pause=NOBODY))

    def follow(self) -> None:
        """Follow the source again: end a pause and a pin."""
        now = _with_pause(self._latest(), paused=False, pause=NOBODY)
        self._write(replace(now, pin=None, pin_changes=now.pin_changes + 1))

    def _latest(self) -> DecisionState:
        """Return the decisions on disk, or those that are known if no file can be read."""
        return self._read() or self._now

    def _read(self) -> DecisionState | None:
        for path in reversed(self._paths):
            try:
                return from_json(DecisionState, json.loads(atomic_files.read(path)))
            except (OSError, ValueError, TypeError, AttributeError, KeyError):
                continue
        return None

    def _write(self, decided: DecisionState) -> None:
        if decided == self._latest():
            self._now = decided
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


def _with_pause(decided: DecisionState, *, paused: bool, pause: Instruction) -> DecisionState:
    """Return ``decided`` with another pause, which was not given by an apply."""
    return replace(decided, paused=paused, pause=pause, pause_changes=decided.pause_changes + 1)
