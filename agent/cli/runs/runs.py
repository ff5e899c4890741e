"""run render, submit, status, wait, cancel, log, systems: jobs of batch systems from Run documents."""

from __future__ import annotations

import difflib
import getpass
import os
import shlex
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.json_shapes import (
    JsonJob,
    JsonOverriddenLine,
    JsonRunSystem,
    JsonScript,
    JsonScriptLine,
    JsonScripts,
    JsonScriptText,
    JsonValuePlace,
    json_problems,
)
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.runs.run_files import read_run_files
from ordain.agent.errors import Failure
from ordain.agent.runs import job_records, scheduler_commands
from ordain.agent.runs.job_records import JobRecord
from ordain.agent.runs.scheduler_commands import ENDED, JobState
from ordain.transforms.errors import Problem, Refused, did_you_mean, sorted_problems
from ordain.transforms.model import Document, Leaf
from ordain.transforms.runs.run_model import JobScript, ScriptLine
from ordain.transforms.runs.run_render import cause_texts, render_runs, script_text
from ordain.transforms.runs.scheduler_rows import RunSystem, RunSystems
from ordain.transforms.systemd.values import EncodeError, timespan

LATEST = 20
"""The jobs that `run status` shows without an id."""
_STYLES = {
    "done": Style.GOOD,
    "failed": Style.BAD,
    "timed-out": Style.BAD,
    "cancelled": Style.WARN,
    "unknown": Style.WARN,
}
_WAIT_SEC = (0.5, 15.0)
"""The first and the longest time between two questions; no scheduler sends a signal that all of them have."""
_UNKNOWN_TURNS = 20
"""After so many answers without a state, a job counts as unknown."""


