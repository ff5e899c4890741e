"""hold and unhold: an admin's word on one unit, written down, placed for the next boot, and taken back; effect."""

from __future__ import annotations

from datetime import UTC, datetime

from ordain.agent.apply.engine import Engine
from ordain.agent.errors import DamagedGeneration, Failure
from ordain.agent.model import Generation, Hold, Outcome
from ordain.agent.state.boot_record import boot_id
from ordain.agent.state.holds import as_placed, read_holds, write_holds
from ordain.agent.system.apply_lock import locked
from ordain.transforms.errors import near
from ordain.transforms.model import Wanted

BUSY_SEC = 10.0


async def hold(engine: Engine, unit: str, *, unmask: bool = False) -> Hold:
    """Leave ``unit`` as it is, until `unhold`; with ``unmask``, also without the mask of the documents.

    Raises `Failure` for a unit no document speaks of, and where /etc cannot be written.
    """
    async with locked(engine.root, BUSY_SEC):
        generation = engine.applied()
        known = {member.unit: member for member in generation.members}
        if unit not in known:
            hint = near(unit, known)
            raise Failure(f"the documents do not speak of {unit}" + (f"; {hint}" if hint else ""))
        if unmask and known[unit].wanted is not Wanted.MASKED:
            raise Failure(f"the documents do not mask {unit}; `systemctl unmask` lifts an admin's mask")
        if unmask and known[unit].ours:
            raise Failure(f"{unit} is made from documents, and while they mask it there is nothing to unmask")
        holds = read_holds(engine.root)
        states = await engine.systemd.list_units(_with_starters(generation, unit))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        runs = any(state.running for state in states.values())
        found = Hold(since=now, stopped=not runs, unmask=unmask)
        before = as_placed(engine.root, generation)
        write_holds(engine.root, {**holds, unit: found})
        await _place(engine, before)
        return found


async def unhold(engine: Engine, unit: str) -> Outcome | None:
    """Give ``unit`` back to its documents, and bring it to what they want; None if it is that already."""
    async with locked(engine.root, BUSY_SEC):
        holds = read_holds(engine.root)
        if unit not in holds:
            hint = near(unit, holds)
            raise Failure(f"{unit} is not held" + (f"; {hint}" if hint else ""))
        before = as_placed(engine.root, engine.applied())
        write_holds(engine.root, {name: held for name, held in holds.items() if name != unit})
    released = _with_starters(engine.applied(), unit)
    outcome = await engine.again(released=released)  # a stop has to see the unit before its mask is back
    async with locked(engine.root, BUSY_SEC):
        await _place(engine, before)
    return outcome


def _with_starters(generation: Generation, unit: str) -> frozenset[str]:
    return frozenset({unit, *(member.unit for member in generation.members if member.starts == unit)})


async def _place(engine: Engine, before: Generation) -> None:
    """Where the holds change what is placed, ``before``, have it placed now and at the next boot."""
    generation = engine.applied()
    if as_placed(engine.root, generation) == before:
        return
    engine.store.commit_trial(generation, boot_id(engine.root))
    try:
        proven = engine.store.proven()
    except DamagedGeneration:
        proven = None
    same = proven is not None and proven.hash == generation.hash
    unsaved = engine.store.commit_proven(generation) if same else None
    await engine.systemd.reload()
    if unsaved:
        raise Failure(f"written down, but the next boot does not heed it: {unsaved.what}")
