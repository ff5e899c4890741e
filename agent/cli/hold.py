"""hold and unhold: an admin's lasting word on one unit."""

from __future__ import annotations

from argparse import Namespace

from ordain.agent.cli.apply import ask, report
from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Console
from ordain.agent.cli.status import unit_name
from ordain.agent.model import to_json


def hold(request: Namespace, console: Console) -> Exit:
    """`ordainctl hold`."""
    unit = unit_name(request.unit)
    found = ask(request.root, lambda client: client.hold(unit, unmask=request.unmask))
    if request.json:
        console.json({"unit": unit, **to_json(found)})
    else:
        how = "stopped, also after a reboot" if found.stopped else "as it runs"
        console.line(
            f"{unit}: held{' without its mask' * found.unmask}, {how}; `ordainctl unhold {unit}` gives it back"
        )
    return Exit.OK


def unhold(request: Namespace, console: Console) -> Exit:
    """`ordainctl unhold`."""
    unit = unit_name(request.unit)
    with console.progress("applying"):
        outcome = ask(request.root, lambda client: client.unhold(unit))
    if request.json:
        console.json(to_json(outcome))
    elif outcome is None:
        console.line(f"{unit}: held no longer; it is as the documents want it")
    else:
        report(outcome, console)
    return Exit(outcome.exit_status) if outcome else Exit.OK