def render(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run render`."""
    documents, systems, warnings = read_run_files(request.file, request)
    if request.all_systems:
        if request.system or request.output or request.provenance:
            raise Usage("--all-systems cannot be used with --on, --output or --provenance")
        return _render_all(request, documents, systems, warnings, console)
    rendered = render_runs(documents, systems, _system(request, systems), user=_user(request), only=request.run)
    problems = sorted_problems((*warnings, *rendered.problems))
    if request.output:
        _write(Path(request.output), rendered.scripts, console)
    if request.json:
        console.json(JsonScripts(scripts=[_to_json(s) for s in rendered.scripts], problems=json_problems(problems)))
        return Exit.OK
    if not rendered.scripts:
        raise Failure("there is no Run without `match` in the files, so there is nothing to render")
    for script in rendered.scripts if not request.output else ():
        if len(rendered.scripts) > 1:
            after = ", ".join(f"{run} ({condition})" for run, condition in script.after)
            console.line(f"=== {script.name}{f' after {after}' if after else ''}", Style.STRONG)
        if request.provenance:
            _print_provenance(script, console)
        else:
            console.text(script_text(script, comments=not request.no_comments) + _submit_comment(script))
    console.problems(problems)
    return Exit.OK


def _submit_comment(script: JobScript) -> str:
    """Return comments with the arguments of a system that takes directives as arguments."""
    if not script.arguments:
        return ""
    lines = [f"# {line.text}   from {', '.join(cause_texts(line))}".rstrip() for line in script.arguments]
    return "\n".join(["", "# Arguments of the command that submits it:", *lines]) + "\n"


def _print_provenance(script: JobScript, console: Console) -> None:
    rows: list[tuple[Cell, ...]] = []
    for line in (*script.lines, *script.arguments):
        first, *more = cause_texts(line) or (("every script", Style.DIM),)
        rows.append((line.text, first))
        rows += [(("  and", Style.DIM), cause) for cause in more]
        overrode = (old for leaf in (line.cause, *line.more) for old in leaf.overrode)
        rows += [((f"  overrides {old.value}", Style.DIM), f"{old.where} ({old.layer})") for old in overrode]
    console.table(("LINE", "SET BY"), rows)


def _to_json(script: JobScript) -> JsonScript:
    def place(leaf: Leaf) -> JsonValuePlace:
        overrode = [
            JsonOverriddenLine(layer=old.layer, path=old.where.path, line=old.where.line) for old in leaf.overrode
        ]
        return JsonValuePlace(
            path=leaf.where.path,
            line=leaf.where.line,
            layer=leaf.layer,
            pointer=leaf.where.pointer,
            overrode=overrode,
        )

    def lines(script_lines: Iterable[ScriptLine]) -> list[JsonScriptLine]:
        return [
            JsonScriptLine(text=line.text, **place(line.cause), also=list(map(place, line.more)))
            for line in script_lines
        ]

    return JsonScript(
        name=script.name,
        run=script.run,
        system=script.system,
        elements=script.elements,
        after=dict(script.after),
        output=script.output,
        script=script_text(script),
        lines=lines(script.lines),
        arguments=lines(script.arguments),
    )


def _write(directory: Path, scripts: Sequence[JobScript], console: Console) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for script in scripts:
            path = directory / f"{script.name}.sh"
            path.write_text(script_text(script) + _submit_comment(script), encoding="utf-8")
            path.chmod(0o755)
    except OSError as error:
        raise Failure(f"{error.filename or directory}: {error.strerror}") from error
    console.note(f"{plural(len(scripts), 'script')} written to {directory}")


def _render_all(
    request: Namespace,
    documents: Sequence[Document],
    systems: RunSystems,
    warnings: Iterable[Problem],
    console: Console,
) -> Exit:
    outputs: dict[str, tuple[str, tuple[Problem, ...]]] = {}
    for name in systems.visible():
        try:
            rendered = render_runs(documents, systems, name, user=_user(request), only=request.run)
        except Refused as refused:
            outputs[name] = ("", refused.problems)
        else:
            text = "".join(
                f"=== {script.name}\n{script_text(script, comments=False)}{_submit_comment(script)}"
                for script in rendered.scripts
            )
            outputs[name] = (text, rendered.problems)
    rendering = [name for name, (text, _) in outputs.items() if text]
    if request.json:
        console.json(
            {name: JsonScriptText(text=text, problems=json_problems(ps)) for name, (text, ps) in outputs.items()}
        )
        return Exit.OK if len(rendering) == len(outputs) else Exit.DEGRADED if rendering else Exit.REFUSED
    first = rendering[0] if rendering else ""
    for name in (*rendering, *(name for name in outputs if name not in rendering)):
        text, problems = outputs[name]
        console.line(name, Style.STRONG)
        if name == first:
            console.text(text)
        elif text:
            base = outputs[first][0].splitlines(keepends=True)
            console.text("".join(difflib.unified_diff(base, text.splitlines(keepends=True), first, name)))
        console.text("".join(f"! {problem}\n" for problem in problems))
    console.problems(warnings)
    return Exit.OK if len(rendering) == len(outputs) else Exit.DEGRADED if rendering else Exit.REFUSED


def submit(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run submit`."""
    documents, systems, warnings = read_run_files(request.file, request)
    token = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    system = _system(request, systems)
    rendered = render_runs(documents, systems, system, user=_user(request), only=request.run, token=token)
    console.problems(sorted_problems((*warnings, *rendered.problems)))
    if not rendered.scripts:
        raise Failure("there is no Run without `match` in the files, so there is nothing to submit")
    home = job_records.directory()
    if request.dry_run:
        for script in rendered.scripts:
            ids = {run: [f"ID-OF-{run}"] for run, _ in script.after}
            words, from_input = scheduler_commands.submit_words(script, rendered.system, ids, f"{script.name}.sh")
            console.line(shlex.join(words) + (f" <{script.name}.sh" if from_input else ""))
        return Exit.OK
    for program in scheduler_commands.missing_programs(rendered.system):
        hint = f"submit on a machine of {system}, or use `run render`"
        raise Failure(f"{program}: not found, so nothing can be submitted to {system} from here; {hint}")
    submitted: list[JobRecord] = []
    job_records.prune(home)
    try:
        for record in scheduler_commands.submit(rendered.scripts, rendered.system, home):
            submitted.append(record)
            if not request.json:
                console.line(record.id)
                console.note(
                    f"{record.run}{'' if record.index is None else f' (element {record.index})'}: submitted to {system}"
                )
    except (Failure, OSError) as error:
        return _undo(submitted, rendered.system, error, console)
    if request.json:
        console.json([_record_json(record, None) for record in submitted])
    return Exit.OK


def _undo(submitted: Sequence[JobRecord], system: RunSystem, error: Exception, console: Console) -> Exit:
    """Cancel the jobs that were submitted before one was refused, and return the exit status."""
    console.note(f"ordainctl: {error}", Style.BAD)
    if not submitted:
        return Exit.REFUSED
    left = []
    for record in reversed(submitted):
        try:
            scheduler_commands.cancel(record.id, system)
            console.note(f"{record.id}: cancelled, because the whole submission failed")
        except (Failure, OSError) as failure:
            left.append(record.id)
            console.note(f"ordainctl: {failure}", Style.BAD)
    if left:
        console.note(f"still submitted: {' '.join(left)}; cancel them yourself", Style.BAD)
    return Exit.INCOMPLETE if left else Exit.ROLLED_BACK


def status(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run status`."""
    jobs = list(_jobs(request, request.id)) if request.id else _latest(request)
    states = [(record, scheduler_commands.job_state(record.id, system)) for record, system in jobs]
    _print_states(states, request, console)
    return _exit(state for _, state in states)


def wait(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run wait`."""
    jobs = list(_jobs(request, request.id))
    try:
        deadline = time.monotonic() + timespan(request.timeout) / 1e6 if request.timeout else float("inf")
    except EncodeError as error:
        raise Usage(f"--timeout: {error}") from None
    states: dict[int, JobState] = {}
    unknown = dict.fromkeys(range(len(jobs)), 0)
    pause, longest = _WAIT_SEC
    while True:
        for at, (record, system) in enumerate(jobs):
            if at in states and (states[at].state in ENDED or unknown[at] >= _UNKNOWN_TURNS):
                continue
            states[at] = scheduler_commands.job_state(record.id, system)
            unknown[at] += states[at].state == "unknown"
        rest = [at for at, s in states.items() if s.state not in ENDED and unknown[at] < _UNKNOWN_TURNS]
        if not rest or time.monotonic() >= deadline:
            break
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        pause = min(pause * 1.3, longest)
    _print_states([(record, states[at]) for at, (record, _) in enumerate(jobs)], request, console)
    if rest:
        console.note(f"{plural(len(rest), 'job')} not ended within {request.timeout}", Style.WARN)
        return Exit.DEGRADED
    return _exit(states.values())


def cancel(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run cancel`."""
    failures = []
    for record, system in _jobs(request, request.id):
        try:
            scheduler_commands.cancel(record.id, system)
        except Failure as failure:
            failures.append(str(failure))
    if failures:
        raise Failure("; ".join(failures))
    return Exit.OK


def log(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run log`."""
    ((record, system),) = _jobs(request, [request.id])
    if request.index is not None and not request.index.isdigit():
        raise Usage(f"--index must be a number, not {request.index!r}")
    if record.elements > 1 and request.index is None and "{index}" in record.output:
        raise Usage(f"{record.id} is an array of {record.elements} elements; name one with --index")
    path = record.output_path(int(request.index or 0))
    if path and path.exists():
        console.text(path.read_text(encoding="utf-8", errors="replace"))
        return Exit.OK
    text = scheduler_commands.log_text(record.id, system)
    if text is None:
        reason = f"{path} does not exist yet" if path else "its system has no command for it, and it has no `output`"
        raise Failure(f"there is no output of {record.id}: {reason}")
    console.text(text)
    return Exit.OK


def systems(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run systems`."""
    _, known, warnings = read_run_files(request.file, request)
    rows: list[tuple[Cell, ...]] = []
    listed: list[JsonRunSystem] = []
    for name in known.names():
        system = known.system(name)
        about = {key: sorted(system.row.branch(key)) for key in ("queues", "accounts", "modules")}
        listed.append(
            JsonRunSystem(
                name=name,
                scheduler=system.scheduler,
                about=system.text("about"),
                queues=about["queues"],
                accounts=about["accounts"],
                modules=about["modules"],
            )
        )
        rows.append((name, system.scheduler, *(", ".join(words) or "-" for words in about.values())))
    console.problems(warnings)
    if request.json:
        console.json(listed)
    else:
        console.table(("SYSTEM", "SCHEDULER", "QUEUES", "ACCOUNTS", "MODULES"), rows)
    return Exit.OK


def _system(request: Namespace, systems: RunSystems) -> str:
    if not request.system:
        raise Usage(f"name the system with --on: {', '.join(systems.names())}")
    return str(request.system)


def _user(request: Namespace) -> str:
    if request.user:
        return str(request.user)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""


def _jobs(request: Namespace, ids: Iterable[str]) -> Iterator[tuple[JobRecord, RunSystem]]:
    """Yield the record and the system of each job; --on names the system of a job without a record."""
    known: dict[str, list[JobRecord]] = {}
    for record in job_records.records(job_records.directory()):
        known.setdefault(record.id, []).append(record)
    request.only_files = False
    _, systems, _ = read_run_files([], request)
    for job in ids:
        matching = [r for r in known.get(job, ()) if not request.system or r.system == request.system]
        if matching:
            yield matching[0], systems.system(matching[0].system)
        elif request.system:
            yield JobRecord(id=job, run="-", system=request.system, submitted=""), systems.system(request.system)
        else:
            hint = did_you_mean(job, known) or "name its system with --on"
            raise Failure(f"there is no record of a job {job}; {hint}")


def _latest(request: Namespace) -> list[tuple[JobRecord, RunSystem]]:
    records = [
        r for r in job_records.records(job_records.directory()) if not request.system or r.system == request.system
    ]
    request.only_files = False
    _, systems, _ = read_run_files([], request)
    return [(record, systems.system(record.system)) for record in records[:LATEST]]


def _print_states(states: Sequence[tuple[JobRecord, JobState]], request: Namespace, console: Console) -> None:
    if request.json:
        console.json([_record_json(record, state) for record, state in states])
        return
    rows: list[tuple[Cell, ...]] = []
    for record, state in states:
        run = record.run if record.index is None else f"{record.run}-{record.index}"
        exit_status = "" if state.exit_status is None else str(state.exit_status)
        rows.append((record.id, run, record.system, (state.state, _STYLES.get(state.state, Style.PLAIN)), exit_status))
    console.table(("ID", "RUN", "SYSTEM", "STATE", "EXIT"), rows)


def _record_json(record: JobRecord, state: JobState | None) -> JsonJob:
    job = JsonJob(
        id=record.id,
        run=record.run,
        system=record.system,
        index=record.index,
        elements=record.elements,
        submitted=record.submitted,
        output=record.output,
    )
    return {**job, "state": state.state, "exit": state.exit_status, "word": state.word} if state else job


def _exit(states: Iterable[JobState]) -> Exit:
    good = {"waiting", "held", "running", "done"}
    return Exit.OK if all(state.state in good for state in states) else Exit.DEGRADED
