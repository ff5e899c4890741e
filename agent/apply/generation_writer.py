"""Writes generations to where they outlive this boot, and reports as a condition if that was not possible.

    save           ─▶ /var/lib/ordain/generations   NotInHistory
    commit_proven  ─▶ /etc/ordain/boot              NotPersistent

An apply goes on without them: what cannot be written holds for this boot. The agent tries again later
(`daemon.minders.late_writes`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation, UnitVerdict
from ordain.agent.state.store import NotPersistent, Store

NOT_PERSISTENT = "NotPersistent"
NOT_IN_HISTORY = "NotInHistory"
REMEDY = "make the file system writable or free some space, then run `ordainctl apply`"
LATER = "make the file system writable or free some space; the agent tries again twice a minute"


class GenerationWriter:
    """Writes to ``store``; ``conditions`` are the failures of the last attempt of each kind."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._conditions: dict[str, StatusCondition] = {}
        self._again: dict[str, Callable[[], object]] = {}

    @property
    def conditions(self) -> tuple[StatusCondition, ...]:
        """Return one condition for each kind of write that failed last time."""
        return tuple(self._conditions.values())

    def retry(self) -> None:
        """Try again what could not be written last time."""
        for again in tuple(self._again.values()):
            again()

    def save(self, generation: Generation) -> Generation:
        """Save ``generation`` in the history and return it with its number."""
        numbered, unsaved = self._store.save(generation)
        self._report(NOT_IN_HISTORY, unsaved, partial(self.save, numbered))
        return numbered

    def commit_proven(self, generation: Generation) -> bool:
        """Make later boots start with ``generation``; return False if /etc could not be written."""
        unsaved = self._store.commit_proven(generation)
        self._report(NOT_PERSISTENT, unsaved, partial(self.commit_proven, generation))
        return unsaved is None

    def mark_boot_good(self, hash: str, *, tried: Collection[str]) -> None:
        """Make the generation with which this boot completed the fallback (`Store.mark_boot_good`)."""
        unsaved = self._store.mark_boot_good(hash, tried=tried)
        self._report(NOT_PERSISTENT, unsaved, partial(self.mark_boot_good, hash, tried=tried))

    def not_persistent(self, in_force: Generation, verdicts: Iterable[UnitVerdict] = ()) -> Iterator[StatusCondition]:
        """Yield a condition if later boots do not start with ``in_force``, whichever program could not write it.

        ``verdicts`` are those of the last apply: a generation of which something failed is not written.
        """
        proven = self._store.proven_hash()
        if NOT_PERSISTENT in self._conditions or not in_force.number or proven == in_force.hash:
            return
        number = self._store.known(proven).number if proven else 0
        instead = f"generation {number}" if number else "another generation"
        what = f"generation {in_force.number} is in force for this boot only; later boots start with {instead}"
        failed = [verdict.unit for verdict in verdicts if not verdict.ok]
        if failed:
            more = f" and {len(failed) - 1} more" * (len(failed) > 1)
            what, hint = f"{what}, because {failed[0]}{more} failed", "correct that, then run `ordainctl apply`"
        yield StatusCondition(code=NOT_PERSISTENT, what=what, hint=hint if failed else REMEDY)

    def _report(self, code: str, unsaved: NotPersistent | None, again: Callable[[], object]) -> None:
        self._conditions.pop(code, None)
        self._again.pop(code, None)
        if unsaved:
            self._conditions[code] = StatusCondition(code=code, what=unsaved.what, hint=LATER)
            self._again[code] = again
