"""history, diff: the generations of this machine, read from the store without the agent."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from ordain.agent.cli.apply import RESULTS
from ordain.agent.cli.ask_agent import ask
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.subcommand import Exit
from ordain.agent.errors import DamagedGeneration, Failure
from ordain.agent.local_time import local_time
from ordain.agent.model import Change, FileChange, Generation, Outcome, to_json
from ordain.agent.plan.describe import describe_change
from ordain.agent.plan.diff import diff as differences
from ordain.agent.plan.diff import same_generation
from ordain.agent.plan.file_changes import changed_files
from ordain.agent.plan.file_contents import shown_changes
from ordain.agent.plan.setting_changes import setting_changes
from ordain.agent.state.boot_record import boot_id, placed_hash
from ordain.agent.state.store import Store


def history(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl history`."""
    store = Store(request.root)
    kept = store.history()
    current = store.applied().number  # as in the status: the two must not disagree
    outcomes = {saved.number: store.outcome(saved.number) for saved in kept}
    if request.json:
        console.json(
            [{**to_json(s), "in_force": s.number == current, "outcome": to_json(outcomes[s.number])} for s in kept]
        )
        return Exit.OK
    rows: list[tuple[Cell, ...]] = []
    for saved in kept:
        in_use = saved.number == current
        note: Cell = (saved.damaged, Style.BAD) if saved.damaged else ("in force", Style.GOOD) if in_use else ""
        rows.append(
            (str(saved.number), local_time(saved.saved), saved.hash[:12], _summary(outcomes[saved.number]), note)
        )
    console.table(("NUMBER", "SAVED", "HASH", "APPLY", "NOTE"), rows)
    if not rows:
        console.line("no generation has been applied yet", Style.DIM)
    return Exit.OK


def _summary(outcome: Outcome | None) -> str:
    """Return an apply in a few words: the number of jobs of each kind, and the result if it is not good."""
    if outcome is None:
        return ""
    verbs = [str(job.verb) for job in (*outcome.plan.stops, *outcome.plan.jobs)]
    counted = [f"{verbs.count(verb)} {verb}" for verb in dict.fromkeys(verbs)] or ["no jobs"]
    fault = [RESULTS[Exit(outcome.exit_status)]] if outcome.exit_status else []
    return ", ".join([*counted, *fault])


def diff(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl diff`."""
    changes, differ = _changes(request)
    if request.json:
        console.json(to_json(changes))
    else:
        for unit, of_unit in groupby(changes, key=lambda change: change.unit):
            console.line(unit, Style.STRONG)
            for change in of_unit:
                console.line(f"  {describe_change(change)}")
        if differ and not changes:
            console.line("no document has changed; `ordainctl plan` shows the jobs", Style.DIM)
    return Exit.CHANGES if differ and request.exit_code else Exit.OK


def _changes(request: Namespace) -> tuple[tuple[Change, ...], bool]:
    """Return the changes, and whether there is a difference: of the plan, if no number is given."""
    if request.n is None:
        planned = ask(request.root, lambda client: client.plan())
        return all_changes(planned.changes, planned.files, planned.settings), bool(planned)
    old = numbered(request.root, request.n)
    new = in_force(request.root) if request.m is None else numbered(request.root, request.m)
    changes, files = differences(old, new), () if same_generation(old, new) else changed_files(old, new)
    shown = all_changes(changes, files, setting_changes(old, new, changes, files))
    return shown, bool(shown)


def all_changes(
    changes: Iterable[Change], files: Iterable[FileChange], settings: Iterable[Change]
) -> tuple[Change, ...]:
    """Return the changes of units, those of files, and those of other values of the documents."""
    return (*changes, *(change for file in files for change in shown_changes(file)), *settings)


def in_force(root: Path) -> Generation:
    """Return the generation of this boot, or the proven one if the generator has not run yet. Raises `Failure`."""
    store = Store(root)
    placed = placed_hash(root)
    try:
        generation = store.trial(boot_id(root)) or store.proven()
        if placed and (generation is None or generation.hash != placed):
            generation = store.load_hash(placed)  # after boots that did not complete, an older one
    except KeyError as error:
        missing = f"the generation in force ({placed[:12]}) is missing in /var/lib/ordain/generations"
        raise Failure(f"{missing}; run `ordainctl apply`") from error
    except DamagedGeneration as damage:
        raise Failure(f"{damage}; run `ordainctl doctor`") from damage
    if generation is None:
        raise Failure("no generation has been applied on this machine yet; `ordainctl plan` shows the first one")
    return generation


def numbered(root: Path, text: str) -> Generation:
    """Return the generation with the number ``text``. Raises `Usage` or `Failure`."""
    if not (text.isascii() and text.isdigit()):
        raise Usage(f"{text!r} is not the number of a generation (`ordainctl history` lists them)")
    try:
        return Store(root).load(int(text))
    except KeyError as error:
        raise Failure(f"there is no generation {text}; `ordainctl history` lists them") from error
    except DamagedGeneration as damage:
        raise Failure(str(damage)) from damage
