"""plan, apply, confirm, rollback: the commands that bring documents, or an earlier generation, into force."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.documents.document_files import STANDARD_INPUT, contents
from ordain.agent.cli.machine.ask_agent import ask
from ordain.agent.cli.machine.status import condition_text
from ordain.agent.cli.parse import Usage
from ordain.agent.compile.executor import REQUIRE_DOCUMENT, run_inline
from ordain.agent.daemon.clients.client import Documents
from ordain.agent.errors import Denied, Failure
from ordain.agent.model import Outcome, Plan, UnitVerdict, to_json
from ordain.agent.plan.describe import PlanStep, plan_lines
from ordain.agent.state.store import Store
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.errors import Refused

STEP_STYLES: dict[PlanStep | None, Style] = {
    PlanStep.START: Style.GOOD,
    PlanStep.STOP: Style.BAD,
    PlanStep.RESTART: Style.WARN,
    PlanStep.RELOAD: Style.WARN,
    PlanStep.MANAGER: Style.DIM,
}
MAX_REMOVALS = 20
"""The removed entries that are listed one by one."""
_LARGEST = 2**32 - 1
"""The largest number that the agent's method on D-Bus takes."""
RESULTS = {
    Exit.OK: "applied",
    Exit.REFUSED: "failed, nothing was changed",
    Exit.DEGRADED: "applied, but something is degraded",
    Exit.ROLLED_BACK: "failed and rolled back",
    Exit.INCOMPLETE: "failed, and the rollback is incomplete",
    Exit.BUSY: "another apply is running",
}

UNCHANGED = RESULTS | {Exit.DEGRADED: "in force, but something is degraded"}
"""The results of an apply that had nothing to do."""


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
    if texts is not None and not request.nothing:
        run_inline(REQUIRE_DOCUMENT, texts)
        if not request.remove:
            _agree_to_removals(request, texts, console)
    with console.progress("applying") as say:
        outcome = ask(
            request.root,
            lambda client: client.apply(texts, once=request.once, confirm_sec=seconds, nothing=request.nothing),
            waits=say,
        )
    return report(outcome, request, console)


def confirm(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl confirm`."""
    number = ask(request.root, lambda client: client.confirm())
    console.line(f"generation {number}: confirmed", Style.GOOD)
    return Exit.OK


def rollback(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl rollback`."""
    number = _number(request.n, "N must be the number of a generation (`ordainctl history` lists them)")
    if request.n is not None and not 0 < number <= _LARGEST:  # to the agent, 0 is the generation before
        raise Failure(Store(request.root).describe_missing(number))
    why = reason(request, console)
    with console.progress("rolling back") as say:
        outcome = ask(request.root, lambda client: client.rollback(number, why=why), waits=say)
    return report(outcome, request, console)


def reason(request: Namespace, console: Console) -> str:
    """Return the reason on the command line; on a terminal, ask for one that agent.yaml requires."""
    from ordain.agent.settings import read_settings  # with the schema of agent.yaml, which `plan` does not need

    if not request.why and read_settings(request.root)[0].requires_why:
        return console.reply("Reason: ")
    return request.why or ""


def _documents(request: Namespace) -> Documents | None:
    """Return the documents on the command line, None for those of the source. Raises `Refused`."""
    if not request.file:
        return None
    documents, problems = contents(request.file)
    if problems:
        raise Refused(problems)
    return documents


def _agree_to_removals(request: Namespace, texts: Documents, console: Console) -> None:
    """Ask on a terminal if ``texts`` may remove what is in force. Raises `Failure` if they may not, or nobody answers.

    Those who know other tools expect that a file is added to what runs.
    """
    try:
        planned = ask(request.root, lambda client: client.plan(texts))
    except Denied:
        return  # who may not plan may not apply either, and the refusal of the apply names that action
    if not planned.removed:
        return
    names = ", ".join(request.file)
    console.note(f"{names}: these documents replace all others, so the following entries are removed:", Style.WARN)
    for line in removal_lines(planned):
        console.note(f"  {line}")
    if STANDARD_INPUT not in request.file and console.asks("Remove them?"):
        return
    raise Failure(
        f"nothing was changed; to remove them, run `ordainctl apply --remove {' '.join(request.file)}`; to add to what "
        "runs, put the file in the source of this machine (/etc/ordain/documents)"
    )


def removal_lines(planned: Plan) -> Iterator[str]:
    """Yield a line for each entry that a plan removes, with the units that stop for it, and the other stops."""
    started = {job.unit for job in planned.jobs}
    by_entry: dict[str, list[str]] = {}
    for job in planned.stops:
        if job.unit not in started:
            by_entry.setdefault(job.item if job.item in planned.removed else "", []).append(job.unit)
    listed, others = planned.removed[:MAX_REMOVALS], planned.removed[MAX_REMOVALS:]
    for entry in listed:
        yield _with_stops(_readable(entry), by_entry.get(entry, []))
    if others:
        yield _with_stops(f"and {len(others)} more", [unit for entry in others for unit in by_entry.get(entry, [])])
    if also := by_entry.get(""):
        yield _with_stops("together with them", also)


def _with_stops(entry: str, units: Sequence[str]) -> str:
    return f"{entry}: stops {', '.join(units)}" if units else entry


def _readable(pointer: str) -> str:
    """Return a pointer as people write it: ``files /etc/motd`` if a name holds slashes, else as it is."""
    section, _, name = pointer.partition("/")
    return f"{section} {unescape_key(name)}" if "~" in name else pointer


def _number(word: str | None, error: str) -> int:
    if word is not None and not (word.isascii() and word.isdecimal()):
        raise Usage(f"{error}, not {word!r}")
    return int(word or 0)


def report(outcome: Outcome, request: Namespace, console: Console) -> Exit:
    """Print the plan that was carried out and its result, and return the exit status."""
    status = Exit(outcome.exit_status)
    if request.json:
        console.json(to_json(outcome))
        return status
    _print_plan(outcome.plan, console)
    _print_verdicts(outcome.verdicts, console)
    repairs = bool(outcome.plan.to_hash) and outcome.plan.from_hash == outcome.plan.to_hash
    if outcome.back is not None and repairs:
        console.line(f"the repair failed: {outcome.why}; the network is as it was before", Style.BAD)
        _print_verdicts(outcome.back_verdicts, console)
    elif outcome.back is not None:
        console.line(f"generation {outcome.rejected}: {outcome.why}", Style.BAD)
        console.line(f"rolled back to generation {outcome.generation}:", Style.STRONG)
        _print_plan(outcome.back, console)
        _print_verdicts(outcome.back_verdicts, console)
    for condition in outcome.left:
        console.line(condition_text(condition), Style.WARN)
    if not outcome.persistent:
        console.note("this lasts only until the next boot, because /etc is not writable [NotPersistent]", Style.WARN)
    if outcome.plan or status:
        whole = f"{'repair of ' * repairs}generation {outcome.rejected or outcome.generation}"
        result = f"{whole}: {RESULTS[status] if outcome.plan else UNCHANGED[status]}"
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
