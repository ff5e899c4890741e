"""What one asks for by hand, and its opposite: confirm a trial, let it go, go back to an earlier generation; effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ordain.agent.apply.engine import Engine
from ordain.agent.apply.trial import Trial, arm, armed
from ordain.agent.errors import DamagedGeneration, Failure
from ordain.agent.model import Generation, Outcome, Plan
from ordain.agent.plan.outcome import ROLLED_BACK
from ordain.agent.plan.planner import plan
from ordain.agent.state.apply_journal import Entry, Phase
from ordain.agent.state.decisions import Pin
from ordain.agent.status import Condition
from ordain.agent.system.apply_lock import locked

PATIENCE_SEC = 10.0
"""How long one who asks waits for an apply to end."""


async def confirm(engine: Engine) -> Trial:
    """Keep the generation on trial, over boots too. Raises `Failure` if there is none, or it is too late."""
    async with locked(engine.root, PATIENCE_SEC):
        await engine.resume_now()
        trial = engine.trials.confirm()
        _keep(engine, trial)
        return trial


def _keep(engine: Engine, trial: Trial) -> None:
    generation = engine.known(trial.hash)
    engine.prove(generation)
    if not trial.by_itself:  # or all that was decided stands already
        engine.decisions.reject(None)
        engine.decisions.stand(trial.stand)
    engine.trials.clear()


async def expired(engine: Engine) -> Outcome | None:
    """Go back from the trial whose time is over; None if there is none."""
    async with locked(engine.root, PATIENCE_SEC):
        trial = engine.trials.expired()
        return await _undo(engine, trial, f"was not confirmed within {trial.seconds} s") if trial else None


async def _undo(engine: Engine, trial: Trial, why: str) -> Outcome:
    """Go back from a trial, however far its apply came, under the lock."""
    now, was = engine.applied(), engine.journal.unfinished()
    steps = replace(was.plan if was else Plan(), from_hash=trial.back, to_hash=now.hash)
    entry = Entry(
        phase=Phase.BACK,
        number=now.number,
        plan=steps,
        running=trial.running,
        failing=trial.failing,
        decided=engine.decisions.now,
        failed=Outcome(generation=trial.number, hash=trial.hash, plan=steps, why=why),
    )
    engine.journal.begin(entry)
    return await engine.go_back(entry, now)


async def mend(engine: Engine) -> Outcome | None:
    """Bring to its end what an earlier agent, or a dead-man that was killed, left; the outcome if that was to go back.

    A trial that nobody watches any more is watched again, or goes back if its time is over.
    """
    async with locked(engine.root, 60.0):
        if kept := engine.trials.confirmed():
            _keep(engine, kept)
        trial = engine.trials.under_way()
        watched = await armed(engine.systemd)
        if trial and not watched and trial.left_sec > 0:
            await arm(engine.systemd, engine.trials, trial)
        elif trial and not watched:
            engine.trials.expire(trial)
    return None if watched else await expired(engine)


async def rollback(engine: Engine, number: int, revision: str) -> Outcome:
    """Go to generation ``number`` (0: the one before) and stay while the source is at ``revision``.

    On trial, 0 is the one in force before it. Raises `Failure`.
    """
    async with locked(engine.root, PATIENCE_SEC):
        await engine.resume_now()
        trial = engine.trials.under_way()
        if trial and number in (0, engine.known(trial.back).number):
            trial = engine.trials.take_back(trial)
            outcome = await _undo(engine, trial, "was taken back by hand")
            return replace(outcome, exit_status=0) if outcome.exit_status == ROLLED_BACK else outcome
        engine.trials.refuse()
        old = engine.applied()
        new = _numbered(engine, number) if number else _before(engine, old)
        observed = await engine.observe(old, new)
        was = engine.decisions.now
        # Before it is done: an agent that is killed meanwhile resumes it, and must not follow the source then.
        engine.decisions.hold(Pin(number=new.number, hash=new.hash, revision=revision))
        return await engine.change(plan(old, new, observed), old, new, observed, decided=was)


def _numbered(engine: Engine, number: int) -> Generation:
    try:
        return engine.store.load(number)
    except KeyError:
        raise Failure(f"there is no generation {number} (`ordainctl history`)") from None
    except DamagedGeneration as damaged:
        raise Failure(str(damaged)) from None


def _before(engine: Engine, now: Generation) -> Generation:
    """The latest whole generation before ``now`` that is another one, and none that was gone back from."""
    for saved in reversed(engine.store.history()):
        if saved.number < now.number and not saved.damaged and saved.hash != now.hash:
            came = engine.store.outcome(saved.number)
            if came is None or came.rejected != saved.number:
                return engine.store.load(saved.number)
    raise Failure("there is no generation before this one (`ordainctl history`)")


def decided(engine: Engine) -> Iterator[Condition]:
    """What was decided and still holds, for the user to know."""
    if trial := engine.trials.under_way():
        what = f"generation {trial.number} goes back at {trial.by} unless it is confirmed"
        yield Condition(code="Trial", what=what, hint="ordainctl confirm, or ordainctl rollback")
    elif bad := engine.decisions.rejected:
        what = f"generation {bad.number} failed and was gone back from: {bad.why}"
        if bad.complete:
            hint = "change the documents, or `ordainctl apply` to try again"
            yield Condition(code="RolledBack", what=what, hint=hint)
        else:
            yield Condition(
                code="RollbackIncomplete", what=f"{what}; not all is as it was before", hint="see the journal"
            )
    if pin := engine.decisions.pin:
        what = f"generation {pin.number} stays until a document changes"
        yield Condition(code="Pinned", what=what, hint="ordainctl follow")
