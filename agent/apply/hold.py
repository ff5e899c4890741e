"""hold and unhold: an administrator keeps Ordain from touching one unit, over reboots too, until the hold ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ordain.agent.apply.change_origin import user_of_process
from ordain.agent.apply.engine import BUSY_SEC, Engine
from ordain.agent.errors import DamagedGeneration, Failure
from ordain.agent.instruction import NO_TERMS, Expiry, Instruction, Terms, instruct
from ordain.agent.model import ChangeCause, Generation, Hold, Outcome
from ordain.agent.state.boot_record import boot_id
from ordain.agent.state.history_events import record_instruction
from ordain.agent.state.holds import read_holds, with_machine_holds, write_held_files, write_holds
from ordain.agent.state.store import Store
from ordain.agent.system.apply_lock import locked
from ordain.agent.system.systemd.clock import read_clock
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.errors import did_you_mean
from ordain.transforms.model import Member, Wanted


class UnitHolds:
    """Holds and releases units of the machine below ``root``."""

    def __init__(self, *, systemd: Systemd, root: Path, store: Store, engine: Engine) -> None:
        self._systemd = systemd
        self._root = root
        self._store = store
        self._engine = engine

    async def hold(self, unit: str, *, unmask: bool = False, terms: Terms = NO_TERMS, caller: int = 0) -> Hold:
        """Leave ``unit`` as it is until `unhold`, or until the end that ``terms`` set, if any.

        With ``unmask``, also lift the mask of the documents. Raises `Failure` for a unit that the documents do not
        name, and if /etc cannot be written.
        """
        clock = await read_clock(self._systemd.bus, boot_id(self._root), terms)
        given = instruct(terms, user_of_process(caller), clock)
        async with locked(self._root, BUSY_SEC):
            generation = self._store.applied()
            member = _require_member(generation, unit)
            if unmask and member.wanted is not Wanted.MASKED:
                raise Failure(f"the documents do not mask {unit}; `systemctl unmask` lifts an administrator's mask")
            if unmask and member.ours:
                raise Failure(f"{unit} is made from documents, which mask it, so there is no other unit to unmask")
            holds = read_holds(self._root)
            states = await self._systemd.list_units(_with_starters(generation, unit))
            runs = any(state.running for state in states.values())
            held = Hold(since=given.since, by=given.by, why=given.why, end=given.end, stopped=not runs, unmask=unmask)
            before = with_machine_holds(self._root, generation)
            write_holds(self._root, {**holds, unit: held})
            write_held_files(self._root, generation)
            record_instruction(self._root, ChangeCause.HOLD, held, generation.number, subject=unit)
            await self._place(before)
            return held

    async def unhold(self, unit: str, *, caller: int = 0, why: str = "") -> Outcome | None:
        """Release ``unit``, and bring it to the state that the documents want; return None if it has that already.

        ``why`` is the reason for the history.
        """
        async with locked(self._root, BUSY_SEC):
            holds = read_holds(self._root)
            if unit not in holds:
                hint = did_you_mean(unit, holds)
                raise Failure(f"{unit} is not held" + (f"; {hint}" if hint else ""))
            before = with_machine_holds(self._root, self._store.applied())
            write_holds(self._root, {name: held for name, held in holds.items() if name != unit})
            write_held_files(self._root, self._store.applied())
            ended = Instruction(by=user_of_process(caller), why=why)
            number = self._store.applied().number
            record_instruction(self._root, ChangeCause.FOLLOW, ended, number, subject=unit)
        # First the jobs, then the mask: a job that stops the unit must still find it unmasked.
        released = _with_starters(self._store.applied(), unit)
        outcome = await self._engine.reconcile(released=released, caller=caller)
        async with locked(self._root, BUSY_SEC):
            await self._place(before)
        return outcome

    async def follow(self, unit: str, *, caller: int = 0) -> Outcome | None:
        """End a hold of ``unit`` if there is one, and bring it to the state that the documents want.

        So a unit that an administrator started or stopped follows them again. Return None if there is nothing to do.
        """
        if unit in read_holds(self._root):
            return await self.unhold(unit, caller=caller)
        generation = self._store.applied()
        _require_member(generation, unit)
        return await self._engine.reconcile(released=_with_starters(generation, unit), caller=caller)

    async def recount(self, ends: Mapping[str, Expiry]) -> None:
        """Write down the ends of holds as they are counted now, by unit; see `instruction.recount`."""
        async with locked(self._root, BUSY_SEC):
            holds = read_holds(self._root)
            counted = {unit: replace(hold, end=ends.get(unit, hold.end)) for unit, hold in holds.items()}
            if counted != holds:
                write_holds(self._root, counted)

    async def _place(self, before: Generation) -> None:
        """Have the generator place the generation under the new holds, now and at the next boot.

        ``before`` is the generation as it was placed under the old holds; nothing is done if that has not changed.
        """
        generation = self._store.applied()
        if with_machine_holds(self._root, generation) == before:
            return
        self._store.commit_trial(generation, boot_id(self._root))
        try:
            proven = self._store.proven()
        except DamagedGeneration:
            proven = None
        same = proven is not None and proven.hash == generation.hash
        unsaved = self._store.commit_proven(generation) if same else None
        await self._systemd.reload()
        if unsaved:
            raise Failure(f"the hold is saved, but the next boot does not respect it yet: {unsaved.what}")


def _require_member(generation: Generation, unit: str) -> Member:
    """Return the member that configures ``unit``. Raises `Failure` if the documents do not name it."""
    known = {member.unit: member for member in generation.members}
    if unit not in known:
        hint = did_you_mean(unit, known)
        what = f"generation {generation.number}, which is in force, has no unit {unit} of the documents"
        raise Failure(what + (f"; {hint}" if hint else ""))
    return known[unit]


def _with_starters(generation: Generation, unit: str) -> frozenset[str]:
    return frozenset({unit, *(member.unit for member in generation.members if member.starts == unit)})
