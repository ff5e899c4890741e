"""plan, apply, confirm, rollback, follow, hold, unhold, pause, resume: the commands that change this machine."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from ordain.agent.cli.ask_agent import ask
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.document_files import contents
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.status import unit_name
from ordain.agent.cli.subcommand import Exit
from ordain.agent.daemon.client import Documents
from ordain.agent.errors import Failure
from ordain.agent.model import Outcome, Plan, UnitVerdict, to_json
from ordain.agent.plan.describe import PlanStep, plan_lines
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused

STEP_STYLES: dict[PlanStep | None, Style] = {
    PlanStep.START: Style.GOOD,
    PlanStep.STOP: Style.BAD,
    PlanStep.RESTART: Style.WARN,
    PlanStep.RELOAD: Style.WARN,
    PlanStep.MANAGER: Style.DIM,
}
RESULTS = {
    Exit.OK: "applied",
    Exit.REFUSED: "failed, nothing was changed",
    Exit.DEGRADED: "applied, but something is degraded",
    Exit.ROLLED_BACK: "failed and rolled back",
    Exit.INCOMPLETE: "failed, and the rollback is incomplete",
    Exit.BUSY: "another apply is running",
}


def plan(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl plan`."""
    texts = _documents(request)
    planned = ask(request.root, lambda client: client.plan(texts))
    if request.json:
        console.json(to_json(planned))
    else:
        _print_plan(planned, console)
    return Exit.CHANGES if planned and request.exit_code else Exit.OK


def apply(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl apply`."""
    seconds = _number(request.confirm, "--confirm SECONDS must be a number")
    if request.confirm is not None and not seconds:
        raise Usage("--confirm SECONDS must be at least 1")
    texts = _documents(request)
    if texts is not None and not request.nothing and not any(read(path, data)[0] for path, data in texts):
        _refuse_nothing(request.file, texts)
    with console.progress("applying"):
        outcome = ask(request.root, lambda client: client.apply(texts, once=request.once, confirm_sec=seconds))
    return _report(outcome, request, console)


def confirm(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl confirm`."""
    number = ask(request.root, lambda client: client.confirm())
    console.line(f"generation {number}: confirmed", Style.GOOD)
    return Exit.OK


def rollback(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl rollback`."""
    number = _number(request.n, "N must be the number of a generation (`ordainctl history` lists them)")
    with console.progress("rolling back"):
        outcome = ask(request.root, lambda client: client.rollback(number))
    return _report(outcome, request, console)


def follow(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl follow`."""
    ask(request.root, lambda client: client.follow())
    console.line("following the source")
    return Exit.OK


def hold(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl hold`."""
    unit = unit_name(request.unit)
    held = ask(request.root, lambda client: client.hold(unit, unmask=request.unmask))
    if request.json:
        console.json({"unit": unit, **to_json(held)})
    else:
        state = "it stays stopped, also after a reboot" if held.stopped else "it stays as it runs"
        unmasked = " and unmasked" if held.unmask else ""
        console.line(f"{unit}: held{unmasked}; {state}. `ordainctl unhold {unit}` ends the hold.")
    return Exit.OK


def unhold(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl unhold`."""
    unit = unit_name(request.unit)
    with console.progress("applying"):
        outcome = ask(request.root, lambda client: client.unhold(unit))
    if outcome is not None:
        return _report(outcome, request, console)
    if request.json:
        console.json(None)
    else:
        console.line(f"{unit}: no longer held; it is already in the state that the documents want")
    return Exit.OK


def pause(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl pause`."""
    ask(request.root, lambda client: client.pause())
    console.line("paused: changes of the documents are applied after `ordainctl resume`")
    return Exit.OK


def resume(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl resume`."""
    ask(request.root, lambda client: client.resume())
    console.line("resumed: changes of the documents are applied again")
    return Exit.OK


def _documents(request: Namespace) -> Documents | None:
    """Return the documents on the command line, None for those of the source. Raises `Refused`."""
    if not request.file:
        return None
    documents, problems = contents(request.file)
    if problems:
        raise Refused(problems)
    return documents


def _refuse_nothing(names: Sequence[str], texts: Documents) -> None:
    """Raise `Refused` for the problems of texts without a document, else `Failure`."""
    if problems := [problem for path, data in texts for problem in read(path, data)[1]]:
        raise Refused(problems)
    message = f"{', '.join(names)}: no document in there, so applying it would remove everything"
    raise Failure(f"{message}; to do that, run `ordainctl apply --nothing {' '.join(names)}`")


def _number(word: str | None, error: str) -> int:
    if word is not None and not (word.isascii() and word.isdecimal()):
        raise Usage(f"{error}, not {word!r}")
    return int(word or 0)


def _report(outcome: Outcome, request: Namespace, console: Console) -> Exit:
    """Print the plan that was carried out and its result, and return the exit status."""
    status = Exit(outcome.exit_status)
    if request.json:
        console.json(to_json(outcome))
        return status
    _print_plan(outcome.plan, console)
    _print_verdicts(outcome.verdicts, console)
    if outcome.back is not None:
        console.line(f"generation {outcome.rejected}: {outcome.why}", Style.BAD)
        console.line(f"rolled back to generation {outcome.generation}:", Style.STRONG)
        _print_plan(outcome.back, console)
        _print_verdicts(outcome.back_verdicts, console)
    if not outcome.persistent:
        console.note("this lasts only until the next boot, because /etc is not writable [NotPersistent]", Style.WARN)
    if outcome.plan or status:
        result = f"generation {outcome.generation}: {RESULTS[status]}"
        console.line(result, Style.BAD if status else Style.GOOD)
    if outcome.confirm_by:
        console.note(f"rolls back at {outcome.confirm_by}, unless you run `ordainctl confirm`", Style.WARN)
    return status


def _print_plan(planned: Plan, console: Console) -> None:
    for line in plan_lines(planned):
        style = STEP_STYLES.get(line.step, Style.PLAIN)
        if line.beginning:
            console.table((), [((line.beginning, style), (line.text, style))])
        else:
            console.line(line.text, style)
    console.problems(planned.problems)


def _print_verdicts(verdicts: Sequence[UnitVerdict], console: Console) -> None:
    console.table((), [(v.unit, ("ok", Style.GOOD) if v.ok else ("failed", Style.BAD), v.what) for v in verdicts])
