"""hold, unhold, pause, resume, follow: what an administrator tells this machine to leave alone, or to take up again."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.json_shapes import JsonHeldUnit
from ordain.agent.cli.machine.apply import reason, report
from ordain.agent.cli.machine.ask_agent import ask
from ordain.agent.cli.machine.status import unit_name
from ordain.agent.cli.moments import spoken_span, terms_of
from ordain.agent.daemon.clients.client import Client
from ordain.agent.instruction import Instruction
from ordain.agent.local_time import local_time
from ordain.agent.model import NoteReason, to_json
from ordain.agent.status import Status


def follow(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl follow`."""
    if request.unit:
        return max((_follow_unit(unit_name(word), request, console) for word in request.unit), default=Exit.OK)
    now = ask(request.root, _follow)
    if request.json:
        console.json(to_json(now))
        return Exit.OK
    console.line("following the source")
    for held in (unit.unit for unit in now.units if unit.why == NoteReason.HELD):
        console.note(f"{held} is still held; `ordainctl follow {held}` ends that", Style.WARN)
    for trial in (condition for condition in now.conditions if condition.code == "Trial"):
        console.note(f"{trial.what}; {trial.hint}", Style.WARN)
    return Exit.OK


async def _follow(client: Client) -> Status:
    await client.follow()
    return await client.status()


def _follow_unit(unit: str, request: Namespace, console: Console) -> Exit:
    """Bring one unit to the state in the documents."""
    with console.progress("applying"):
        outcome = ask(request.root, lambda client: client.follow_unit(unit))
    if outcome is not None:
        return report(outcome, request, console)
    if request.json:
        console.json(None)
        return Exit.OK
    now = next((known for known in ask(request.root, lambda client: client.status()).units if known.unit == unit), None)
    if now is None or now.ok:
        console.line(f"{unit}: already in the state that the documents want")
        return Exit.OK
    console.line(f"{unit}: {now.what or now.active_state}; the documents want {now.wanted}", Style.WARN)
    return Exit.DEGRADED


def hold(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl hold`."""
    unit = unit_name(request.unit)
    terms = terms_of(request, reason(request, console), datetime.now().astimezone())
    held = ask(request.root, lambda client: client.hold(unit, unmask=request.unmask, terms=terms))
    if request.json:
        console.json({**to_json(held), **JsonHeldUnit(unit=unit)})
    else:
        state = "it stays stopped, also after a reboot" if held.stopped else "it stays as it runs"
        unmasked = " and unmasked" if held.unmask else ""
        end = f"It ends by itself {local_time(held.until)}, and" if held.end else "Only"
        console.line(f"{unit}: held{unmasked}; {state}. {end} `ordainctl follow {unit}` ends the hold.")
        _note_clock(held, console)
    return Exit.OK


def _note_clock(given: Instruction, console: Console) -> None:
    """Say how an end is counted on a machine whose clock nobody checks."""
    if given.end and not given.end.synchronized:
        console.note(
            f"the clock of this machine is not synchronized: the end comes when the machine has run for "
            f"{spoken_span(given.end.left_sec)}, whatever time it is then",
            Style.WARN,
        )


def unhold(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl unhold`."""
    unit = unit_name(request.unit)
    with console.progress("applying") as say:
        outcome = ask(request.root, lambda client: client.unhold(unit), waits=say)
    if outcome is not None:
        return report(outcome, request, console)
    if request.json:
        console.json(None)
    else:
        console.line(f"{unit}: no longer held; it is already in the state that the documents want")
    return Exit.OK


def pause(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl pause`."""
    terms = terms_of(request, reason(request, console), datetime.now().astimezone())
    paused = ask(request.root, lambda client: client.pause(terms))
    if request.json:
        console.json(to_json(paused))
        return Exit.OK
    end = f" or {local_time(paused.until)}" if paused.end else ""
    console.line(f"paused: changes of the documents are not applied until `ordainctl follow`{end}")
    _note_clock(paused, console)
    return Exit.OK


def resume(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl resume`, the older name of `ordainctl follow`."""
    return follow(Namespace(**{**vars(request), "unit": [], "json": False}), console)
